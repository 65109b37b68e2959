"""A network's drawing: every block is within the room that the drawing leaves beside the words."""

from __future__ import annotations

import re

import pytest

from evernas.report.blocks import CENTRE, REACH, architecture_section
from evernas.result import Block, Result


@pytest.mark.parametrize("head", [8, 96, 4000])
def test_no_block_is_wider_than_its_room_whatever_the_head(head: int, promotion: Result) -> None:
    drawn = promotion.devices[0].model_copy(deep=True)
    for finalist in drawn.finalists:
        blocks = finalist.architecture.blocks
        assert blocks[-1].kind == "head"
        blocks[-1] = Block(**{**blocks[-1].model_dump(), "outputs": head})
    html = str(architecture_section(drawn))
    paths = re.findall(r'<path d="M([^"]+)Z"', html)
    assert paths
    across = [float(point.split(",")[0]) for path in paths for point in path.split("L")]
    assert min(across) >= CENTRE - REACH
    assert max(across) <= CENTRE + REACH


def test_a_network_whose_blocks_are_not_known_is_not_said_to_have_none(promotion: Result) -> None:
    drawn = promotion.devices[0].model_copy(deep=True)
    assert drawn.champion_before is not None
    drawn.champion_before.architecture.blocks.clear()
    drawn.champion_before.architecture.macs = None
    html = str(architecture_section(drawn))
    assert "Of its blocks nothing is known" in html
    assert "no block" not in html
    assert "differs from" not in html
    assert "added" not in html
    assert "not measured" not in html
