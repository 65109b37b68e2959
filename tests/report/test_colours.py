"""The page's colours: enough contrast for text and marks, in light and dark, and told apart without red and green."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import pytest

TEXT = ["ink", "soft", "link", "green", "red"]
MARKS = ["blue", "orange", "green", "purple", "red", "past", "faint"]


def palettes() -> dict[str, dict[str, str]]:
    css = files("evernas.report").joinpath("report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return {
        name: dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
        for name, block in zip(("light", "dark"), blocks, strict=False)
    }


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def contrast(one: str, other: str) -> float:
    light = sorted(
        (sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear(c), strict=True)) for c in (one, other)),
        reverse=True,
    )
    return (light[0] + 0.05) / (light[1] + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "card"])
def test_text_has_the_contrast_of_wcag_aa(theme: str, ground: str) -> None:
    palette = palettes()[theme]
    low = {name: contrast(palette[name], palette[ground]) for name in TEXT}
    assert min(low.values()) >= 4.5, low


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_stand_out_from_the_page(theme: str) -> None:
    palette = palettes()[theme]
    low = {name: contrast(palette[name], palette["paper"]) for name in MARKS}
    assert min(low.values()) >= 3, low


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_roles_are_told_apart_by_those_who_see_no_red_or_no_green(theme: str) -> None:
    """Machado, Oliveira and Fernandes (2009), severity 1.0. Green wins, purple was held: no chart has both."""
    weak = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }
    palette = palettes()[theme]
    for matrix in weak.values():
        seen = {
            n: [sum(m * p for m, p in zip(row, linear(palette[n]), strict=True)) for row in matrix]
            for n in ("blue", "orange", "green", "purple")
        }
        for one, other in set(combinations(seen, 2)) - {("green", "purple")}:
            gap = (
                sum((max(a, 0) ** 0.45 - max(b, 0) ** 0.45) ** 2 for a, b in zip(seen[one], seen[other], strict=True))
                ** 0.5
            )
            assert gap > 0.15, (theme, one, other, gap)
