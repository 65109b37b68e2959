"""A monotone map from an objective's values to bell-shaped ones and back; nothing is learned but the values' order."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_REACH = 5


@dataclass(frozen=True)
class Warp:
    """Normal scores of ranks: knots `y` and `z` in rising order, and the slopes beyond both ends (value per score).

    A model of scores is not pulled about by a few terrible architectures, and predictions are turned back into values,
    so that improvements are counted in the objective's own unit.
    """

    y: Floats
    z: Floats
    slopes: tuple[float, float]

    @staticmethod
    def of(values: Floats) -> Warp:
        """The map of these values; equal ones share a score. Beyond the ends goes on the slope of the outer fifth."""
        y, counts = np.unique(values, return_counts=True)
        middles = (np.cumsum(counts) - counts / 2) / len(values)
        z = np.array([NormalDist().inv_cdf(float(middle)) for middle in middles])
        if len(y) == 1:
            return Warp(y, z, (0.0, 0.0))
        reach = max(1, len(y) // _REACH)
        first = (y[reach] - y[0]) / (z[reach] - z[0])
        last = (y[-1] - y[-1 - reach]) / (z[-1] - z[-1 - reach])
        return Warp(y, z, (float(first), float(last)))

    def forward(self, values: Floats) -> Floats:
        """Scores of values that the map was made of."""
        return np.asarray(np.interp(values, self.y, self.z))

    def backward(self, z: Floats) -> Floats:
        """Values of any scores."""
        below, above = np.minimum(z - self.z[0], 0.0), np.maximum(z - self.z[-1], 0.0)
        return np.asarray(np.interp(z, self.z, self.y) + below * self.slopes[0] + above * self.slopes[1])
