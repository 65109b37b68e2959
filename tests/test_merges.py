"""Neighbours merge in the order of their ranks, and a long word costs hardly more for its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from evernas.merges import merged

RANKS = {pair: rank for rank, pair in enumerate([("a", "b"), ("b", "a"), ("ab", "a"), ("c", "c"), ("aba", "b")])}


def by_looking_at_all(parts: list[str], skip: Callable[[], bool] = lambda: False) -> list[str]:
    """The plainest way: the least rank of all pairs that are not passed over, then all over again."""
    parts = list(parts)
    while True:
        pairs = [
            (RANKS[parts[at], parts[at + 1]], at)
            for at in range(len(parts) - 1)
            if (parts[at], parts[at + 1]) in RANKS and not skip()
        ]
        if not pairs:
            return parts
        _, at = min(pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 40])
def test_the_merges_are_those_of_looking_at_all_pairs_each_time(length: int) -> None:
    rng = np.random.default_rng(length)
    for _ in range(60):
        parts = [str(part) for part in rng.choice(list("abc"), length)]
        assert merged(parts, RANKS) == by_looking_at_all(parts)


def test_of_equal_pairs_the_foremost_is_merged() -> None:
    assert merged(list("ccc"), RANKS) == ["cc", "c"]
    assert merged(list("ccccc"), RANKS) == ["cc", "cc", "c"]


def test_a_word_ten_times_as_long_takes_about_ten_times_as_many_looks() -> None:
    class Counted(dict[tuple[str, str], int]):
        looks = 0

        def get(self, key: tuple[str, str], default: int | None = None) -> int | None:  # type: ignore[override]
            self.looks += 1
            return super().get(key, default)

    looks = []
    for length in (1_000, 10_000):
        ranks = Counted(RANKS)
        merged([str(part) for part in np.random.default_rng(0).choice(list("abc"), length)], ranks)
        looks.append(ranks.looks)
    assert looks[1] < 11 * looks[0]


def shares(parts: list[str], cut: Callable[[list[str], Callable[[], bool]], list[str]]) -> Counter[str]:
    rng = np.random.default_rng(2)
    return Counter("|".join(cut(parts, lambda: rng.random() < 0.5)) for _ in range(4_000))


def test_a_pair_is_passed_over_until_the_next_merge_only() -> None:
    """As the paper has it: each time all pairs are drawn anew, and the best that is left is merged."""

    word = list("abacc")
    ours = shares(word, lambda parts, skip: merged(parts, RANKS, skip))
    plain = shares(word, by_looking_at_all)
    assert set(ours) == set(plain)
    for cut, count in plain.items():
        assert abs(ours[cut] - count) < 5 * np.sqrt(2 * count) + 5, cut
    assert merged(word, RANKS, lambda: True) == word
    assert merged(word, RANKS, lambda: False) == merged(word, RANKS)
