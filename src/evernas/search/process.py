"""A Gaussian process over architectures: its parameters' likelihood, and its posterior, extended point by point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evernas.search.kernel import TERMS, Kernel

Floats = NDArray[np.float64]
MOST_DOUBT = 3.0
_JITTER = 1e-8
_LEAST_VARIANCE = 1e-12
_LEAST_NOISE = 1e-6
_LEAF = 48
_MIDDLE_SCALES = (0.5, 0.2, 0.6)
_SPREAD_WEIGHT, _SPREAD_SCALE, _SPREAD_NOISE = 2.0, 1.5, 3.0


@dataclass(frozen=True)
class Parameters:
    """All as logarithms: a weight a choice, a scale a term of the kernel, and the variance of the noise."""

    weights: Floats
    scales: Floats
    noise: float

    @staticmethod
    def middle(choices: int) -> Parameters:
        """The middle of the prior, where a fit starts; targets are expected to have a variance of about 1."""
        return Parameters(np.full(choices, np.log(2.0 / choices)), np.log(_MIDDLE_SCALES), float(np.log(0.01)))

    @staticmethod
    def of(flat: Floats) -> Parameters:
        """What `flat` gave."""
        cut = len(flat) - 1 - len(TERMS)
        return Parameters(flat[:cut].copy(), flat[cut:-1].copy(), float(flat[-1]))

    def flat(self) -> Floats:
        """All in one row."""
        return np.concatenate([self.weights, self.scales, [self.noise]])


def fit(kernel: Kernel, points: Floats, z: Floats, parameters: Parameters, steps: int) -> Parameters:
    """The most probable parameters found in some steps of Rprop (Riedmiller & Braun 1993), from those given."""
    middle = Parameters.middle(len(parameters.weights)).flat()
    spread = np.full(len(middle), _SPREAD_WEIGHT)
    spread[-1 - len(TERMS) : -1] = _SPREAD_SCALE
    spread[-1] = _SPREAD_NOISE
    low, high = middle - 3 * spread, middle + 3 * spread
    low[-1] = np.log(_LEAST_NOISE)
    at, best, best_value = parameters.flat(), parameters.flat(), -np.inf
    stride, before = np.full(len(at), 0.2), np.zeros(len(at))
    for _ in range(steps):
        value, slope = likelihood(kernel, points, z, Parameters.of(at))
        value -= 0.5 * float((((at - middle) / spread) ** 2).sum())
        slope = slope - (at - middle) / spread**2
        if value > best_value:
            best, best_value = at.copy(), value
        agree = np.sign(slope) * np.sign(before)
        stride = np.clip(np.where(agree > 0, stride * 1.3, np.where(agree < 0, stride * 0.5, stride)), 1e-3, 1.0)
        before = np.where(agree < 0, 0.0, slope)
        at = np.clip(at + stride * np.sign(before), low, high)
    return Parameters.of(best)


def likelihood(kernel: Kernel, points: Floats, z: Floats, parameters: Parameters) -> tuple[float, Floats]:
    """Logarithm of the targets' density, but for a constant, and its slope by `Parameters.flat`."""
    alike = kernel.alike(parameters.weights, parameters.scales, points)
    half = _inverted(_lower(alike.covariance, parameters))
    inverse = half.T @ half
    alpha = inverse @ z
    value = -0.5 * float(z @ alpha) + float(np.log(np.diag(half)).sum())
    outer = np.outer(alpha, alpha)
    outer -= inverse
    outer *= 0.5
    by_weight, by_scale = kernel.slopes(parameters.weights, parameters.scales, alike, outer)
    by_noise = float(np.trace(outer) * np.exp(parameters.noise))
    return value, np.concatenate([by_weight, by_scale, [by_noise]])


def _lower(k: Floats, parameters: Parameters) -> Floats:
    """Cholesky factor of a covariance, to which the noise is added in place."""
    k[np.diag_indices_from(k)] += np.exp(parameters.noise) + _JITTER
    return np.asarray(np.linalg.cholesky(k), dtype=np.float64)


def _inverted(lower: Floats) -> Floats:
    """Inverse of a lower triangular matrix by halves: most of it is products, a fifth of what a plain inverse costs."""
    n, m = len(lower), len(lower) // 2
    if n <= _LEAF:
        return np.tril(np.linalg.inv(lower))
    found = np.zeros((n, n))
    found[:m, :m], found[m:, m:] = _inverted(lower[:m, :m]), _inverted(lower[m:, m:])
    found[m:, :m] = -(found[m:, m:] @ (lower[m:, :m] @ found[:m, :m]))
    return found


class Process:
    """The posterior given points. Targets come with each question, so only points cost: (n, n) once, a row each."""

    def __init__(self, kernel: Kernel, parameters: Parameters, points: Floats) -> None:
        self.kernel, self.parameters, self.points = kernel, parameters, points
        covariance = kernel.covariance(parameters.weights, parameters.scales, points, points)
        self._half = _inverted(_lower(covariance, parameters))

    def __len__(self) -> int:
        return len(self.points)

    def extended(self, points: Floats) -> Process:
        """The same with more points, taken in one by one, so that how many come at a time changes no digit."""
        grown = object.__new__(Process)
        grown.kernel, grown.parameters = self.kernel, self.parameters
        grown.points, grown._half = self.points, self._half
        for i in range(len(points)):
            one = points[i : i + 1]
            row = grown._half @ grown.cross(one)[0]
            own = self.kernel.variance(self.parameters.scales)
            left = own + np.exp(self.parameters.noise) + _JITTER - float(row @ row)
            root = np.sqrt(max(left, _JITTER))
            n = len(row)
            half = np.zeros((n + 1, n + 1))
            half[:n, :n] = grown._half
            half[n, :n] = -(row @ grown._half) / root
            half[n, n] = 1.0 / root
            grown._half, grown.points = half, np.concatenate([grown.points, one])
        return grown

    def mean_at(self, z: Floats, cross: Floats) -> Floats:
        """The same from `cross`. Points beyond the targets are pending: taken at their mean, they do not move it."""
        return np.asarray(cross[:, : len(z)] @ self._alpha(z))

    def deviation_at(self, cross: Floats) -> Floats:
        """Posterior standard deviation of the function without its noise, (len(cross),)."""
        # The upper right of the half inverse is zero: in two parts, a quarter of the product is saved.
        m = len(self) // 2
        first, second = cross[:, :m] @ self._half[:m, :m].T, cross @ self._half[m:].T
        solved = np.einsum("ij,ij->i", first, first) + np.einsum("ij,ij->i", second, second)
        own = self.kernel.variance(self.parameters.scales)
        return np.asarray(np.sqrt(np.maximum(own - solved, _LEAST_VARIANCE)))

    def left_out(self, z: Floats) -> Floats:
        """Posterior mean of each target given all the others, (len(self),) (Rasmussen & Williams 2006, 5.12)."""
        return np.asarray(z - self._alpha(z) / np.einsum("ij,ij->j", self._half, self._half))

    def doubt(self, z: Floats) -> float:
        """How many times larger than foretold the errors at left-out points are: at least 1, at most MOST_DOUBT."""
        inverse = np.einsum("ij,ij->j", self._half, self._half)
        missed = self._alpha(z) / np.sqrt(inverse)
        return float(np.clip(np.sqrt(np.mean(missed**2)), 1.0, MOST_DOUBT))

    def bound_at(self, cross: Floats) -> Floats:
        """What the deviation would be if only the most alike point were known: never less, and cheap."""
        own = self.kernel.variance(self.parameters.scales)
        known = own + np.exp(self.parameters.noise)
        return np.asarray(np.sqrt(np.maximum(own - (cross**2).max(axis=1) / known, _LEAST_VARIANCE)))

    def cross(self, at: Floats) -> Floats:
        """Covariance of what is asked for and what is known, (len(at), len(self))."""
        return self.kernel.covariance(self.parameters.weights, self.parameters.scales, at, self.points)

    def _alpha(self, z: Floats) -> Floats:
        half = self._half[: len(z), : len(z)]
        return np.asarray(half.T @ (half @ z))
