"""Whether networks that were measured still cost what a device's models say; pure, no model is fitted here."""

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
    """How measured figures of one cost lie to the predicted ones: the median of their ratios, over so many networks.

    `band` is the share by which that median may be off before the model is taken to be of another machine: three of
    its own residual spreads, at least NARROWEST. `drift` is by how many times the predictions were raised meanwhile,
    since networks of the profile cost as much more when they were measured again; 1 where they were not.

    Of the whole, ratio times drift, `before` is what it was when the device was profiled anew, if it was and has not
    fitted since, and `last` what it was in the last run, if it was outside the band then.
    """

    ratio: float
    band: float
    networks: int
    before: float | None = None
    drift: float = 1.0
    last: float | None = None

    @classmethod
    def of(
        cls,
        measured: Sequence[float],
        predicted: Sequence[float],
        residual: float,
        before: float | None = None,
        drift: float = 1.0,
        last: float | None = None,
    ) -> Departure | None:
        """Of pairs of figures; `residual` is the model's relative spread. None without a pair."""
        if not measured:
            return None
        ratios = [m / p for m, p in zip(measured, predicted, strict=True)]
        return cls(float(np.median(ratios)), band_of(residual), len(ratios), before, drift, last)

    @property
    def since_profile(self) -> float:
        """How many times as much as the profile's own model says the networks cost."""
        return self.ratio * self.drift

    @property
    def departed(self) -> bool:
        """Whether the profile's model is outside its band; never by a single network, which may be an exception."""
        return self.networks >= FEWEST and self._apart(1.0)

    @property
    def misled(self) -> bool:
        """Whether the networks cost what the profile foresees, and not what it was raised to meanwhile."""
        return self.networks >= FEWEST and not self.departed and outside(self.ratio, self.band)

    @property
    def stale(self) -> bool:
        """Whether the profile does not fit the device any more.

        What the predictions already follow may be this day's, and makes a profile stale once it was so in the last run.
        """
        again = self.last is not None and not self._apart(self.last)
        return self.departed and (outside(self.ratio, self.band) or again)

    @property
    def lasting(self) -> bool:
        """Whether a new profile left it about where it was, so that yet another would, too."""
        return self.stale and self.before is not None and not self._apart(self.before)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the findings."""
        found = {"since_profile": self.since_profile, "departed": self.departed, "misled": self.misled}
        return {**asdict(self), **found, "stale": self.stale, "lasting": self.lasting}

    def _apart(self, other: float) -> bool:
        return outside(self.since_profile / other, self.band)
