"""The ridge regressions that a latency model may be; numpy only, deterministic, no choice between them."""

from __future__ import annotations

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
        centre: Floats64 = np.average(design, axis=0, weights=row_weights**2)
        scale = design.std(axis=0)
        scale[scale == 0] = np.inf
        middle = float(np.average(target, weights=row_weights**2))
        a = (design - centre) / scale * row_weights[:, None]
        b = (target - middle) * row_weights
        penalty = strength * np.trace(a.T @ a) / max(1, a.shape[1])
        w = np.linalg.solve(a.T @ a + (penalty + 1e-12) * np.eye(a.shape[1]), a.T @ b) / scale
        return np.concatenate([[middle - centre @ w], w])

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
        if self.logarithmic:
            return self._design(x), np.log(y), np.ones_like(y)
        return x, y, y.mean() / y


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
