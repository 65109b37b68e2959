"""How alike two architectures are, choice by choice: the covariance of the surrogate and its derivatives; no data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evernas.spaces.api import SearchSpace

Floats = NDArray[np.float64]
Genes = NDArray[np.int64]
TERMS = ("main", "pair", "whole")


class Kernel:
    """Sum of effects of single choices, of pairs, and of all together, in unknown proportions.

    With e_i = 1 where choice i is equal, weights w_i and s = sum_i w_i e_i / sum_i w_i: `main` is s, `pair` is s^2 and
    `whole` is exp(-sum_i w_i (1 - e_i)). The weights say how much a choice matters, for every term at once, so that few
    numbers are learned from few points; and every term is a function of s, so that one product of matrices serves all.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        # A gene that is not active is an option of its own, behind the others.
        self._widths = np.array([len(choice.options) + 1 for choice in space.choices])
        self._starts = np.concatenate([[0], np.cumsum(self._widths)[:-1]])
        self._of_choice = np.repeat(np.arange(len(self._widths)), self._widths)

    def points(self, genes: Genes) -> Floats:
        """(n, choices) canonical genes as (n, columns) zeros and ones, a column an option of a choice."""
        options = np.where(self._space.active_many(genes), genes, self._widths - 1)
        found = np.zeros((len(genes), len(self._of_choice)))
        found[np.arange(len(genes))[:, None], options + self._starts] = 1.0
        return found

    def covariance(self, log_weights: Floats, log_scales: Floats, a: Floats, b: Floats) -> Floats:
        """(len(a), len(b)) of points. `log_scales` are of TERMS."""
        main, pair, whole = np.exp(log_scales)
        s, total = self._likeness(log_weights, a, b), float(np.exp(log_weights).sum())
        found = np.exp((s - 1.0) * total)
        found *= whole
        found += (main + pair * s) * s
        return np.asarray(found)

    def variance(self, log_scales: Floats) -> float:
        """The covariance of any point with itself."""
        return float(np.exp(log_scales).sum())

    def slopes(self, log_weights: Floats, log_scales: Floats, a: Floats, outer: Floats) -> tuple[Floats, Floats]:
        """Derivatives of sum(outer * covariance(a, a)) by the log weights and by the log scales; outer is symmetric."""
        main, pair, whole = np.exp(log_scales)
        s, w = self._likeness(log_weights, a, a), np.exp(log_weights)
        total = float(w.sum())
        decayed = whole * np.exp((s - 1.0) * total)
        by_scale = np.array([main * (outer * s).sum(), pair * (outer * s * s).sum(), (outer * decayed).sum()])
        by_s = outer * (main + 2 * pair * s + total * decayed)
        equal = np.bincount(self._of_choice, weights=(a * (by_s @ a)).sum(axis=0), minlength=len(w))
        # s depends on w_i as (e_i - s) / total, and `whole` on the total beside.
        by_w = (equal - (by_s * s).sum()) / total + (outer * decayed * (s - 1.0)).sum()
        return np.asarray(w * by_w), by_scale

    def _likeness(self, log_weights: Floats, a: Floats, b: Floats) -> Floats:
        w = np.exp(log_weights)
        return np.asarray((a * (w / w.sum())[self._of_choice]) @ b.T)
