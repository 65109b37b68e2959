"""Monotone maps between an objective's values and what a model is fitted to, centred and of unit spread; no models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_REACH = 5


class Warp(ABC):
    """A map made of values. Predictions are turned back, so improvements are counted in the objective's own unit."""

    @staticmethod
    @abstractmethod
    def of(values: Floats) -> Warp | None:
        """The map of these values; None where it does not apply."""

    @abstractmethod
    def forward(self, values: Floats) -> Floats:
        """What the model is fitted to, for values that the map was made of."""

    @abstractmethod
    def backward(self, z: Floats) -> Floats:
        """Values of any z."""


@dataclass(frozen=True)
class Plain(Warp):
    """Standardised: right for sums over the choices, such as many costs."""

    middle: float
    spread: float

    @staticmethod
    def of(values: Floats) -> Plain:
        """By mean and standard deviation."""
        return Plain(float(values.mean()), float(values.std()) or 1.0)

    def forward(self, values: Floats) -> Floats:
        """(value - mean) / deviation."""
        return np.asarray((values - self.middle) / self.spread)

    def backward(self, z: Floats) -> Floats:
        """The inverse."""
        return np.asarray(z * self.spread + self.middle)


@dataclass(frozen=True)
class Log(Warp):
    """Standardised logarithms: right for products over the choices, and for costs over orders of magnitude."""

    plain: Plain

    @staticmethod
    def of(values: Floats) -> Log | None:
        """None unless every value is above 0."""
        return Log(Plain.of(np.log(values))) if values.min() > 0 else None

    def forward(self, values: Floats) -> Floats:
        """Standardised logarithms."""
        return self.plain.forward(np.log(values))

    def backward(self, z: Floats) -> Floats:
        """The inverse; what would be infinite is the largest number."""
        return np.asarray(np.exp(np.minimum(self.plain.backward(z), 700.0)))


@dataclass(frozen=True)
class Scores(Warp):
    """Normal scores of ranks, linear between knots: a few terrible architectures do not pull the model about.

    Equal values share a score. Beyond the ends goes on the slope of the outer fifth (value per unit of score).
    """

    y: Floats
    z: Floats
    slopes: tuple[float, float]

    @staticmethod
    def of(values: Floats) -> Scores:
        """By rank."""
        y, counts = np.unique(values, return_counts=True)
        middles = (np.cumsum(counts) - counts / 2) / len(values)
        z = np.array([NormalDist().inv_cdf(float(middle)) for middle in middles])
        if len(y) == 1:
            return Scores(y, z, (0.0, 0.0))
        reach = max(1, len(y) // _REACH)
        first = (y[reach] - y[0]) / (z[reach] - z[0])
        last = (y[-1] - y[-1 - reach]) / (z[-1] - z[-1 - reach])
        return Scores(y, z, (float(first), float(last)))

    def forward(self, values: Floats) -> Floats:
        """Scores; those of values beyond the ends are those of the ends."""
        return np.asarray(np.interp(values, self.y, self.z))

    def backward(self, z: Floats) -> Floats:
        """Values of any scores."""
        below, above = np.minimum(z - self.z[0], 0.0), np.maximum(z - self.z[-1], 0.0)
        return np.asarray(np.interp(z, self.z, self.y) + below * self.slopes[0] + above * self.slopes[1])


WARPS: dict[str, type[Warp]] = {"scores": Scores, "plain": Plain, "log": Log}
