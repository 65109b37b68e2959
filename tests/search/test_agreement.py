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


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
@settings(max_examples=60, deadline=None)
def test_one_group_has_the_tau_b_of_scipy(pairs: Pairs) -> None:
    found = agreement([pairs]).tau
    expected = kendalltau(*zip(*pairs, strict=True)).statistic
    if np.isnan(expected):
        assert found is None
    else:
        assert found == pytest.approx(expected)


def test_levels_between_groups_count_for_nothing() -> None:
    """Pooled, these would be ranked well; within each group they are ranked the wrong way round."""
    groups = [[(0.1, 0.2), (0.2, 0.1)], [(0.5, 0.9), (0.6, 0.8)]]
    found = agreement(groups)
    assert (found.alike, found.otherwise, found.tau) == (0, 2, -1.0)
    assert kendalltau(*zip(*(pair for group in groups for pair in group), strict=True)).statistic > 0


def test_groups_of_one_and_none_at_all_tell_nothing() -> None:
    for groups in ([], [[]], [[(0.1, 0.2)], [(0.2, 0.3)]], [[(0.1, 0.2), (0.1, 0.3)]]):
        found = agreement(groups)
        assert (found.tau, found.low, found.high) == (None, None, None)
    assert comparable([[], [(0.1, 0.2)], [(0.1, 0.2), (0.3, 0.4)]]) == 2


def test_full_agreement_of_few_is_not_taken_for_certainty() -> None:
    few = agreement([[(0.1, 0.1), (0.2, 0.2)]] * 10)
    assert (few.tau, few.high) == (1.0, 1.0)
    assert few.low == pytest.approx(2 * 0.025**0.1 - 1)
    assert few.low < 0.4
    against = agreement([[(0.1, 0.2), (0.2, 0.1)]] * 10)
    assert (against.low, against.high) == (-1.0, pytest.approx(-few.low))


def test_same_pairs_give_the_same_interval_and_more_of_them_a_narrower_one() -> None:
    rng = np.random.default_rng(0)
    groups = [_drawn(rng, 4, 0.6) for _ in range(60)]
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
        found = agreement([_drawn(rng, members, correlation) for _ in range(of)])
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
