"""A plain space of n-way choices, for any problem whose genes all matter; numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evernas.errors import UsageError
from evernas.spaces.api import Choice, SearchSpace


class Categorical(SearchSpace):
    """One gene per entry of `ways`; gene i is from 0 to ways[i] - 1, and every gene matters."""

    def __init__(self, ways: Sequence[int], name: str = "categorical") -> None:
        if not ways or min(ways) < 1:
            raise UsageError(f"The ways are {list(ways)}: give at least one, each 1 or more.")
        super().__init__(name, [Choice(f"x{i}", tuple(range(n))) for i, n in enumerate(ways)])

    def active(self, genes: Sequence[int]) -> tuple[bool, ...]:
        """Every gene matters."""
        return (True,) * len(genes)

    def active_many(self, genes: np.ndarray) -> np.ndarray:
        """Every gene of every row matters."""
        return np.ones((len(genes), len(self.choices)), dtype=bool)

    def size(self) -> int:
        """The product of the ways."""
        return math.prod(len(choice.options) for choice in self.choices)
