"""Corruptions of an image (channels, height, width), in units of its own size and range: optics, sensor and light."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]
REACH = 3
"""Standard deviations after which a blur's weights are left out."""


def blur(x: Image, share: float, rng: np.random.Generator) -> Image:
    """A Gaussian blur whose standard deviation is this share of the shorter side; edges are mirrored."""
    sigma = share * min(x.shape[1:])
    reach = max(1, math.ceil(REACH * sigma))
    # The bell's part in each pixel, not its height in the middle: a narrow one has most of itself between two of those.
    ends = np.array([math.erf((at - 0.5) / sigma / math.sqrt(2)) for at in range(-reach, reach + 2)])
    weights = np.diff(ends) / (ends[-1] - ends[0])
    found = x
    for axis in (1, 2):
        found = _along(found, weights, axis)
    return found


def _along(x: Image, weights: npt.NDArray[np.float64], axis: int) -> Image:
    reach, length = len(weights) // 2, x.shape[axis]
    room = [(reach, reach) if a == axis else (0, 0) for a in range(x.ndim)]
    wide = np.pad(x, room, mode="symmetric").swapaxes(axis, 1)
    found = np.zeros_like(x.swapaxes(axis, 1))
    for at, weight in enumerate(weights.astype(x.dtype)):
        found += weight * wide[:, at : at + length]
    return found.swapaxes(axis, 1)


def noise(x: Image, share: float, rng: np.random.Generator) -> Image:
    """White noise with this share of the image's range as standard deviation; what leaves the range saturates."""
    low, high = _range(x)
    return np.clip(x + share * (high - low) * rng.standard_normal(x.shape), low, high)


def contrast(x: Image, share: float, rng: np.random.Generator) -> Image:
    """Every pixel is nearer to its channel's mean by this share."""
    mean = x.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    found: Image = mean + (1 - share) * (x - mean)
    return found


def brightness(x: Image, share: float, rng: np.random.Generator) -> Image:
    """All pixels are brighter by this share of the image's range, or darker; what leaves the range saturates."""
    low, high = _range(x)
    by = share * (high - low)
    return np.clip(x + (by if rng.random() < 0.5 else -by), low, high)


def _range(x: Image) -> tuple[float, float]:
    return float(x.min()), float(x.max())
