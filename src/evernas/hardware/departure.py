"""Whether networks that were measured still cost what the latency model says; pure, no model is fitted here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SPREADS = 3.0
NARROWEST = 0.15
"""The band of a model whose own errors are small: two sessions on one machine differ by so much."""
FEWEST = 2


def band_of(residual: float) -> float:
    """By what share a cost may be off before its model is taken to be wrong; `residual` is the model's own spread."""
    return max(SPREADS * residual, NARROWEST)


def outside(ratio: float, band: float) -> bool:
    """Whether a ratio of measured to predicted has left the band, to either side of 1 by the same factor."""
    return abs(math.log(ratio)) > math.log1p(band)


@dataclass(frozen=True)
class Departure:
    """How measured latencies lie to the predicted ones: the median of their ratios, over so many networks.

    `band` is the share by which that median may be off before the model is taken to be of another machine: three of
    its own residual spreads, at least NARROWEST. `before` is the ratio for which the device was profiled
    anew, if it was and has not fitted since.
    """

    ratio: float
    band: float
    networks: int
    before: float | None = None

    @classmethod
    def of(
        cls,
        measured_ms: Sequence[float],
        predicted_ms: Sequence[float],
        residual: float,
        before: float | None = None,
    ) -> Departure | None:
        """Of pairs of latencies; `residual` is the model's relative spread. None without a pair."""
        if not measured_ms:
            return None
        ratios = [measured / predicted for measured, predicted in zip(measured_ms, predicted_ms, strict=True)]
        return cls(float(np.median(ratios)), band_of(residual), len(ratios), before)

    @property
    def stale(self) -> bool:
        """Whether the model does not fit the device any more; never by a single network, which may be an exception."""
        return self.networks >= FEWEST and self._apart(1.0)

    @property
    def lasting(self) -> bool:
        """Whether a new profile left the ratio about where it was, so that yet another would, too."""
        return self.stale and self.before is not None and not self._apart(self.before)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the findings."""
        return {**asdict(self), "stale": self.stale, "lasting": self.lasting}

    def _apart(self, other: float) -> bool:
        return outside(self.ratio / other, self.band)
