"""Tau over groups: only twos of one group count, and its interval holds what it says."""

from __future__ import annotations

from math import asin, pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from evernas.search import agreement as module
from evernas.search.agreement import agreement, comparable

Pairs = list[tuple[float, float]]


def named(groups: list[Pairs]) -> list[dict[str, tuple[float, float]]]:
    """Groups that share nothing."""
    return [{f"{at}-{n}": pair for n, pair in enumerate(group)} for at, group in enumerate(groups)]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_one_group_has_the_tau_b_of_scipy(pairs: Pairs) -> None:
    found = agreement(named([pairs])).tau
    expected = kendalltau(*zip(*pairs, strict=True)).statistic
    if np.isnan(expected):
        assert found is None
    else:
        assert found == pytest.approx(expected)


def test_levels_between_groups_count_for_nothing() -> None:
    """Pooled, these would be ranked well; within each group they are ranked the wrong way round."""
    groups = [[(0.1, 0.2), (0.2, 0.1)], [(0.5, 0.9), (0.6, 0.8)]]
    found = agreement(named(groups))
    assert (found.alike, found.otherwise, found.tau) == (0, 2, -1.0)
    assert kendalltau(*zip(*(pair for group in groups for pair in group), strict=True)).statistic > 0


def test_groups_of_one_and_none_at_all_tell_nothing() -> None:
    for groups in ([], [[]], [[(0.1, 0.2)], [(0.2, 0.3)]], [[(0.1, 0.2), (0.1, 0.3)]]):
        found = agreement(named(groups))
        assert (found.tau, found.low, found.high) == (None, None, None)
    assert comparable(named([[], [(0.1, 0.2)], [(0.1, 0.2), (0.3, 0.4)]])) == 2


def test_full_agreement_of_few_is_not_taken_for_certainty() -> None:
    few = agreement(named([[(0.1, 0.1), (0.2, 0.2)]] * 10))
    assert (few.tau, few.high) == (1.0, 1.0)
    assert few.low == pytest.approx(2 * 0.025**0.1 - 1)
    assert few.low < 0.4
    against = agreement(named([[(0.1, 0.2), (0.2, 0.1)]] * 10))
    assert (against.low, against.high) == (-1.0, pytest.approx(-few.low))


def test_same_pairs_give_the_same_interval_and_more_of_them_a_narrower_one() -> None:
    rng = np.random.default_rng(0)
    groups = named([_drawn(rng, 4, 0.6) for _ in range(60)])
    assert agreement(groups) == agreement(groups)
    few, many = agreement(groups[:6]), agreement(groups)
    assert few.high is not None
    assert few.low is not None
    assert many.high is not None
    assert many.low is not None
    assert many.high - many.low < 0.6 * (few.high - few.low)


@pytest.mark.parametrize(("members", "of"), [(4, 5), (2, 10), (20, 1)])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_interval_holds_the_truth_as_often_as_it_says(
    members: int, of: int, correlation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two normal figures tau is 2/pi asin(r). Of 200 intervals of 95 %, 182 or fewer hold with a chance of 1 %."""
    monkeypatch.setattr(module, "RESAMPLES", 400)
    rng, truth = np.random.default_rng(1), 2 / pi * asin(correlation)
    held = 0
    for _ in range(200):
        found = agreement(named([_drawn(rng, members, correlation) for _ in range(of)]))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert held > 182


def test_two_things_that_come_again_and_again_are_still_two() -> None:
    again = [{"a": (0.1, 0.1), "b": (0.2, 0.2)}] * 10
    assert comparable(again) == 2
    found, once = agreement(again), agreement(again[:1])
    assert (found.alike, found.tau) == (10, 1.0)
    assert (found.low, found.high) == (once.low, once.high)
    assert found.low is not None
    assert found.low < 0


def test_of_things_that_share_partners_few_twos_are_apart() -> None:
    """One thing with each of ten others: all ten twos stand or fall with it."""
    star = [{"a": (0.1, 0.1), f"b{n}": (0.2 + n, 0.2 + n)} for n in range(10)]
    found = agreement(star)
    assert found.low == pytest.approx(2 * 0.025 - 1)


@pytest.mark.parametrize(("things", "runs", "chosen"), [(20, 20, 4), (20, 30, 2), (25, 10, 5)])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_interval_holds_the_truth_where_runs_choose_the_same_again(
    things: int, runs: int, chosen: int, correlation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As finalists do while a supernet is trained on: each run takes some of few, whose figures hardly change."""
    monkeypatch.setattr(module, "RESAMPLES", 400)
    rng, truth = np.random.default_rng(2), 2 / pi * asin(correlation)
    held = 0
    for _ in range(200):
        known = np.array(_drawn(rng, things, correlation))
        groups = []
        for _ in range(runs):
            some = rng.choice(things, chosen, replace=False)
            figures = known[some] + 0.02 * rng.normal(size=(chosen, 2))
            groups.append({str(n): (float(a), float(b)) for n, (a, b) in zip(some, figures, strict=True)})
        found = agreement(groups)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert held > 182


def _drawn(rng: np.random.Generator, members: int, correlation: float) -> Pairs:
    """Members of a group with a level of its own."""
    one, other = rng.normal(size=(2, members))
    level = rng.normal(size=2) * 5
    second = correlation * one + (1 - correlation**2) ** 0.5 * other
    return list(zip((one + level[0]).tolist(), (second + level[1]).tolist(), strict=True))
