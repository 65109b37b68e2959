"""Candidates worth an acquisition: near the front, mixtures of it, and some from anywhere; numbers only, no scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evernas.spaces.api import SearchSpace

Genes = NDArray[np.int64]
Seen = set[tuple[int, ...]]


class Pool:
    """Draws candidates of a space as rows of canonical genes, each once and none of those seen."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._ways = np.array([len(choice.options) for choice in space.choices])
        self._free = np.flatnonzero(self._ways > 1)

    def around(self, front: Genes, seen: Seen, count: int, rng: np.random.Generator) -> Genes:
        """Up to about `count`: half a choice away from the front, the rest further, between members, or anywhere."""
        woken = self._woken(front, rng)
        near = _some(self._one_away(woken), count // 2, rng)
        parents = woken[rng.integers(len(woken), size=count // 3)]
        far = self._changed(parents, 2 + rng.integers(2, size=len(parents)), rng)
        one, other = (woken[rng.integers(len(woken), size=count // 4)] for _ in range(2))
        mixed = np.where(rng.random(one.shape) < 0.5, one, other)
        anywhere = rng.integers(self._ways, size=(count // 6, len(self._ways)))
        return self._new(np.concatenate([near, far, mixed, anywhere]), seen)

    def neighbours(self, centres: Genes, seen: Seen, count: int, rng: np.random.Generator) -> Genes:
        """Up to `count` of those one choice away from the centres."""
        return _some(self._new(self._one_away(self._woken(centres, rng)), seen), count, rng)

    def _woken(self, genes: Genes, rng: np.random.Generator) -> Genes:
        """The genes with those that are not active drawn anew: 0 there means unused, not the first option."""
        drawn = rng.integers(self._ways, size=genes.shape)
        return np.where(self._space.active_many(genes), genes, drawn)

    def _one_away(self, genes: Genes) -> Genes:
        rows = [genes[:0]]
        for i in self._free:
            for shift in range(1, self._ways[i]):
                changed = genes.copy()
                changed[:, i] = (changed[:, i] + shift) % self._ways[i]
                rows.append(changed)
        return np.concatenate(rows)

    def _changed(self, genes: Genes, changes: Genes, rng: np.random.Generator) -> Genes:
        """Each row with that many of its genes, or all of them if it has fewer, changed to other options."""
        ways = self._ways[self._free]
        order = np.argsort(np.argsort(rng.random((len(genes), len(ways))), axis=1), axis=1)
        shift = 1 + rng.integers(np.maximum(ways - 1, 1), size=order.shape)
        changed = genes.copy()
        kept = genes[:, self._free]
        changed[:, self._free] = np.where(order < changes[:, None], (kept + shift) % ways, kept)
        return changed

    def _new(self, genes: Genes, seen: Seen) -> Genes:
        canonical = np.unique(np.where(self._space.active_many(genes), genes, 0), axis=0)
        fresh = [tuple(row) not in seen for row in canonical.tolist()]
        return np.asarray(canonical[fresh])


def _some(rows: Genes, count: int, rng: np.random.Generator) -> Genes:
    return rows if len(rows) <= count else rows[np.sort(rng.permutation(len(rows))[:count])]
