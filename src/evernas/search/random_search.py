"""Random search: the baseline that every other strategy is shown beside."""

from __future__ import annotations

from evernas.search.strategy import Strategy
from evernas.spaces.api import Architecture


class RandomSearch(Strategy):
    """Every gene uniform, without repetition."""

    name = "random"

    def _propose(self) -> Architecture:
        return self._new_random()
