"""Corruptions of a window (channels, time): a sensor that is lost, noisy, badly calibrated, or badly timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Window = npt.NDArray[Any]


def dropout(x: Window, share: float, rng: np.random.Generator) -> Window:
    """One channel reads 0 for this share of the window."""
    channels, length = x.shape
    lost = min(length, max(1, round(share * length)))
    channel, start = int(rng.integers(channels)), int(rng.integers(length - lost + 1))
    found = x.copy()
    found[channel, start : start + lost] = 0
    return found


def noise(x: Window, spread: float, rng: np.random.Generator) -> Window:
    """White noise, with so many standard deviations of each channel in this window."""
    own = x.std(axis=1, keepdims=True, dtype=np.float64)
    found: Window = x + spread * own * rng.standard_normal(x.shape)
    return found


def gain(x: Window, share: float, rng: np.random.Generator) -> Window:
    """All channels read too much by this share, or too little."""
    return x * (1 + share if rng.random() < 0.5 else 1 - share)


def shift(x: Window, share: float, rng: np.random.Generator) -> Window:
    """The window begins too early or too late by this share of its length; what it then lacks is mirrored."""
    length = x.shape[1]
    steps = min(length - 1, max(1, round(share * length)))
    if rng.random() < 0.5:
        return np.concatenate([x[:, steps:0:-1], x[:, :-steps]], axis=1)
    return np.concatenate([x[:, steps:], x[:, -2 : -2 - steps : -1]], axis=1)
