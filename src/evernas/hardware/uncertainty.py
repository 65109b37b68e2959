"""Which architectures a device's predictors know least about; numpy only, nothing is measured or fitted anew here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evernas.hardware.predictor import CostPredictor
from evernas.hardware.regression import Floats64, form_named


@dataclass(frozen=True)
class Known:
    """A predictor and what it was fitted on: features (n, k), and values (n,) in its unit."""

    predictor: CostPredictor
    features: Floats64
    values: Floats64


def least_certain(known: Sequence[Known], candidates: Floats64, count: int) -> list[int]:
    """Up to `count` candidates (m, k) by number, the least certain first; what is alike in all features is one.

    Of each candidate it is the root of the sum over the predictors of the squared posterior standard deviations of its
    relative error, each in units of how far the candidates lie apart in that cost: 2 % of memory may turn a front
    around whose networks need about the same, and 5 % of a latency that differs tenfold does not.

    A ridge regression is the posterior mean of a linear Gaussian model (Bishop, PRML, 3.3), whose variance needs no
    measurement. So each is chosen as if those before it had been measured: greedily, neighbours of a chosen one have
    become certain.
    """
    fits = [_Fit.of(each, candidates) for each in known] if len(candidates) else []
    left = list(np.unique(candidates, axis=0, return_index=True)[1]) if len(candidates) else []
    left.sort()
    chosen: list[int] = []
    while fits and left and len(chosen) < count:
        spread = np.linalg.norm([fit.spread(left) / fit.apart for fit in fits], axis=0)
        best = left.pop(int(np.argmax(spread)))
        chosen.append(int(best))
        for fit in fits:
            fit.learn(best)
    return chosen


@dataclass
class _Fit:
    """One ridge regression as it stands: `inverse` (k, k) of its information, and the candidates as its rows.

    `apart` is how far these lie apart by what is foreseen of them, a share; at least the predictor's own spread, below
    which it tells no two from one another.
    """

    inverse: Floats64
    constant: float
    rows: Floats64
    weights: Floats64
    residual: float
    apart: float

    @classmethod
    def of(cls, known: Known, candidates: Floats64) -> _Fit:
        predictor = known.predictor
        design, row_weights, information = form_named(predictor.form).information(
            known.features, known.values, predictor.strength
        )
        foreseen = np.maximum(predictor.predict(candidates), np.finfo(float).tiny)
        return cls(
            inverse=np.asarray(np.linalg.inv(information), dtype=np.float64),
            constant=1.0 / float((row_weights**2).sum()),
            rows=design(candidates),
            weights=form_named(predictor.form).row_weights(foreseen, float(known.values.mean())),
            residual=predictor.residual,
            apart=max(float(np.log(foreseen).std()), predictor.residual, np.finfo(float).tiny),
        )

    def spread(self, of: list[int]) -> Floats64:
        """The standard deviation of the relative error of these candidates' means."""
        rows = self.rows[of]
        variance = np.einsum("ij,jk,ik->i", rows, self.inverse, rows) + self.constant
        found: Floats64 = self.residual * self.weights[of] * np.sqrt(np.maximum(variance, 0.0))
        return found

    def learn(self, number: int) -> None:
        """Take a candidate as measured (Sherman and Morrison); the mean and scale of the features stay."""
        row = self.rows[number] * self.weights[number]
        along = self.inverse @ row
        self.inverse = self.inverse - np.outer(along, along) / (1.0 + float(row @ along))
        self.constant = 1.0 / (1.0 / self.constant + float(self.weights[number]) ** 2)
