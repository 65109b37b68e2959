"""A hold tells next to nothing of the gate split, and never the same news twice; a promotion tells all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evernas.gate import Reason, Verdict
from evernas.gate.publication import news, publish, reads_split
from evernas.gate.spending import KINDS

LIMITS = {
    "no_worse:error": 0.02,
    "anchor": 0.02,
    "constraint:error": 0.3,
    "floor:error": 0.5,
    "floor:classes": 0.5,
    "better": -0.005,
    "utility": -1.0,
}


def reason(rule: str, value: float | None, bound: float | None, limit: float = 0.0) -> Reason:
    return Reason(rule, bound is not None and bound <= limit, value, bound, limit, f"{rule}: {value} {bound}.")


def verdict(*failing: Reason) -> Verdict:
    """A hold for these reasons, among rules that passed."""
    open_ones = (
        Reason("complete", True, None, None, None, "All there."),
        Reason("no_worse:latency_ms", True, 0.01, 0.02, 0.1, "The latency is 1 % higher: passed."),
    )
    passed = (
        reason("no_worse:error", 0.0012345, 0.0112345, 0.02),
        Reason("domains", True, 0.0312345, 0.0212345, 0.1, "The worst domain, ann, is 3.12345 points up."),
    )
    return Verdict("hold", (*open_ones, *passed, *failing), 3, 0.001, "Over 9 people.", 0.0098765, 0.0176543, 9)


NEAR = {rule: reason(rule, limit - 0.001, limit + 0.004, limit) for rule, limit in LIMITS.items()}
FAR = {rule: reason(rule, limit + 0.001, limit + 0.01, limit) for rule, limit in LIMITS.items()}
VETO = Reason("domains", False, 0.2, 0.15, 0.1, "The worst domain, ann, is 20 points up: it vetoes.")


def test_a_promotion_tells_every_figure() -> None:
    exact = Verdict("promote", (reason("better", -0.02, -0.01, -0.005),), 1, 0.01, "Over 9 people.", 0.01, 0.02, 9)
    assert publish(exact, {"better"}, 0.5, 0.5) == (exact, "promotion")


def test_a_hold_far_from_passing_tells_no_figure_of_the_split() -> None:
    shown, kind = publish(verdict(FAR["better"]), set(), 0.011, 0.017)
    assert kind is None
    assert [r.rule for r in shown.reasons] == ["complete", "no_worse:latency_ms", "quality"]
    assert (shown.reasons[-1].value, shown.reasons[-1].bound, shown.reasons[-1].limit) == (None, None, None)
    assert shown.reasons[-1].passed is False
    assert shown.reasons[-1].sentence.endswith("pay for it: failed.")
    assert (shown.resolution, shown.detectable) == (0.011, 0.017)
    assert (shown.decision, shown.level, shown.left, shown.scope) == (3, 0.001, 9, "Over 9 people.")
    assert shown.outcome == "hold"
    assert "12345" not in str(shown.to_json())


@pytest.mark.parametrize("rule", [rule for rule in LIMITS if rule != "utility"])
def test_a_near_miss_is_news_once_and_tells_its_bound_to_the_resolution(rule: str) -> None:
    exact = verdict(NEAR[rule])
    shown, kind = publish(exact, set(), 0.011)
    assert kind == rule
    (failing,) = shown.failed
    assert (failing.rule, failing.passed, failing.value, failing.limit) == (rule, False, None, LIMITS[rule])
    assert failing.bound == pytest.approx(LIMITS[rule] + 0.011)
    assert "within the gate's resolution of 1.1 points, so that more gate data" in failing.sentence
    again, nothing = publish(exact, {rule}, 0.011)
    assert nothing is None
    assert again.failed[0].rule == "quality"
    assert again.failed[0].sentence.endswith(f"pay for it: failed. Told before: {rule} was near to pass.")
    both, _ = publish(exact, {"anchor", rule}, 0.011)
    assert f"Told before: {', '.join(sorted({'anchor', rule}))} was" in both.failed[0].sentence
    assert "resolution of 10.0 points" in publish(exact, set(), 0.09999)[0].failed[0].sentence


def test_what_was_told_before_does_not_depend_on_tonight() -> None:
    """After the news, a near miss and a bad candidate read the same: no thermometer."""
    near, far = (publish(verdict(r["better"]), {"better"}, 0.01)[0] for r in (NEAR, FAR))
    assert near == far


def test_without_a_foreseen_resolution_no_bound_is_told() -> None:
    (failing,) = publish(verdict(NEAR["better"]), set())[0].failed
    assert failing.bound is None
    assert "resolution, so" in failing.sentence


def test_one_rule_that_even_the_figures_fail_silences_the_others() -> None:
    assert news(verdict(NEAR["better"], FAR["anchor"])) is None
    assert news(verdict(NEAR["better"], VETO)) == "better"
    assert news(verdict(NEAR["anchor"], NEAR["no_worse:error"])) == "no_worse:error"
    assert news(verdict(replace(NEAR["better"], value=None))) is None
    assert news(verdict(replace(NEAR["better"], limit=None))) is None
    assert news(verdict(replace(NEAR["better"], value=NEAR["better"].limit))) == "better"


def test_a_veto_alone_is_news_without_the_name_of_the_domain() -> None:
    shown, kind = publish(verdict(VETO), {"better"}, 0.01)
    assert kind == "domains"
    (failing,) = shown.failed
    assert (failing.rule, failing.passed, failing.value, failing.bound) == ("domains", False, None, None)
    assert failing.limit == 0.1
    assert "ann" not in failing.sentence


def test_a_hold_before_the_split_was_read_is_told_as_it_is() -> None:
    slow = Reason("no_worse:latency_ms", False, 0.2, 0.3, 0.1, "The latency is 20 % higher: failed.")
    exact = Verdict("hold", (slow,), 3, 0.001, "The gate split was not read.", left=9)
    assert publish(exact, set(), 0.01, 0.02) == (exact, None)
    assert news(exact) is None


def test_every_rule_that_reads_the_split_has_its_price() -> None:
    assert {rule for rule in KINDS if rule != "promotion"} == {*LIMITS, "domains"}
    assert all(reads_split(rule) for rule in (*LIMITS, "domains"))
    for rule in ("complete", "different", "agreement", "no_worse:size_kb", "constraint:size_kb", "quality", "budget"):
        assert not reads_split(rule)


@pytest.mark.parametrize("failing", [NEAR["better"], FAR["better"], VETO])
def test_a_silent_hold_is_the_same_whatever_it_was(failing: Reason) -> None:
    shown, kind = publish(verdict(failing), {"anchor"}, 0.011, near_misses=False)
    assert kind is None
    assert shown.reasons[-1] == publish(verdict(FAR["better"]), set(), near_misses=False)[0].reasons[-1]
    assert "gate.near_misses" in shown.failed[-1].sentence
