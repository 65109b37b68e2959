"""The first architectures of a search, before anything is known: every option of every choice as often as the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_TRIALS = 30


def spread_design(ways: Sequence[int], count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """`count` rows of genes. Each column holds its options equally often; of some shuffles the widest apart wins."""
    best, best_value = np.zeros((0, len(ways)), dtype=np.int64), (-1, -np.inf)
    for _ in range(_TRIALS):
        columns = []
        for way in ways:
            rounds = -(-count // way)
            column = np.concatenate([rng.permutation(way) for _ in range(rounds)])[:count]
            columns.append(rng.permutation(column))
        rows = np.array(columns).T
        apart = (rows[:, None, :] != rows[None, :, :]).sum(axis=2)[np.triu_indices(count, 1)]
        value = (int(apart.min(initial=len(ways))), -float((1.0 / (0.5 + apart)).sum()))
        if value > best_value:
            best, best_value = rows, value
    return [tuple(int(g) for g in row) for row in best]
