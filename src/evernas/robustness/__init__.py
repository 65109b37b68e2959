"""Corruptions of samples, as production may deliver them: each of one row, the same whenever and wherever it is made.

A row's draws come from the seed, the corruption's name and the row's own values, so that every network, in every
batch and run, is given the same changed row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from evernas.robustness import images, signals, texts

Floats: TypeAlias = npt.NDArray[np.float32]
_KINDS: dict[str, dict[str, Callable[[Floats, float, np.random.Generator], npt.NDArray[Any]]]] = {
    "signal": {
        "dropout": signals.dropout,
        "noise": signals.noise,
        "gain": signals.gain,
        "shift": signals.shift,
    },
    "image": {
        "blur": images.blur,
        "noise": images.noise,
        "contrast": images.contrast,
        "brightness": images.brightness,
    },
    "text": {"typos": texts.typos, "case": texts.case, "truncation": texts.truncation},
}

__all__ = ["corrupted"]


def corrupted(kind: str, name: str, severity: float, x: Floats, seed: int) -> Floats:
    """Rows (n, *shape) as they would be under a corruption of this kind of data; `x` stays as it is.

    Signals are (channels, time), images (channels, height, width), texts (1, characters) with the numbers of their
    characters.
    """
    change = _KINDS[kind][name]
    found = np.empty_like(x)
    for row, into in zip(x, found, strict=True):
        into[...] = change(row, severity, _draws(seed, name, row))
    return found


def _draws(seed: int, name: str, row: Floats) -> np.random.Generator:
    whole = hashlib.sha256(f"{seed}/{name}/".encode() + np.ascontiguousarray(row, "<f4").tobytes()).digest()
    return np.random.default_rng(int.from_bytes(whole[:16], "little"))
