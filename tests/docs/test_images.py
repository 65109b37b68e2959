"""What the page of images says runs in each is what runs there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evernas_components.images import IMAGES

PAGE = Path(__file__).parents[2] / "docs" / "images.md"


@pytest.mark.parametrize("name", ["core", "train", "runner"])
def test_the_page_names_every_step_of_an_image(name: str) -> None:
    (said,) = re.findall(rf"^\| `{name}` \| (.*?) \|", PAGE.read_text(), re.M)
    assert set(IMAGES[name].steps) <= set(re.findall(r"\w+", said))
