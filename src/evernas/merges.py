"""Byte-pair merges of one word: which neighbours become one part; what the parts mean lives elsewhere."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

Ranks = Mapping[tuple[str, str], int]
Skip = Callable[[], bool]


def merged(parts: list[str], ranks: Ranks, skip: Skip | None = None) -> list[str]:
    """The parts with neighbours made one, until no pair has a rank (Sennrich et al. 2016).

    The pair of the least rank comes first, of equal ones the foremost.

    Where `skip` says so, a pair is passed over until the next merge; if all are, it ends (Provilkov et al. 2020).
    A text without blanks is one word of many parts: this takes n log n, not n squared.
    """
    chain = _Chain(parts, ranks)
    passed_over = list[tuple[int, int]]()
    while chain.pairs:
        pair = heapq.heappop(chain.pairs)
        if not chain.holds(*pair):
            continue
        if skip is not None and skip():
            passed_over.append(pair)
            continue
        chain.merge(pair[1])
        while passed_over:
            heapq.heappush(chain.pairs, passed_over.pop())
    return chain.left


class _Chain:
    """Parts that know their neighbours, and a heap of pairs, (rank, place of the first), some of which are no more."""

    def __init__(self, parts: list[str], ranks: Ranks) -> None:
        self._parts: list[str | None] = list(parts)
        self._ranks = ranks
        self._before = list(range(-1, len(parts) - 1))
        self._after = list(range(1, len(parts) + 1))
        self.pairs = list[tuple[int, int]]()
        for at in range(len(parts)):
            self._note(at)

    @property
    def left(self) -> list[str]:
        """The parts that there are now."""
        return [part for part in self._parts if part is not None]

    def holds(self, rank: int, at: int) -> bool:
        """Whether this pair has not been merged, nor grown on either side: a rank is of one pair alone."""
        return self._rank(at) == rank

    def merge(self, at: int) -> None:
        """Make one of the part here and the next, and note the pairs that it is of then."""
        second = self._after[at]
        first, other = self._parts[at], self._parts[second]
        assert first is not None
        assert other is not None
        self._parts[at], self._parts[second] = first + other, None
        self._after[at] = self._after[second]
        if self._after[at] < len(self._parts):
            self._before[self._after[at]] = at
        self._note(at)
        if self._before[at] >= 0:
            self._note(self._before[at])

    def _note(self, at: int) -> None:
        rank = self._rank(at)
        if rank is not None:
            heapq.heappush(self.pairs, (rank, at))

    def _rank(self, at: int) -> int | None:
        first, second = self._parts[at], self._after[at]
        if first is None or second == len(self._parts):
            return None
        other = self._parts[second]
        return None if other is None else self._ranks.get((first, other))
