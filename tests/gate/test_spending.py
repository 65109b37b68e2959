"""What is told of a split is paid for: however decisions and tellings fall, all together spend alpha at most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evernas.errors import UsageError
from evernas.gate.spending import KINDS, Claim, claim, share, telling

ALPHA = 0.05
BY_MARGINS = [kind for kind in KINDS if kind != "utility"]
BY_PRICES = [kind for kind in KINDS if kind not in ("better", "no_worse:error")]


def records(length: int, kinds: list[str]) -> Iterator[tuple[str | None, ...]]:
    """Every record of so many decisions."""
    if length == 0:
        yield ()
        return
    for earlier in records(length - 1, kinds):
        for kind in (None, *kinds):
            yield (*earlier, kind)


def moody_records(length: int) -> Iterator[tuple[str | None, ...]]:
    """Every record of so many decisions of one whose policy follows from what was told: prices after any near miss."""
    if length == 0:
        yield ()
        return
    for earlier in moody_records(length - 1):
        for kind in (None, *(BY_PRICES if set(earlier) - {None, "promotion"} else BY_MARGINS)):
            yield (*earlier, kind)


def test_over_every_record_that_could_have_been_told_the_levels_sum_to_less_than_alpha() -> None:
    """The union bound itself: decision k has a level for each thing that may have been told before it."""
    decisions = 4
    total = sum(claim(ALPHA, decisions, told).level for n in range(decisions) for told in records(n, BY_MARGINS))
    assert 0.7 * ALPHA < total <= ALPHA


def test_the_levels_sum_to_less_than_alpha_though_margins_are_given_up_for_prices_meanwhile() -> None:
    decisions = 4
    for every in (lambda n: records(n, BY_PRICES), moody_records):
        total = sum(claim(ALPHA, decisions, told).level for n in range(decisions) for told in every(n))
        assert 0.6 * ALPHA < total <= ALPHA


def test_a_device_s_first_decision_costs_no_more_than_it_can_tell() -> None:
    """The same sum where the first decision is one without a champion, which is expected to promote."""
    decisions = 4
    firsts = [telling(kind, first=True) for kind in (None, *BY_MARGINS)]
    total = claim(ALPHA, decisions).level
    for n in range(decisions - 1):
        total += sum(
            claim(ALPHA, decisions, (first, *told)).level for first in firsts for told in records(n, BY_MARGINS)
        )
    assert 0.6 * ALPHA < total <= ALPHA


def test_holds_that_tell_nothing_cost_nothing_but_their_own_level() -> None:
    levels = [claim(ALPHA, 365, (None,) * n).level for n in range(365)]
    assert levels == sorted(levels, reverse=True)
    assert 0.66 * ALPHA < sum(levels) < 2 / 3 * ALPHA
    assert levels[-1] > ALPHA / 3 / 365
    assert levels[0] == pytest.approx(ALPHA * 2 / 3 * share(1, 365))


def test_whatever_is_told_makes_every_later_decision_ask_for_more() -> None:
    for n in (1, 5, 100):
        nothing = claim(ALPHA, 365, (None,) * n).level
        for kind in KINDS:
            told = (None,) * (n - 1) + (kind,)
            assert claim(ALPHA, 365, told).level < nothing / 3
        assert (
            claim(ALPHA, 365, (None,) * (n - 1) + ("domains",)).level
            < claim(ALPHA, 365, (None,) * (n - 1) + ("promotion",)).level
        )


def test_the_price_is_the_share_of_what_was_told_at_that_moment() -> None:
    told = (None, None, "better", None)
    expected = ALPHA * (2 / 3) * (1 / 3) * share(3, 10) * KINDS["better"] * share(2, 10)
    assert claim(ALPHA, 10, told).level == pytest.approx(expected)
    assert sum(KINDS[kind] for kind in BY_MARGINS) == pytest.approx(1)
    assert sum(KINDS[kind] for kind in BY_PRICES) <= 1


def test_a_first_champion_is_expected_and_its_promotion_costs_a_quarter() -> None:
    plain = claim(ALPHA, 365, (None,)).level
    assert claim(ALPHA, 365, (telling("promotion", first=True),)).level == pytest.approx(0.75 * plain)
    assert claim(ALPHA, 365, (telling(None, first=True),)).level == pytest.approx(0.25 * plain)
    near = claim(ALPHA, 365, (telling("floor:error", first=True),)).level
    assert near == pytest.approx(0.25 * claim(ALPHA, 365, ("floor:error",)).level)
    assert telling("better", first=False) == "better"
    assert telling(None, first=False) is None


def test_numbers_count_and_run_out() -> None:
    assert claim(ALPHA, 3).decision == 1
    assert [claim(ALPHA, 3, (None,) * n).left for n in range(5)] == [2, 1, 0, 0, 0]
    assert [claim(ALPHA, 3, (None,) * n).spent for n in range(5)] == [False, False, False, True, True]
    assert claim(ALPHA, 3, (None,) * 4) == Claim(5, 0.0, 0)


def test_shares_of_all_gaps_stay_below_one() -> None:
    for decisions in (1, 2, 365, 5000):
        total = sum(share(gap, decisions) for gap in range(1, decisions + 1))
        assert 0.74 < total < 1
    assert share(1, 365) == pytest.approx(0.25 + 0.5 / 365)
    assert share(3, 365) == pytest.approx(0.5 / 12 + 0.5 / 365)


def test_alpha_bounds_all_levels_though_it_was_changed_meanwhile() -> None:
    assert claim(ALPHA, 365, spent=0.045).level == pytest.approx(0.005)
    assert claim(ALPHA, 365, spent=0.02).level == claim(ALPHA, 365).level
    for spent in (ALPHA, 0.2):
        assert claim(ALPHA, 365, spent=spent).spent


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(UsageError, match=r"alpha is .*: give a chance between 0 and 1"):
        claim(alpha, 365)


@pytest.mark.parametrize("decisions", [0, -1, True, 1.5])
def test_an_impossible_number_of_decisions_is_refused(decisions: Any) -> None:
    with pytest.raises(UsageError, match=r"decisions is .*: give how many"):
        claim(ALPHA, decisions)


@pytest.mark.parametrize("entry", ["gossip", "first:gossip", ""])
def test_what_no_decision_tells_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match="cannot have told"):
        claim(ALPHA, 365, (entry,))
