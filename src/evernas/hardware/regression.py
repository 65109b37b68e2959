"""The ridge regressions that a latency model may be; numpy only, deterministic, no choice between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats64: TypeAlias = NDArray[np.float64]

LARGEST_LOG = 50.0


@dataclass(frozen=True)
class Form:
    """One way from costs to latency.

    Linear forms add up costs, and weigh networks by 1 / latency, so that relative errors count. Logarithmic ones
    multiply powers of costs."""

    name: str
    logarithmic: bool
    strengths: tuple[float, ...]

    def fit(self, x: Floats64, y: Floats64, strength: float) -> Floats64:
        """Weights (1 + k,), the first for a constant, of costs x (n, k) for latencies y (n,)."""
        design, target, row_weights = self._problem(x, y)
        centre, scale = _standard(design, row_weights)
        middle = float(np.average(target, weights=row_weights**2))
        a = (design - centre) / scale * row_weights[:, None]
        b = (target - middle) * row_weights
        w = np.linalg.solve(_penalised(a, strength), a.T @ b) / scale
        return np.concatenate([[middle - centre @ w], w])

    def information(
        self, x: Floats64, y: Floats64, strength: float
    ) -> tuple[Callable[[Floats64], Floats64], Floats64, Floats64]:
        """Of a fit: what makes rows of costs, the weights of its networks (n,), and its penalised normal matrix (k, k).

        By the matrix's inverse a row has a posterior variance, in units of that of a network of weight 1.
        """
        design, _, row_weights = self._problem(x, y)
        centre, scale = _standard(design, row_weights)
        a = (design - centre) / scale * row_weights[:, None]
        return lambda other: (self._design(other) - centre) / scale, row_weights, _penalised(a, strength)

    def row_weights(self, y: Floats64, mean: float) -> Floats64:
        """The weights that networks of these latencies have beside others of this mean."""
        return np.ones_like(y) if self.logarithmic else mean / y

    def predict(self, x: Floats64, weights: Floats64) -> Floats64:
        """Latencies (n,) of costs (n, k)."""
        linear: Floats64 = weights[0] + self._design(x) @ weights[1:]
        return np.exp(np.clip(linear, -LARGEST_LOG, LARGEST_LOG)) if self.logarithmic else linear

    def leave_one_out(self, x: Floats64, y: Floats64, strength: float) -> Floats64:
        """What each network (n,) is predicted by the fit on all others."""
        rows = np.arange(len(y))
        found = [self.predict(x[[i]], self.fit(x[rows != i], y[rows != i], strength))[0] for i in rows]
        return np.array(found)

    def _design(self, x: Floats64) -> Floats64:
        return np.log1p(x) if self.logarithmic else x

    def _problem(self, x: Floats64, y: Floats64) -> tuple[Floats64, Floats64, Floats64]:
        target = np.log(y) if self.logarithmic else y
        return self._design(x), target, self.row_weights(y, float(y.mean()))


def _standard(design: Floats64, row_weights: Floats64) -> tuple[Floats64, Floats64]:
    """Centre and scale of each column; what is the same everywhere has an infinite scale, and so no say."""
    centre: Floats64 = np.average(design, axis=0, weights=row_weights**2)
    scale: Floats64 = design.std(axis=0)
    scale[scale == 0] = np.inf
    return centre, scale


def _penalised(a: Floats64, strength: float) -> Floats64:
    """The normal matrix of rows `a` with the ridge's penalty, a share of the mean of its diagonal."""
    normal: Floats64 = a.T @ a
    penalty = strength * np.trace(normal) / max(1, a.shape[1])
    penalised: Floats64 = normal + (penalty + 1e-12) * np.eye(a.shape[1])
    return penalised


STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FORMS = (Form("linear", logarithmic=False, strengths=STRENGTHS), Form("power", logarithmic=True, strengths=STRENGTHS))


def form_named(name: str) -> Form:
    """The form of this name; raises KeyError for any other."""
    return {form.name: form for form in FORMS}[name]


def ranks(values: Floats64) -> Floats64:
    """Ranks from 0, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts + 1) / 2
    shared: Floats64 = means[inverse]
    return shared


def spearman(a: Floats64, b: Floats64) -> float:
    """Rank correlation; 0 when either is constant."""
    x, y = ranks(a), ranks(b)
    if x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
