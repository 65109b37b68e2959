"""One candidate goes to the gate: by constraints, then margins, then error, then speed."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest

from evernas.config import EffectConfig, MarginConfig
from evernas.errors import UsageError
from evernas.gate import Finalist, select_candidate

MARGINS, EFFECTS = MarginConfig(), EffectConfig()


@dataclass(frozen=True)
class Limit:
    metric: str
    max: float


def finalist(
    id: str,
    error: float | None,
    latency_ms: float | None,
    size_kb: float | None,
    memory_mb: float | None = None,
    **more: float,
) -> Finalist:
    return Finalist(id, error, {"latency_ms": latency_ms, "size_kb": size_kb, "peak_memory_mb": memory_mb, **more})


def choose(*finalists: Finalist, champion: Finalist | None = None, limits: tuple[Limit, ...] = ()) -> str:
    chosen = {
        select_candidate(order, champion, constraints=limits, margins=MARGINS, effects=EFFECTS).id
        for order in itertools.permutations(finalists)
    }
    assert len(chosen) == 1
    return chosen.pop()


def test_the_lowest_error_is_chosen() -> None:
    assert choose(finalist("a", 0.20, 1.0, 10), finalist("b", 0.10, 2.0, 20)) == "b"


def test_among_errors_within_the_minimum_effect_the_fastest_is_chosen() -> None:
    assert choose(finalist("a", 0.104, 1.0, 10), finalist("b", 0.10, 2.0, 20)) == "a"
    assert choose(finalist("a", 0.106, 1.0, 10), finalist("b", 0.10, 2.0, 20)) == "b"


def test_constraints_come_before_error() -> None:
    slow, fast = finalist("a", 0.10, 2.0, 10), finalist("b", 0.30, 1.0, 10)
    assert choose(slow, fast, limits=(Limit("latency_ms", 1.5),)) == "b"
    assert choose(slow, fast, limits=(Limit("latency_ms", 2.0),)) == "a"


def test_where_none_meets_all_constraints_the_fewest_broken_win() -> None:
    limits = (Limit("latency_ms", 0.5), Limit("size_kb", 50), Limit("error", 0.9))
    assert choose(finalist("a", 0.10, 2.0, 100), finalist("b", 0.30, 2.0, 10), limits=limits) == "b"


def test_a_figure_that_is_missing_meets_no_constraint() -> None:
    limits = (Limit("peak_memory_mb", 5.0),)
    assert choose(finalist("a", 0.1, 1.0, 10, None), finalist("b", 0.2, 1.0, 10, 4.0), limits=limits) == "b"
    assert (
        choose(finalist("a", 0.1, math.nan, 10), finalist("b", 0.2, 1.0, 10), limits=(Limit("latency_ms", 9),)) == "b"
    )
    assert (
        choose(
            finalist("a", 0.1, 1.0, 10),
            finalist("b", 0.2, 1.0, 10, latency_p95_ms=3.0),
            limits=(Limit("latency_p95_ms", 9),),
        )
        == "b"
    )


def test_with_a_champion_those_within_its_margins_are_preferred() -> None:
    champion = finalist("c", 0.25, 1.0, 100)
    slow, near = finalist("a", 0.10, 1.2, 100), finalist("b", 0.20, 1.1, 110)
    assert choose(slow, near, champion=champion) == "b"
    assert choose(slow, near) == "a"
    assert choose(finalist("a", 0.10, 1.0, 120), near, champion=champion) == "b"


def test_errors_that_are_missing_come_last() -> None:
    assert choose(finalist("a", None, 1.0, 10), finalist("b", 0.9, 2.0, 10)) == "b"
    assert choose(finalist("a", math.nan, 1.0, 10), finalist("b", 0.9, 2.0, 10)) == "b"
    assert choose(finalist("a", None, 2.0, 10), finalist("b", None, 1.0, 10)) == "b"


def test_ties_are_broken_by_size_then_error_then_id() -> None:
    assert choose(finalist("a", 0.1, 1.0, 20), finalist("b", 0.1, 1.0, 10)) == "b"
    assert choose(finalist("a", 0.102, 1.0, 10), finalist("b", 0.1, 1.0, 10)) == "b"
    assert choose(finalist("b", 0.1, 1.0, 10), finalist("a", 0.1, 1.0, 10)) == "a"


def test_no_finalist_is_refused() -> None:
    with pytest.raises(UsageError, match="no finalist"):
        select_candidate([], margins=MARGINS, effects=EFFECTS)


def test_an_error_beyond_its_margin_is_left_to_the_gate() -> None:
    """Error is what the finalists are ranked by: whether it is within the margin, the search split does not decide."""
    champion = finalist("c", 0.10, 1.0, 100)
    assert choose(finalist("a", 0.20, 1.0, 100), finalist("b", 0.05, 2.0, 100), champion=champion) == "a"


@pytest.mark.parametrize("metric", ["robust_error", "worst_domain_error"])
def test_what_breaks_a_limit_under_corruptions_or_in_a_domain_is_chosen_only_where_all_do(metric: str) -> None:
    limits = (Limit(metric, 0.3), Limit("latency_ms", 0.5), Limit("size_kb", 50))
    frail = finalist("frail", 0.05, 0.4, 10, **{metric: 0.31})
    slow_and_large = finalist("sturdy", 0.20, 2.0, 100, **{metric: 0.3})
    untried = finalist("untried", 0.01, 0.4, 10)
    assert choose(frail, slow_and_large, untried, limits=limits) == "sturdy"
    assert choose(frail, slow_and_large, untried, limits=limits[1:]) == "untried"
    assert choose(frail, finalist("b", 0.2, 0.4, 10, **{metric: 0.5}), limits=limits) == "frail"
