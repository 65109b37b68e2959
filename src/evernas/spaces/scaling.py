"""Scaling of images as a matrix a side, so that training and every runtime compute the very same."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def scaling(before: int, after: int) -> np.ndarray:
    """Weights (after, before), float64, that scale a side of `before` pixels to `after`; each row sums to 1.

    Linear interpolation; where pixels get lost, over as many as go into one (a triangle filter), so that nothing is
    skipped.
    """
    ratio = before / after
    middles = (np.arange(after) + 0.5) * ratio - 0.5
    distance = np.abs(middles[:, None] - np.arange(before)) / max(1.0, ratio)
    weights = np.maximum(0.0, 1.0 - distance)
    return np.asarray(weights / weights.sum(1, keepdims=True))
