"""Numbers in the place of names, for what is signed: a name that is erased could not be taken out of it any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def numbered(names: Sequence[str], among: Sequence[str]) -> npt.NDArray[np.str_]:
    """Each name as its number among the sorted ones, `number 03 of 12`: these sort as the names do.

    Whoever has the names can tell them again (`named`); nobody else can.
    """
    digits = len(str(len(among)))
    number = {name: f"number {n:0{digits}d} of {len(among)}" for n, name in enumerate(sorted(among), 1)}
    return np.array([number[name] for name in names], np.str_)


def named(document: Any, among: Sequence[str]) -> Any:
    """A document with the names again, for those who may see them."""
    if isinstance(document, str):
        ordered = sorted(among)
        return re.sub(
            rf"\bnumber (\d+) of {len(ordered)}\b",
            lambda match: ordered[int(match[1]) - 1] if 1 <= int(match[1]) <= len(ordered) else match[0],
            document,
        )
    if isinstance(document, list):
        return [named(item, among) for item in document]
    if isinstance(document, dict):
        return {key: named(item, among) for key, item in document.items()}
    return document
