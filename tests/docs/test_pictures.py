"""The pictures in the pages are those that the script makes."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["hypervolume", "budget", "sharing"])
def test_the_picture_is_what_the_script_makes(name: str) -> None:
    pictures = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["PICTURES"]
    assert (ROOT / "docs" / "pictures" / f"{name}.svg").read_text() == pictures[name](), "run docs/pictures.py"


def test_every_picture_of_a_page_has_a_maker_and_words() -> None:
    pictures = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["PICTURES"]
    used = re.findall(r"!\[(.+)\]\(pictures/(\w+)\.svg\)", (ROOT / "docs" / "concepts.md").read_text())
    assert sorted(name for _, name in used) == sorted(pictures)


def test_every_screenshot_is_shown_somewhere_and_the_script_takes_it() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"images/([\w-]+\.(?:png|svg))\)", page.read_text())}
    taken = {f"{name}.png" for name in runpy.run_path(str(ROOT / "docs" / "screenshots.py"))["PAGES"]}
    assert shown == taken | {"terminal.svg"} == {file.name for file in (ROOT / "docs" / "images").iterdir()}


def test_the_picture_of_the_terminal_fetches_nothing() -> None:
    assert "url(http" not in (ROOT / "docs" / "images" / "terminal.svg").read_text()
