"""How alike two architectures are, choice by choice: the covariance of the surrogate and its derivatives; no data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evernas.spaces.api import SearchSpace

Floats = NDArray[np.float64]
Genes = NDArray[np.int64]
TERMS = ("main", "pair", "whole")
_BLOCK = 32


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
        found = np.empty((len(a), len(b)))
        likeness, decayed = np.empty((_BLOCK, len(b))), np.empty((_BLOCK, len(b)))
        scaled = self._scaled(log_weights, a)
        for begin in range(0, len(a), _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            s, d = likeness[: len(found[rows])], decayed[: len(found[rows])]
            _fill(log_weights, log_scales, scaled[rows], b, s, d, found[rows])
        return found

    def alike(self, log_weights: Floats, log_scales: Floats, a: Floats) -> Alike:
        """Covariance of points with one another, and what its slopes are made of."""
        shape = (len(a), len(a))
        parts = Alike(a, np.empty(shape), np.empty(shape), np.empty(shape))
        scaled = self._scaled(log_weights, a)
        for begin in range(0, len(a), _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            _fill(log_weights, log_scales, scaled[rows], a, parts.s[rows], parts.decayed[rows], parts.covariance[rows])
        return parts

    def variance(self, log_scales: Floats) -> float:
        """The covariance of any point with itself."""
        return float(np.exp(log_scales).sum())

    def slopes(self, log_weights: Floats, log_scales: Floats, alike: Alike, outer: Floats) -> tuple[Floats, Floats]:
        """Derivatives of sum(outer * covariance(a, a)) by the log weights and by the log scales; outer is symmetric."""
        main, pair = np.exp(log_scales[:2])
        a, s, decayed, w = alike.points, alike.s, alike.decayed, np.exp(log_weights)
        total = float(w.sum())
        by_s = outer * s
        by_main, by_pair = main * by_s.sum(), pair * np.multiply(by_s, s, out=by_s).sum()
        by_decayed = outer * decayed
        by_scale = np.array([by_main, by_pair, by_decayed.sum()])
        np.multiply(2 * pair, s, out=by_s)
        by_s += main
        by_s += total * decayed
        by_s *= outer
        equal = np.bincount(self._of_choice, weights=(a * (by_s @ a)).sum(axis=0), minlength=len(w))
        by_s *= s
        by_decayed *= s - 1.0
        # s depends on w_i as (e_i - s) / total, and `whole` on the total beside.
        by_w = (equal - by_s.sum()) / total + by_decayed.sum()
        return np.asarray(w * by_w), by_scale

    def _scaled(self, log_weights: Floats, a: Floats) -> Floats:
        w = np.exp(log_weights)
        return np.asarray(a * (w / w.sum())[self._of_choice])


@dataclass(frozen=True)
class Alike:
    """Some points' covariance with one another, (n, n), with s and the term `whole` of it."""

    points: Floats
    s: Floats
    decayed: Floats
    covariance: Floats


def _fill(
    log_weights: Floats, log_scales: Floats, scaled: Floats, b: Floats, s: Floats, decayed: Floats, found: Floats
) -> None:
    """Write a few rows: in blocks that stay in the processor's cache, since passes over the whole cost four times as
    much."""
    main, pair, whole = np.exp(log_scales)
    np.matmul(scaled, b.T, out=s)
    np.subtract(s, 1.0, out=decayed)
    decayed *= float(np.exp(log_weights).sum())
    np.exp(decayed, out=decayed)
    decayed *= whole
    np.multiply(pair, s, out=found)
    found += main
    found *= s
    found += decayed
