"""How alike two architectures are, choice by choice: the covariance of the surrogate and its derivatives; no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.spaces.api import SearchSpace

Floats = NDArray[np.float64]
Genes = NDArray[np.int64]
TERMS = ("main", "pair", "whole", "shared")


@dataclass(frozen=True)
class Points:
    """Architectures as the kernel sees them: (n, columns) one-hot, and (n, counted) counts of options."""

    hot: Floats
    counts: Floats

    def __len__(self) -> int:
        return len(self.hot)

    def rows(self, at: Any) -> Points:
        """Some of them."""
        return Points(self.hot[at], self.counts[at])

    def joined(self, more: Points) -> Points:
        """These and then those."""
        return Points(np.concatenate([self.hot, more.hot]), np.concatenate([self.counts, more.counts]))


class Encoding:
    """Genes as Points. A gene that is not active is an option of its own.

    Choices with equal options form a group, in which each option's occurrences are counted: what an operation costs or
    brings is often alike wherever it stands.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self.widths = tuple(len(choice.options) + 1 for choice in space.choices)
        self.of_choice = np.repeat(np.arange(len(self.widths)), self.widths)
        self._starts = np.concatenate([[0], np.cumsum(self.widths)[:-1]])
        groups: dict[tuple[Any, ...], list[int]] = {}
        for i, choice in enumerate(space.choices):
            groups.setdefault(choice.options, []).append(i)
        self._groups = [members for members in groups.values() if len(members) > 1]

    def points(self, genes: Genes) -> Points:
        """(n, choices) canonical genes as points."""
        codes = np.where(self._space.active_many(genes), genes, np.array(self.widths) - 1)
        hot = np.zeros((len(genes), len(self.of_choice)))
        hot[np.arange(len(genes))[:, None], codes + self._starts] = 1.0
        counts = [
            (codes[:, members, None] == np.arange(self.widths[members[0]])).sum(axis=1) / len(members)
            for members in self._groups
        ]
        return Points(hot, np.concatenate([np.zeros((len(genes), 0)), *counts], axis=1))


@dataclass(frozen=True)
class Kernel:
    """Sum of effects of single choices, of pairs, of all together, and of counts, in unknown proportions.

    With e_i = 1 where choice i is equal, weights w_i and s = sum_i w_i e_i / sum_i w_i: `main` is s, `pair` is s^2,
    `whole` is exp(-sum_i w_i (1 - e_i)), and `shared` is the product of the counts. The weights say how much a choice
    matters, for every term at once, so that few numbers are learned from few points; and every term but the last is a
    function of s, so that one product of matrices serves them all.
    """

    encoding: Encoding

    def covariance(self, log_weights: Floats, log_scales: Floats, a: Points, b: Points) -> Floats:
        """(len(a), len(b)). `log_scales` are of TERMS."""
        main, pair, whole, shared = np.exp(log_scales)
        s, total = self._likeness(log_weights, a, b), float(np.exp(log_weights).sum())
        found = np.exp((s - 1.0) * total)
        found *= whole
        found += (main + pair * s) * s
        if a.counts.shape[1]:
            found += shared * (a.counts @ b.counts.T)
        return found

    def variance(self, log_scales: Floats, a: Points) -> Floats:
        """The diagonal of the covariance, (len(a),)."""
        main, pair, whole, shared = np.exp(log_scales)
        return np.asarray(main + pair + whole + shared * (a.counts**2).sum(axis=1))

    def slopes(self, log_weights: Floats, log_scales: Floats, a: Points, outer: Floats) -> tuple[Floats, Floats]:
        """Derivatives of sum(outer * covariance(a, a)) by the log weights and by the log scales; outer is symmetric."""
        main, pair, whole, shared = np.exp(log_scales)
        s, w = self._likeness(log_weights, a, a), np.exp(log_weights)
        total = float(w.sum())
        decayed = whole * np.exp((s - 1.0) * total)
        counted = float((outer * (a.counts @ a.counts.T)).sum()) if a.counts.shape[1] else 0.0
        by_scale = np.array(
            [main * (outer * s).sum(), pair * (outer * s * s).sum(), (outer * decayed).sum(), shared * counted]
        )
        by_s = outer * (main + 2 * pair * s + total * decayed)
        of_choice = self.encoding.of_choice
        equal = np.bincount(of_choice, weights=(a.hot * (by_s @ a.hot)).sum(axis=0), minlength=len(w))
        # s depends on w_i as (e_i - s) / total, and `whole` on the total beside.
        by_w = (equal - (by_s * s).sum()) / total + (outer * decayed * (s - 1.0)).sum()
        return w * by_w, by_scale

    def _likeness(self, log_weights: Floats, a: Points, b: Points) -> Floats:
        w = np.exp(log_weights)
        return np.asarray((a.hot * (w / w.sum())[self.encoding.of_choice]) @ b.hot.T)
