"""What a few networks that were measured later say of a device's predictors; pure, nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evernas.hardware.departure import band_of, outside
from evernas.hardware.predictor import CostPredictor, Networks
from evernas.hardware.regression import Floats64

ANCHORS = 4
STEADY = ("peak_memory_mb",)
"""Costs that do not follow how fast the machine is at the time: what was measured earlier counts as it is."""


def anchors_of(figures: Mapping[str, float], count: int = ANCHORS) -> list[str]:
    """Of measured networks some that are spread evenly over the range of their figures, from lowest to highest."""
    ranked = sorted(figures, key=lambda name: (figures[name], name))
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    return [ranked[place] for place in places]


@dataclass(frozen=True)
class Compared:
    """Of one cost what was measured of the probes, and what the predictor had foreseen of them, in today's figures.

    `drift` is the median by which the anchors, which were measured twice, cost more now than then, `anchors` their
    ratios; it is 1 for costs that do not follow the machine's speed. `band` is the share by which a probe may be off.
    """

    measured: dict[str, float]
    foreseen: dict[str, float]
    drift: float
    anchors: list[float]
    band: float

    @property
    def ratios(self) -> dict[str, float]:
        """Of each probe the ratio of measured to foreseen."""
        return {name: self.measured[name] / self.foreseen[name] for name in self.measured}

    @property
    def outside(self) -> list[str]:
        """The probes that left the band."""
        return [name for name, ratio in self.ratios.items() if outside(ratio, self.band)]

    @property
    def surprising(self) -> bool:
        """Whether a probe, or the device's speed of today, is outside the band."""
        return bool(self.outside) or outside(self.drift, self.band)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the ratios and the findings."""
        return {**vars(self), "ratios": self.ratios, "outside": self.outside}


def compare(
    cost: str,
    predictor: CostPredictor,
    probes: Mapping[str, Floats64],
    earlier: Mapping[str, float],
    now: Mapping[str, float],
) -> Compared | None:
    """How `now` lies to what was foreseen of the probes, given by their features, and to `earlier` figures of others.

    None where no probe has a figure, or no anchor has, without which another day cannot be told from a wrong predictor.
    """
    measured = {name: now[name] for name in sorted(probes) if name in now}
    ratios = [now[name] / earlier[name] for name in sorted(now) if name in earlier]
    if not measured or not ratios:
        return None
    drift = 1.0 if cost in STEADY else float(np.median(ratios))
    foreseen = {name: float(predictor.predict(probes[name])) * drift for name in measured}
    return Compared(measured, foreseen, drift, ratios, band_of(predictor.residual))


def fit_again(known: Networks, probes: Networks, found: Compared) -> CostPredictor:
    """A predictor of today's figures: of the earlier ones, brought to today, and of the probes beside them.

    Where a probe left the band, the form that was fitted cannot say why, and its errors are learnt beside it.
    """
    today = replace(known, values=found.drift * known.values)
    if found.outside:
        return CostPredictor.fit_corrected(today, probes)
    return CostPredictor.fit(
        np.concatenate([today.features, probes.features]), np.concatenate([today.values, probes.values])
    )
