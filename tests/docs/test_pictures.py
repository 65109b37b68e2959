"""The pictures in the pages are those that the script makes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["hypervolume", "budget", "sharing"])
def test_the_picture_is_what_the_script_makes(name: str) -> None:
    pictures = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["PICTURES"]
    assert (ROOT / "docs" / "pictures" / f"{name}.svg").read_text() == pictures[name](), "run docs/pictures.py"


def test_every_picture_of_a_page_has_a_maker_and_words() -> None:
    import re

    pictures = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["PICTURES"]
    used = re.findall(r"!\[(.+)\]\(pictures/(\w+)\.svg\)", (ROOT / "docs" / "concepts.md").read_text())
    assert sorted(name for _, name in used) == sorted(pictures)
