"""What a regression of costs cannot say, learnt from its own errors: a Gaussian process over their logarithms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evernas.hardware.regression import Floats64

LENGTHS = (0.15, 0.3, 0.6, 1.0)
"""In the root of the share of choices in which two architectures differ."""


@dataclass(frozen=True)
class Correction:
    """A factor to a predicted cost: architectures like those that cost otherwise do too, others as they were foreseen.

    It is the posterior mean of a Gaussian process over the choices of an architecture, not over what its layers add up
    to, in which a kernel size cannot be told from a width. Its kernel is the sum of a linear one, in which each option
    has an effect of its own, and a squared exponential one (Rasmussen & Williams, 2.2 and 4.2), at `places` (n, k).
    """

    centre: tuple[float, ...]
    places: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    choices: int
    length: float

    @classmethod
    def fit(cls, x: Floats64, choices: int, errors: Floats64, noise: float) -> tuple[Correction, Floats64]:
        """Of networks with options x (n, k), 0 or 1, and logarithms of measured to predicted; what is left of each.

        `noise` is the spread of errors that follow nothing. The length is the likeliest (ibid., 5.8); what is left is
        of each network (n,) the error where it is left out (5.12).
        """
        centre = x.mean(axis=0)
        places, noise = x - centre, max(noise, 1e-3)
        signal = max(float(np.mean(errors**2)), noise**2)
        found = []
        for length in LENGTHS:
            kernel = signal * _alike(places, places, choices, length) + noise**2 * np.eye(len(places))
            inverse = np.linalg.inv(kernel)
            weights = inverse @ errors
            unlikely = float(errors @ weights) + float(np.linalg.slogdet(kernel)[1])
            found.append((unlikely, length, weights, np.diag(inverse)))
        _, length, weights, precision = min(found, key=lambda item: item[:2])
        made = cls(
            tuple(centre.tolist()),
            tuple(map(tuple, places.tolist())),
            tuple((signal * weights).tolist()),
            choices,
            length,
        )
        left: Floats64 = weights / precision
        return made, left

    def factor(self, x: Floats64) -> Floats64:
        """By what to multiply the cost predicted of architectures with options x (n, k)."""
        alike = _alike(x - np.array(self.centre), np.array(self.places), self.choices, self.length)
        found: Floats64 = np.exp(alike @ np.array(self.weights))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            name: [list(row) if isinstance(row, tuple) else row for row in value] if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Correction:
        """The inverse of to_json; KeyError, TypeError or ValueError for anything else."""
        numbers = {name: tuple(float(each) for each in value[name]) for name in ("centre", "weights")}
        places = tuple(tuple(float(each) for each in row) for row in value["places"])
        return cls(places=places, choices=int(value["choices"]), length=float(value["length"]), **numbers)


def _alike(a: Floats64, b: Floats64, choices: int, length: float) -> Floats64:
    """The kernel between rows (n, k) and (m, k): two architectures that differ in all choices are 1 apart."""
    apart = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2) / (2 * choices)
    found: Floats64 = np.exp(-0.5 * apart / length**2) + a @ b.T / choices
    return found
