"""A figure that was taken several times: its median and how far the takes lie apart; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The median of several takes, their median absolute deviation, and the takes themselves; one unit for all."""

    median: float
    mad: float
    takes: tuple[float, ...]

    @classmethod
    def of(cls, takes: Sequence[float]) -> Spread:
        """From the takes; ValueError if there is none, or one is not finite."""
        values = np.asarray(takes, dtype=np.float64)
        if not len(values) or not np.isfinite(values).all():
            raise ValueError(f"no spread of {list(takes)}")
        median = float(np.median(values))
        return cls(median, float(np.median(np.abs(values - median))), tuple(float(value) for value in values))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Spread:
        """From the takes of a document; median and MAD follow from them."""
        return cls.of(value["takes"])
