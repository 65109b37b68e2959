"""A declared trade-off: what is worth more is promoted, whatever it gives up, and only where that is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.config_gate import EffectConfig, GateConfig, MarginConfig, PriceConfig, TradeOffConfig
from evernas.gate import (
    Agreement,
    Claim,
    Evidence,
    Finalist,
    Measured,
    Reason,
    Verdict,
    before_reading,
    decide,
    moves_anchor,
    publish,
    select_candidate,
)
from evernas.gate.estimate import cluster, clustered_mean, restart_mean
from evernas.gate.student import upper_quantile
from evernas.gate.trading import Part, gain_in_error, half_width, worth_more
from evernas.gate.wording import amount

DOMAINS, RECORDINGS, WINDOWS = 6, 6, 50
NAMES = np.repeat([f"d{i}" for i in range(DOMAINS)], RECORDINGS * WINDOWS)
GROUPS = np.tile(np.repeat([f"r{i}" for i in range(RECORDINGS)], WINDOWS), DOMAINS)
RESTARTS = np.array([10.0, 10.1, 9.9, 10.0, 10.0])
AT = Claim(1, 0.025, 364)
WOBBLE = (-1, 0, 1, 0, 1, -1)


def answers(rate: float, spread: int = 0) -> np.ndarray:
    """1 where right: a share `rate` of each recording, `spread` windows more or less from one domain to the next."""
    counts = [round(rate * WINDOWS) + spread * WOBBLE[d] for d in range(DOMAINS) for _ in range(RECORDINGS)]
    return np.concatenate([np.arange(WINDOWS) < count for count in counts]).astype(int)


def model(digest: str, rate: float, latency_ms: float = 10.0, size_kb: float = 100.0, **more: Any) -> Measured:
    wave = np.array([0, 0.02, 0, -0.02, 0]) * (digest == "new")
    spread = 1 if digest == "new" else 0
    return Measured(
        digest, answers(rate, spread), RESTARTS - 10 + latency_ms + wave, RESTARTS, size_kb, 3.0,
        **{"energy_mj": RESTARTS, "cold_start_ms": 20 * RESTARTS, **more},
    )  # fmt: skip


OLD = model("old", 0.80)


def case(candidate: Measured, champion: Measured | None = OLD, anchor: Measured | None = None) -> Evidence:
    return Evidence(candidate, champion, np.ones(len(NAMES), dtype=int), NAMES, GROUPS, anchor)


def policy(effect: float = 1.0, margin: float | None = None, **prices: float) -> GateConfig:
    """A point of error is worth a millisecond, unless said otherwise."""
    trade = TradeOffConfig(
        prices=PriceConfig(**{"error": 1.0, "latency_ms": 1.0} | prices), effect=effect, margin=margin
    )
    return GateConfig(trade_off=trade, resamples=1000)


def judged(evidence: Evidence, policy: Any, **more: Any) -> Verdict:
    return decide(evidence, policy, claimed=AT, **more)


def failed(verdict: Verdict) -> list[str]:
    return [reason.rule for reason in verdict.failed]


def reason(verdict: Verdict, rule: str) -> Reason:
    return next(found for found in verdict.reasons if found.rule == rule)


FASTER = case(model("new", 0.76, latency_ms=2.0))
"""Four points worse, and eight milliseconds faster."""


def test_what_is_worth_more_is_promoted_though_it_gives_up_more_than_a_margin() -> None:
    assert failed(judged(FASTER, GateConfig(resamples=1000))) == ["no_worse:error"]
    verdict = judged(FASTER, policy())
    assert verdict.outcome == "promote"
    assert [r.rule for r in verdict.reasons] == [
        "complete", "different", "no_worse:size_kb", "domains", "utility",
    ]  # fmt: skip


def test_the_same_candidate_is_held_where_error_is_dear() -> None:
    assert failed(judged(FASTER, policy(error=3.0))) == ["utility"]
    slower = case(model("new", 0.88, latency_ms=14.0))
    assert failed(judged(slower, GateConfig(resamples=1000))) == ["no_worse:latency_ms"]
    assert judged(slower, policy()).outcome == "promote"
    assert failed(judged(slower, policy(latency_ms=3.0))) == ["utility"]


def test_the_bound_of_worth_is_the_sum_of_the_bounds_of_its_parts_at_their_share_of_the_level() -> None:
    prices = {"error": 2.0, "latency_ms": 0.5, "size_kb": 0.01}
    evidence = case(model("new", 0.88, latency_ms=9.0, size_kb=90.0))
    found = reason(judged(evidence, policy(**prices)), "utility")
    worse = np.asarray(OLD.answers) - np.asarray(evidence.candidate.answers)
    error = clustered_mean(cluster(worse.astype(float), NAMES, GROUPS), 5, 1000, 0)
    latency = restart_mean(np.asarray(evidence.candidate.latency_ms) - np.asarray(OLD.latency_ms))
    exact = 0.01 * -10
    assert found.value == pytest.approx(200 * error.value + 0.5 * latency.value + exact)
    assert found.bound == pytest.approx(200 * error.upper(0.0125) + 0.5 * latency.upper(0.0125) + exact)
    assert found.bound > found.value + 0.5
    assert found.limit == -1.0


def test_an_objective_without_noise_takes_no_share_of_the_level() -> None:
    evidence = case(model("new", 0.88, size_kb=90.0))
    only = policy(latency_ms=None, size_kb=0.01)  # type: ignore[arg-type]
    worse = np.asarray(OLD.answers) - np.asarray(evidence.candidate.answers)
    error = clustered_mean(cluster(worse.astype(float), NAMES, GROUPS), 5, 1000, 0)
    assert reason(judged(evidence, only), "utility").bound == pytest.approx(100 * error.upper(0.025) - 0.1)
    three = policy(energy_mj=0.1)
    energetic = judged(evidence, three, objectives=("error", "latency_ms", "energy_mj"))
    assert reason(energetic, "utility").bound == pytest.approx(
        100 * error.upper(0.025 / 3)
        + restart_mean(np.asarray(evidence.candidate.latency_ms) - np.asarray(OLD.latency_ms)).upper(0.025 / 3)
    )


def test_the_gain_has_to_be_shown_and_not_only_measured() -> None:
    gain = -reason(judged(FASTER, policy()), "utility").value
    shown = -reason(judged(FASTER, policy()), "utility").bound
    assert 0 < shown < gain
    assert judged(FASTER, policy(effect=shown)).outcome == "promote"
    assert failed(judged(FASTER, policy(effect=math.nextafter(shown, 9)))) == ["utility"]
    assert failed(judged(FASTER, policy(effect=gain))) == ["utility"]


def test_what_has_no_price_keeps_its_margin() -> None:
    cheap = policy(latency_ms=None, size_kb=0.01)  # type: ignore[arg-type]
    assert judged(case(model("new", 0.88, latency_ms=10.8)), cheap).outcome == "promote"
    assert failed(judged(case(model("new", 0.88, latency_ms=11.2)), cheap)) == ["no_worse:latency_ms"]
    assert judged(case(model("new", 0.88, size_kb=300.0)), cheap).outcome == "promote"
    assert failed(judged(case(model("new", 0.88, size_kb=300.0)), policy())) == ["no_worse:size_kb"]


def test_a_tie_is_worth_nothing_whatever_the_effect() -> None:
    equal = replace(model("new", 0.80), answers=OLD.answers, latency_ms=OLD.latency_ms)
    assert failed(judged(case(equal), policy(effect=1e-9))) == ["utility"]
    free = policy().model_copy(update={"trade_off": policy().trade_off.model_copy(update={"effect": 0.0})})
    assert failed(judged(case(equal), free)) == ["utility"]
    smaller = judged(case(equal), free, objectives=("error", "latency_ms"))
    assert reason(smaller, "utility").bound > 0


def test_a_gain_of_nothing_but_an_exact_figure_needs_more_than_the_doubt_about_the_rest() -> None:
    def found(size_kb: float) -> Verdict:
        return judged(case(model("new", 0.80, size_kb=size_kb)), policy(size_kb=1.0))

    doubt = reason(found(100.0), "utility").bound
    assert doubt > 0
    assert found(100 - doubt - 1.001).outcome == "promote"
    assert failed(found(100 - doubt - 0.999)) == ["utility"]


def test_constraints_floors_agreement_and_vetoes_stay() -> None:
    class Limit:
        metric, max = "error", 0.23

    assert failed(judged(FASTER, policy(), constraints=[Limit()])) == ["constraint:error"]
    first = case(model("new", 0.76), None)
    assert [r.rule for r in judged(first, policy()).reasons] == ["complete", "floor:error"]
    assert failed(judged(first, policy().model_copy(update={"max_error": 0.2}))) == ["floor:error"]
    torn = np.array(FASTER.candidate.answers)
    torn[NAMES == "d0"] = 0
    harmed = replace(FASTER, candidate=replace(FASTER.candidate, answers=torn, latency_ms=RESTARTS / 10))
    assert "domains" in failed(judged(harmed, policy(error=0.001)))
    strange = replace(FASTER, candidate=replace(FASTER.candidate, agreement=Agreement(20_000, 150)))
    assert failed(judged(strange, policy())) == ["agreement"]
    same = replace(FASTER, candidate=replace(FASTER.candidate, digest="old"))
    assert failed(judged(same, policy())) == ["different"]


def test_answers_that_may_be_others_on_the_device_are_paid_for_at_the_price_of_error() -> None:
    ours = Agreement(20_000, 20)
    same = Agreement(1000, 0, same_scores=True)

    def bound(mine: Agreement, theirs: Agreement) -> float:
        agreeing = replace(
            FASTER, candidate=replace(FASTER.candidate, agreement=mine), champion=replace(OLD, agreement=theirs)
        )
        found = reason(judged(agreeing, policy(error=2.0)), "utility").bound
        assert found is not None
        return found

    share = ours.upper(0.1 * 0.025 / 2)
    assert bound(ours, ours) - bound(ours, same) == pytest.approx(200 * share, rel=1e-9)
    assert bound(ours, same) - bound(same, same) > 200 * share


# The anchor: worth 8 more than the champion, by its error alone, or by its latency alone.
BEST = model("best", 0.88)
QUICK = model("best", 0.80, latency_ms=2.0)


@pytest.mark.parametrize("anchor", [BEST, QUICK], ids=["by error", "by latency"])
def test_many_small_gains_after_a_fall_do_not_forget_what_the_anchor_was_worth(anchor: Measured) -> None:
    better = model("new", 0.84, latency_ms=8.0)
    assert judged(case(better), policy()).outcome == "promote"
    verdict = judged(case(better, OLD, anchor), policy())
    assert failed(verdict) == ["anchor"]
    found = reason(verdict, "anchor")
    assert (found.value, found.limit) == (pytest.approx(2.0), 1.0)
    assert found.bound > 2.0
    assert "less than the anchor (at most" in found.sentence
    assert "the margin is 1.0 less" in found.sentence
    wide = judged(case(better, OLD, anchor), policy(margin=found.bound))
    assert wide.outcome == "promote"
    assert [r.rule for r in wide.reasons][-3:] == ["anchor", "domains", "utility"]
    assert failed(judged(case(better, OLD, anchor), policy(margin=math.nextafter(found.bound, 0)))) == ["anchor"]
    assert judged(case(model("new", 0.94, latency_ms=8.0), OLD, anchor), policy(margin=0.0)).outcome == "promote"


def test_the_anchor_becomes_what_is_shown_to_be_worth_more_than_it() -> None:
    assert moves_anchor(judged(FASTER, policy())), "the champion was the anchor"
    far = judged(case(model("new", 0.94, latency_ms=6.0), OLD, BEST), policy())
    assert (far.outcome, moves_anchor(far)) == ("promote", True)
    near = judged(case(model("new", 0.88), OLD, BEST), policy(margin=5.0))
    assert (near.outcome, moves_anchor(near)) == ("promote", False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latency_ms": None}, "latency_ms of the anchor is missing"),
        ({"latency_ms": [10.0]}, "latency_ms of the anchor has 1 restarts"),
        ({"latency_ms": [10.0, math.nan, 10.0, 10.0, 10.0]}, "latency_ms of the anchor holds a value"),
        ({"latency_ms": [10.0] * 4}, "has 5 restarts and the anchor's 4: measure both in the same restarts"),
        ({"size_kb": None}, "size_kb of the anchor is missing"),
        ({"digest": ""}, "anchor has no digest"),
        ({"answers": None}, "anchor has no answers"),
    ],
)
def test_hold_when_nobody_knows_what_the_anchor_is_worth_tonight(change: dict[str, Any], said: str) -> None:
    whole = case(model("new", 0.96), OLD, BEST)
    prices = policy(size_kb=0.01)
    assert judged(whole, prices).outcome == "promote"
    verdict = judged(replace(whole, anchor=replace(BEST, **change)), prices)
    assert set(failed(verdict)) == {"complete"}
    assert said in verdict.sentence()


def test_what_has_no_price_need_not_be_known_of_the_anchor() -> None:
    blind = replace(BEST, size_kb=None)
    assert judged(case(model("new", 0.96), OLD, blind), policy()).outcome == "promote"
    answers_only = Measured("best", BEST.answers)
    assert judged(case(model("new", 0.96), OLD, answers_only), GateConfig(resamples=1000)).outcome == "promote"


@pytest.mark.parametrize("who", ["candidate", "champion"])
@pytest.mark.parametrize("value", [None, [10.0, math.nan, 10.0, 10.0, 10.0]])
def test_hold_when_a_priced_figure_is_missing(who: str, value: Any) -> None:
    verdict = judged(replace(FASTER, **{who: replace(getattr(FASTER, who), latency_ms=value)}), policy())
    assert failed(verdict) == ["complete"]
    assert f"latency_ms of the {who}" in verdict.sentence()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"error": None}, "no price of error"),
        ({"error": math.nan}, "prices.error is nan: give a positive number"),
        ({"error": 0.0}, "prices.error is 0.0: give a positive number"),
        ({"latency_ms": -1.0}, "prices.latency_ms is -1.0: give a positive number"),
        ({"latency_ms": math.inf}, "prices.latency_ms is inf: give a positive number"),
        ({"energy_mj": 1.0}, "prices names energy_mj, which is not compared: add it to gate.objectives"),
    ],
)
def test_hold_by_prices_that_can_judge_nothing(change: dict[str, Any], said: str) -> None:
    trade = policy().trade_off
    wrong = trade.model_copy(update={"prices": trade.prices.model_copy(update=change)})
    verdict = judged(FASTER, policy().model_copy(update={"trade_off": wrong}))
    assert failed(verdict) == ["complete"]
    assert said in verdict.sentence()


@pytest.mark.parametrize("effect", [math.nan, -0.1, math.inf])
def test_hold_by_an_effect_that_is_none(effect: float) -> None:
    wrong = policy().trade_off.model_copy(update={"effect": effect})
    verdict = judged(FASTER, policy().model_copy(update={"trade_off": wrong}))
    assert failed(verdict) == ["complete"]
    assert f"gate.trade_off.effect is {effect}: give the least gain" in verdict.sentence()


def test_a_margin_that_is_no_number_holds() -> None:
    wrong = policy().trade_off.model_copy(update={"margin": math.nan})
    verdict = judged(case(model("new", 0.95), OLD, BEST), policy().model_copy(update={"trade_off": wrong}))
    assert failed(verdict) == ["anchor"]


def test_a_reason_of_worth_says_its_figures_and_those_of_its_parts() -> None:
    evidence = case(model("new", 0.88, latency_ms=11.5, size_kb=90.0))
    verdict = judged(evidence, policy(size_kb=0.01))
    found = reason(verdict, "utility")
    assert found.sentence == (
        f"At the declared prices the candidate is worth {-found.value:.1f} more than the champion (at least "
        f"{-found.bound:.1f} more with 97.5 % confidence; the minimum effect is 1.0): error 8.0 points lower (8.0 "
        "more), median latency 1.5 ms higher (1.5 less) and size 10 kB lower (0.1 more): passed."
    )
    assert verdict.sentence() == f"Promote: at{found.sentence[2:].removesuffix(': passed.')}; all 4 rules passed."
    dear = reason(judged(evidence, policy(error=0.1, effect=0.004)), "utility")
    assert dear.sentence.startswith(
        "At the declared prices the candidate is worth 0.7000 less than the champion (at most"
    )
    assert "the minimum effect is 0.0040" in dear.sentence
    assert dear.sentence.endswith(": failed.")
    same = judged(case(replace(model("new", 0.8), size_kb=100.0)), policy(size_kb=1.0))
    assert "size the same (0.0 more)" in reason(same, "utility").sentence


def test_a_bound_that_just_fails_is_not_written_like_its_limit() -> None:
    shown = -reason(judged(FASTER, policy()), "utility").bound
    close = reason(judged(FASTER, policy(effect=shown + 1e-5)), "utility")
    assert not close.passed
    assert f"at least {shown:.6f}" in close.sentence or f"at least {shown:.5f}" in close.sentence


@pytest.mark.parametrize(
    ("figure", "said"),
    [(0.0, "0.0"), (1234.5, "1234"), (12.34, "12"), (1.234, "1.2"), (0.01234, "0.012"), (math.inf, "unbounded")],
)
def test_an_amount_is_written_with_two_digits_or_more(figure: float, said: str) -> None:
    assert amount(figure) == said


def test_the_verdict_says_what_gain_in_error_would_pay_for_all() -> None:
    verdict = judged(FASTER, policy())
    latency = restart_mean(np.asarray(FASTER.candidate.latency_ms) - np.asarray(OLD.latency_ms))
    effect = (1.0 + latency.reach(0.0125, above=True)) / 100
    assert effect < verdict.detectable < effect + 3 * verdict.resolution
    half = judged(FASTER, policy(error=2.0)).detectable
    assert half == pytest.approx(verdict.detectable - effect / 2)
    more = judged(FASTER, policy(effect=3.0)).detectable
    assert more == pytest.approx(verdict.detectable + 0.02)


def test_rules_that_need_no_split_are_judged_before_it_is_read() -> None:
    slow = model("new", 0.9, latency_ms=99.0)
    early = before_reading(slow, OLD, policy(), claimed=AT)
    assert [r.rule for r in early.reasons] == ["complete", "different", "no_worse:size_kb"]
    assert early.outcome == "promote", "its answers may be worth it"
    assert failed(before_reading(replace(slow, size_kb=200.0), OLD, policy(), claimed=AT)) == ["no_worse:size_kb"]
    assert failed(before_reading(slow, OLD, policy(), claimed=AT, anchor=replace(BEST, latency_ms=None))) == [
        "complete"
    ]


# Properties.
RATES = st.integers(60, 95).map(lambda percent: 2 * (percent // 2) / 100)
LATENCIES = st.floats(2.0, 20.0)
CHEAP = settings(max_examples=25, deadline=None)


@cache
def outcome(rate: float, latency_ms: float, error: float, latency: float, effect: float) -> str:
    found: str = judged(case(model("new", rate, latency_ms)), policy(effect, error=error, latency_ms=latency)).outcome
    return found


@CHEAP
@given(RATES, LATENCIES, st.floats(0.1, 5.0), st.sampled_from([0.001, 0.25, 1024.0]))
def test_another_currency_decides_the_same(
    rate: float, latency_ms: float, price: float, rate_of_exchange: float
) -> None:
    here = outcome(rate, latency_ms, price, 1.0, 1.0)
    assert outcome(rate, latency_ms, rate_of_exchange * price, rate_of_exchange, rate_of_exchange) == here


@CHEAP
@given(RATES, LATENCIES, st.floats(0.1, 5.0), st.floats(0.0, 5.0))
def test_to_be_better_never_turns_a_promotion_into_a_hold(
    rate: float, latency_ms: float, price: float, gain: float
) -> None:
    if outcome(rate, latency_ms, price, 1.0, 1.0) == "promote":
        assert outcome(rate, max(latency_ms - gain, 0.5), price, 1.0, 1.0) == "promote"
        assert outcome(rate, latency_ms, price, 1.0, 0.5) == "promote"


@CHEAP
@given(RATES, LATENCIES, RATES, LATENCIES, st.floats(0.1, 5.0))
def test_of_two_networks_never_each_is_shown_to_be_worth_more_than_the_other(
    rate: float, latency_ms: float, other: float, other_ms: float, price: float
) -> None:
    """The worth is one figure of each: a promotion in one direction excludes that in the other, by any prices."""
    prices = policy(0.01, error=price)
    one, two = model("new", rate, latency_ms), model("old", other, other_ms)
    there = judged(case(one, two), prices)
    back = judged(case(replace(two, digest="x"), replace(one, digest="y")), prices)
    assert "hold" in (there.outcome, back.outcome)
    assert reason(there, "utility").value == pytest.approx(-reason(back, "utility").value, abs=1e-9)


# What is told.


def near(rule: str = "utility", by_worth: bool = True) -> Verdict:
    """A hold that is near to pass, by prices or by margins."""
    failing = Reason(rule, False, -1.2345, -0.5, -1.0, "The worth is 1.2345.")
    beside = Reason("utility" if by_worth else "better", True, -9.0, -8.0, -1.0, "So much more.")
    return Verdict("hold", (failing,) if rule == "utility" else (failing, beside), 3, 0.001, "Over 9 people.")


def test_a_near_miss_in_worth_is_told_once_and_rounded_to_the_resolution_of_worth() -> None:
    for rule in ("utility", "anchor"):
        shown, kind = publish(near(rule), set(), 0.01, 0.02, 0.75)
        (failing,) = shown.failed
        assert kind == rule
        assert (failing.rule, failing.value, failing.bound, failing.limit) == (rule, None, -0.25, -1.0)
        assert "within the gate's resolution of 0.75 in worth, so that more gate data" in failing.sentence
        assert "2345" not in str(shown.to_json())
        assert publish(near(rule), {rule}, 0.01, 0.02, 0.75)[1] is None
    by_error = publish(near("anchor", by_worth=False), set(), 0.01, 0.02, 0.75)[0].failed[0]
    assert by_error.bound == pytest.approx(-0.99)
    assert "of 1.0 points" in by_error.sentence
    unknown = publish(near(), set(), 0.01)[0].failed[0]
    assert unknown.bound is None


def test_a_worth_that_is_not_even_measured_tells_nothing() -> None:
    shown, kind = publish(judged(FASTER, policy(error=3.0)), set(), 0.01, 0.02, 0.75)
    assert kind is None
    assert failed(shown) == ["quality"]
    assert "utility" not in [r.rule for r in shown.reasons]


# Which finalist is sent.


def finalist(id: str, error: float | None, latency_ms: float | None, size_kb: float = 100.0) -> Finalist:
    return Finalist(id, error, {"latency_ms": latency_ms, "size_kb": size_kb})


def chosen(*finalists: Finalist, champion: Finalist | None = None, **prices: float) -> str:
    found = {
        select_candidate(
            order, champion, margins=MarginConfig(), effects=EffectConfig(), trade_off=policy(**prices).trade_off
        ).id
        for order in (finalists, finalists[::-1])
    }
    assert len(found) == 1
    return found.pop()


def test_the_finalist_that_is_worth_most_is_sent() -> None:
    fast, good = finalist("fast", 0.24, 2.0), finalist("good", 0.20, 10.0)
    assert chosen(fast, good) == "fast"
    assert chosen(fast, good, error=3.0) == "good"
    assert chosen(finalist("a", 0.24, 2.0, 900.0), good, size_kb=0.01) == "good"
    assert chosen(finalist("a", 0.24, 2.0, 900.0), good) == "a", "its size has no price, and no champion a margin"


def test_the_error_of_a_finalist_is_paid_for_though_nobody_names_it_among_the_objectives() -> None:
    trade, kept = policy(error=3.0).trade_off, {"margins": MarginConfig(), "effects": EffectConfig()}
    fast, good = finalist("fast", 0.24, 2.0), finalist("good", 0.20, 10.0)
    for objectives in (("error", "latency_ms"), ("latency_ms",)):
        assert select_candidate([fast, good], objectives=objectives, trade_off=trade, **kept).id == "good"


def test_what_has_no_price_is_kept_within_the_margins_of_the_champion_first() -> None:
    champion = finalist("c", 0.2, 10.0)
    large, small = finalist("large", 0.05, 1.0, 200.0), finalist("small", 0.19, 11.0, 100.0)
    assert chosen(large, small, champion=champion) == "small"
    slow = finalist("slow", 0.05, 14.0)
    assert chosen(slow, small, champion=champion) == "slow", "latency has a price, and is paid for"


def test_a_finalist_whose_worth_is_not_known_comes_last_and_ties_go_by_error_then_name() -> None:
    assert chosen(finalist("a", 0.1, None), finalist("b", 0.5, 20.0)) == "b"
    assert chosen(finalist("a", None, 1.0), finalist("b", 0.5, 20.0)) == "b"
    assert chosen(finalist("a", 0.25, 8.0), finalist("b", 0.125, 20.5)) == "b"
    assert chosen(finalist("b", 0.25, 8.0), finalist("a", 0.25, 8.0)) == "a"


def test_the_doubt_of_a_part_counts_at_its_price() -> None:
    """Student's bound of one part alone, by hand."""
    values = np.array([1.0, 2.0, 3.0])
    parts = [Part("latency_ms", "latency", 3.0, 2.0, restart_mean(values - 9.0), 0.25)]
    found = worth_more(parts, 0.05, 0.0)
    assert found.bound == pytest.approx(3 * (2.0 - 9.0 + upper_quantile(0.05, 2) / np.sqrt(3) + 0.25))
    assert found.value == 6.0


def test_the_doubt_about_what_was_measured_is_paid_for_by_error_and_widens_the_worth() -> None:
    trade = policy(effect=4.0, error=2.0).trade_off
    noise = restart_mean(np.array([1.0, 2.0, 3.0]))
    parts = [
        Part("error", "error", 200.0, -0.05, restart_mean(np.array([-0.04, -0.06]))),
        Part("latency_ms", "latency", 3.0, 2.0, noise, 0.25),
        Part("size_kb", "size", 1.0, 7.0),
    ]
    doubt = 3 * noise.reach(0.05, above=True)
    assert gain_in_error(parts, trade, 0.05) == pytest.approx((4.0 + doubt) / 200)
    assert half_width(parts, trade, 0.01, 0.05) == pytest.approx(2.0 + doubt)
    assert half_width(parts[:1], trade, 0.01, 0.05) == pytest.approx(2.0)


def test_the_reach_of_a_part_leads_from_its_figure_to_its_upper_bound() -> None:
    """Also where the estimate is skew, and reaches further to one side than to the other."""
    losses = np.repeat([0.0] * 9 + [1.0], 50)
    skew = clustered_mean(cluster(losses, np.repeat(list("abcdefghij"), 50), np.array(["r"] * 500)), 5, 1000, 0)
    assert skew.reach(0.05, above=True) > 1.2 * skew.reach(0.05, above=False)
    part = Part("error", "error", 2.0, skew.value, skew)
    assert part.loss + part.reach(0.05) == pytest.approx(part.upper(0.05))


def test_error_is_traded_though_nobody_names_it_among_the_objectives() -> None:
    named = judged(FASTER, policy(), objectives=("error", "latency_ms", "size_kb"))
    assert judged(FASTER, policy(), objectives=("latency_ms", "size_kb")) == named


def test_exact_figures_that_gain_nothing_are_no_gain() -> None:
    assert not worth_more([Part("size_kb", "size", 2.0, 0.0)], 0.05, 0.0).passed
    assert worth_more([Part("size_kb", "size", 2.0, -0.1)], 0.05, 0.0).passed


def test_a_change_of_less_than_a_unit_has_its_direction() -> None:
    told = worth_more([Part("size_kb", "size", 2.0, 0.5), Part("peak_memory_mb", "memory", 1.0, -0.5)], 0.05, 1.0)
    assert "size 0.50 kB higher (1.0 less) and memory 0.50 MB lower (0.5 more): failed." in told.sentence
    assert "worth 0.5 less than the champion (at most 0.5 less with 95 % confidence" in told.sentence
