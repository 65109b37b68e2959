"""The decision, each rule in both directions, and a hold for every doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from evernas.errors import UsageError
from evernas.gate import (
    Agreement,
    Claim,
    Evidence,
    Measured,
    Reason,
    Verdict,
    before_reading,
    claim,
    decide,
    held,
    moves_anchor,
)
from evernas.gate.comparing import Split
from evernas.gate.evidence import SEARCHED

RECORDINGS, WINDOWS = 14, 50
LATENCY = np.array([1.00, 1.02, 0.99, 1.01, 1.00])


@dataclass(frozen=True)
class Amounts:
    error: float
    latency_ms: float
    size_kb: float
    load_p95_ms: float = 0.10
    cold_start_ms: float = 0.10
    energy_mj: float = 0.10
    cost_per_million: float = 0.10
    peak_memory_mb: float = 0.10


@dataclass(frozen=True)
class Metric:
    metric: str
    costs: Any = None


@dataclass(frozen=True)
class TestPolicy:
    __test__ = False
    alpha: float = 0.05
    resamples: int = 2000
    max_error: float = 0.5
    margins: Amounts = field(default_factory=lambda: Amounts(0.02, 0.10, 0.10))
    effects: Amounts = field(default_factory=lambda: Amounts(0.005, 0.05, 0.05))
    domain_margin: float = 0.10
    quality: Any = field(default_factory=lambda: Metric("error"))
    min_domains: int = 5
    conditions_margin: float | None = None
    decisions: int = 365
    max_disagreement: float = 0.005
    trade_off: Any = None


@dataclass(frozen=True)
class Limit:
    metric: str
    max: float


POLICY = TestPolicy()
AT = Claim(1, 0.025, 364)


def outcomes(rates: list[float], *, spread: int = 1) -> np.ndarray:
    """Answers, 1 where right: in each recording of domain d a share rates[d], up to `spread` windows more or less."""
    wobble = np.array([-spread, 0, spread, 0] * 3 + [0, 0])
    rows = []
    for rate in rates:
        right = np.clip(np.round(rate * WINDOWS).astype(int) + wobble, 0, WINDOWS)
        rows += [np.arange(WINDOWS) < count for count in right]
    return np.concatenate(rows)


def evidence(
    candidate: list[float], champion: list[float] | None, *, speed: float = 1.0, size: float = 100.0
) -> Evidence:
    """Both measured in full; the champion is flat within each domain, so the candidate's wobble is the noise."""
    domains = len(candidate)
    names = np.repeat([f"d{i}" for i in range(domains)], RECORDINGS * WINDOWS)
    groups = np.tile(np.repeat([f"r{i}" for i in range(RECORDINGS)], WINDOWS), domains)
    return Evidence(
        Measured(
            "new",
            outcomes(candidate),
            LATENCY * speed,
            1.5 * LATENCY * speed,
            size,
            3.0,
            None,
            100 * LATENCY,
            5 * LATENCY,
            2 * LATENCY,
            0.3 * LATENCY,
        ),
        None if champion is None else Measured("old", outcomes(champion, spread=0), LATENCY[::-1], LATENCY, 100.0, 3.0),
        np.ones(len(names), dtype=int),
        names,
        groups,
    )


def rules(verdict: Verdict) -> dict[str, bool]:
    return {reason.rule: reason.passed for reason in verdict.reasons}


def failed(verdict: Verdict) -> list[str]:
    return [reason.rule for reason in verdict.failed]


BETTER = evidence([0.88] * 3, [0.80] * 3)


def test_promote_when_the_error_is_shown_lower_and_nothing_is_worse() -> None:
    verdict = decide(BETTER, POLICY)
    assert verdict.outcome == "promote"
    assert list(rules(verdict)) == [
        "complete", "different", "no_worse:latency_ms", "no_worse:size_kb", "no_worse:error", "domains", "better",
    ]  # fmt: skip
    assert "shown better in error" in verdict.sentence()


def test_the_reasons_read_as_sentences() -> None:
    verdict = decide(BETTER, POLICY, claimed=AT)
    sentences = {reason.rule: reason.sentence for reason in verdict.reasons}
    assert sentences["no_worse:error"].startswith("The error is 8.0 points lower than the champion's (at least 7.")
    assert sentences["no_worse:error"].endswith("with 97.5 % confidence; the margin is 2.0 points): passed.")
    assert (
        sentences["no_worse:size_kb"] == "The size is 0.0 % higher than the champion's (the margin is 10.0 %): passed."
    )


def test_hold_when_the_candidate_ties_with_the_champion() -> None:
    verdict = decide(evidence([0.80] * 3, [0.80] * 3), POLICY)
    assert failed(verdict) == ["better"]
    assert "not shown better than the champion in any objective" in verdict.sentence()


def test_hold_when_outcomes_are_equal_sample_by_sample() -> None:
    same = replace(BETTER.candidate, answers=BETTER.champion.answers, latency_ms=BETTER.champion.latency_ms)
    verdict = decide(replace(BETTER, candidate=same), POLICY)
    assert failed(verdict) == ["better"]


def test_hold_when_the_gain_is_below_the_minimum_effect() -> None:
    assert decide(BETTER, replace(POLICY, effects=Amounts(0.06, 0.05, 0.05))).outcome == "promote"
    assert failed(decide(BETTER, replace(POLICY, effects=Amounts(0.08, 0.05, 0.05)))) == ["better"]


def test_hold_when_the_error_is_not_proven_within_the_margin() -> None:
    fast = evidence([0.78] * 3, [0.80] * 3, speed=0.5)
    assert failed(decide(fast, POLICY)) == ["no_worse:error"]
    assert decide(fast, replace(POLICY, margins=Amounts(0.04, 0.1, 0.1))).outcome == "promote"


def test_a_faster_candidate_of_equal_error_is_promoted() -> None:
    verdict = decide(evidence([0.80] * 3, [0.80] * 3, speed=0.8), POLICY)
    assert verdict.outcome == "promote"
    assert "shown better in median latency" in verdict.sentence()


def test_a_smaller_candidate_of_equal_error_is_promoted_by_the_exact_size() -> None:
    assert decide(evidence([0.80] * 3, [0.80] * 3, size=95.0), POLICY).outcome == "promote"
    assert failed(decide(evidence([0.80] * 3, [0.80] * 3, size=95.1), POLICY)) == ["better"]


def test_hold_when_latency_is_not_proven_within_the_margin() -> None:
    assert decide(evidence([0.88] * 3, [0.80] * 3, speed=1.06), POLICY).outcome == "promote"
    assert failed(decide(evidence([0.88] * 3, [0.80] * 3, speed=1.096), POLICY)) == ["no_worse:latency_ms"]


def test_hold_when_size_exceeds_the_margin() -> None:
    assert decide(evidence([0.88] * 3, [0.80] * 3, size=110.0), POLICY).outcome == "promote"
    assert failed(decide(evidence([0.88] * 3, [0.80] * 3, size=110.1), POLICY)) == ["no_worse:size_kb"]


def test_an_objective_that_is_not_judged_neither_helps_nor_harms() -> None:
    large = evidence([0.88] * 3, [0.80] * 3, size=500.0)
    assert decide(large, POLICY, objectives=("error", "latency_ms")).outcome == "promote"
    small = evidence([0.80] * 3, [0.80] * 3, size=5.0)
    assert failed(decide(small, POLICY, objectives=("latency_ms",))) == ["better"]


SERVING = ("load_p95_ms", "cold_start_ms", "energy_mj", "cost_per_million", "peak_memory_mb")


def serving(metric: str, change: float, error: float = 0.80) -> Evidence:
    """A candidate whose figure is `change` times the champion's; of what is measured with noise, a value a restart."""
    case = evidence([error] * 3, [0.80] * 3)
    theirs = 3.0 if metric == "peak_memory_mb" else 7 * LATENCY
    ours = change * theirs if metric == "peak_memory_mb" else change * theirs * np.array([1, 1.001, 1, 0.999, 1])
    return replace(
        case,
        candidate=replace(case.candidate, **{metric: ours}),
        champion=replace(case.champion, **{metric: theirs}),
    )


@pytest.mark.parametrize("metric", SERVING)
def test_every_objective_of_serving_is_gained_and_kept_by_its_bound(metric: str) -> None:
    def found(change: float, error: float = 0.80) -> list[str]:
        return failed(decide(serving(metric, change, error), POLICY, objectives=("error", metric)))

    assert found(0.85) == []
    assert found(0.93) == ["better"], "below the minimum effect"
    assert found(1.08, error=0.88) == []
    assert found(1.13, error=0.88) == [f"no_worse:{metric}"]
    verdict = decide(serving(metric, 0.85), POLICY, objectives=("error", metric))
    assert list(rules(verdict))[2] == f"no_worse:{metric}"
    assert next(r for r in verdict.reasons if r.rule == "better").value == pytest.approx(-0.15, abs=1e-3)


@pytest.mark.parametrize("metric", SERVING)
@pytest.mark.parametrize("who", ["candidate", "champion"])
def test_hold_when_an_objective_of_serving_was_not_measured(metric: str, who: str) -> None:
    case = serving(metric, 0.5)
    unknown = replace(case, **{who: replace(getattr(case, who), **{metric: None})})
    verdict = decide(unknown, POLICY, objectives=("error", metric))
    assert failed(verdict) == ["complete"]
    assert f"{metric} of the {who} is missing" in verdict.sentence()


@pytest.mark.parametrize("metric", SERVING[:-1])
def test_hold_when_restarts_of_serving_are_no_pairs(metric: str) -> None:
    case = serving(metric, 0.5)
    torn = replace(case, champion=replace(case.champion, **{metric: LATENCY[:4]}))
    assert "has 5 restarts and the champion's 4" in decide(torn, POLICY, objectives=("error", metric)).sentence()


def test_every_objective_with_noise_shares_the_level_of_better() -> None:
    case = serving("energy_mj", 1.0)
    reason = decide(case, POLICY, objectives=("error", "latency_ms", "energy_mj", "size_kb"), claimed=AT).reasons[-1]
    assert reason.sentence.count("99.17 % confidence") == 3


def test_paired_latency_forgives_noise_that_both_models_share() -> None:
    noise = np.array([1.0, 1.4, 0.9, 1.2, 1.1])
    paired = replace(
        BETTER,
        candidate=replace(BETTER.candidate, latency_ms=noise * np.array([0.90, 0.905, 0.9, 0.895, 0.9])),
        champion=replace(BETTER.champion, latency_ms=noise),
    )
    latency = next(r for r in decide(paired, POLICY).reasons if r.rule == "no_worse:latency_ms")
    assert latency.bound is not None
    assert -0.1 < latency.bound < -0.08


def test_a_domain_shown_much_worse_is_a_veto_though_the_mean_is_better() -> None:
    mixed = evidence([0.96, 0.96, 0.62], [0.76] * 3)
    verdict = decide(mixed, POLICY)
    assert failed(verdict) == ["domains"]
    assert "the worst domain, d2, has an error 14.0 points higher" in verdict.sentence()
    assert decide(mixed, replace(POLICY, domain_margin=0.2)).outcome == "promote"


def test_a_domain_that_is_worse_but_not_shown_beyond_its_margin_is_no_veto() -> None:
    assert rules(decide(evidence([0.96, 0.96, 0.68], [0.76] * 3), POLICY))["domains"]


def test_a_domain_keeps_its_veto_however_often_the_split_was_read() -> None:
    mixed = evidence([0.96, 0.96, 0.62], [0.76] * 3)
    assert "domains" in failed(decide(mixed, POLICY, claimed=claim(0.05, 365, (None,) * 299)))


def test_a_domain_with_one_recording_cannot_be_shown_worse() -> None:
    wide = evidence([0.9] * 6, [0.8] * 6)
    lonely = np.array(wide.groups, dtype=object)
    lonely[: RECORDINGS * WINDOWS] = "only"
    verdict = decide(replace(wide, groups=lonely), POLICY)
    assert verdict.outcome == "promote"


def test_without_a_champion_the_floor_decides_by_its_bound() -> None:
    first = evidence([0.80] * 3, None)
    verdict = decide(first, POLICY)
    assert verdict.outcome == "promote"
    assert list(rules(verdict)) == ["complete", "floor:error"]
    assert failed(decide(first, replace(POLICY, max_error=0.2))) == ["floor:error"]
    assert decide(first, replace(POLICY, max_error=0.22)).outcome == "promote"


@pytest.mark.parametrize(
    ("metric", "broken", "kept"),
    [
        ("error", 0.12, 0.14),
        ("latency_ms", 1.005, 1.05),
        ("latency_p95_ms", 1.507, 1.57),
        ("cold_start_ms", 100.5, 105.0),
        ("load_p95_ms", 2.01, 2.1),
        ("cost_per_million", 0.301, 0.32),
        ("energy_mj", 5.02, 5.3),
        ("size_kb", 99.9, 100.0),
        ("peak_memory_mb", 2.9, 3.0),
    ],
)
def test_constraints_are_met_by_the_bound_and_not_by_the_point(metric: str, broken: float, kept: float) -> None:
    for case in (BETTER, evidence([0.88] * 3, None)):
        assert failed(decide(case, POLICY, [Limit(metric, broken)])) == [f"constraint:{metric}"]
        assert decide(case, POLICY, [Limit(metric, kept)]).outcome == "promote"


def test_a_limit_that_is_no_number_holds() -> None:
    assert decide(BETTER, POLICY, [Limit("size_kb", math.nan)]).outcome == "hold"
    assert decide(BETTER, replace(POLICY, domain_margin=math.nan)).outcome == "hold"
    assert decide(BETTER, replace(POLICY, margins=Amounts(math.nan, 0.1, 0.1))).outcome == "hold"
    assert decide(BETTER, replace(POLICY, effects=Amounts(math.nan, math.nan, math.nan))).outcome == "hold"
    assert decide(evidence([0.8] * 3, None), replace(POLICY, max_error=math.nan)).outcome == "hold"


def test_hold_when_the_candidate_is_the_champion() -> None:
    same = replace(BETTER, candidate=replace(BETTER.candidate, digest="old"))
    verdict = decide(same, POLICY)
    assert failed(verdict) == ["different"]
    assert "byte for byte" in verdict.sentence()


SAMPLES = 3 * RECORDINGS * WINDOWS


@pytest.mark.parametrize("who", ["candidate", "champion"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answers": None}, "has no answers"),
        ({"answers": np.ones(SAMPLES - 1, dtype=bool)}, "answers for 2100 samples"),
        ({"answers": np.full(SAMPLES, np.nan)}, "are no classes"),
        ({"answers": [None] * SAMPLES}, "are no classes"),
        ({"answers": np.full(SAMPLES, 0.5)}, "are no classes"),
        ({"latency_ms": None}, "latency_ms of the .* is missing"),
        ({"latency_ms": [1.0]}, "1 restarts"),
        ({"latency_ms": [1.0, math.nan, 1.0, 1.0, 1.0]}, "no positive number"),
        ({"latency_ms": [1.0, 0.0, 1.0, 1.0, 1.0]}, "no positive number"),
        ({"latency_ms": [1.0, math.inf, 1.0, 1.0, 1.0]}, "no positive number"),
        ({"latency_ms": [1.0, 1.0]}, "same restarts"),
        ({"size_kb": None}, "size_kb of the .* is missing"),
        ({"size_kb": math.nan}, "no positive number"),
        ({"size_kb": 0}, "no positive number"),
        ({"digest": ""}, "no digest"),
    ],
)
def test_hold_when_evidence_is_missing_or_impossible(who: str, change: dict[str, Any], said: str) -> None:
    import re

    broken = replace(BETTER, **{who: replace(getattr(BETTER, who), **change)})
    verdict = decide(broken, POLICY)
    assert verdict.outcome == "hold"
    assert {reason.rule for reason in verdict.reasons} == {"complete"}
    assert re.search(said, verdict.sentence(), re.IGNORECASE)


def test_a_missing_figure_that_no_rule_reads_is_no_doubt() -> None:
    spare = replace(BETTER, candidate=replace(BETTER.candidate, peak_memory_mb=None, latency_p95_ms=None))
    assert decide(spare, POLICY).outcome == "promote"
    assert decide(spare, POLICY, [Limit("peak_memory_mb", 9.0)]).outcome == "hold"
    assert decide(spare, POLICY, [Limit("latency_p95_ms", 9.0)]).outcome == "hold"
    dark = replace(BETTER, candidate=replace(BETTER.candidate, energy_mj=None))
    assert "energy_mj of the candidate is missing" in decide(dark, POLICY, [Limit("energy_mj", 9e9)]).sentence()
    never = replace(BETTER, candidate=replace(BETTER.candidate, cold_start_ms=None))
    assert (
        "cold_start_ms of the candidate is missing" in decide(never, POLICY, [Limit("cold_start_ms", 9e9)]).sentence()
    )
    first = replace(evidence([0.8] * 3, None))
    bare = replace(first, candidate=replace(first.candidate, latency_ms=None, size_kb=None))
    assert decide(bare, POLICY, objectives=("error",)).outcome == "promote"
    assert decide(bare, POLICY).outcome == "hold"


def searched(metric: str, value: float | None) -> dict[str, Any]:
    return {metric: value}


@pytest.mark.parametrize("metric", SEARCHED)
@pytest.mark.parametrize(
    ("value", "limit", "passed"), [(0.3, 0.3, True), (0.0, 0.3, True), (1.0, 0.9, False), (0.3001, 0.3, False)]
)
def test_an_error_under_the_worst_corruption_or_in_the_worst_domain_is_bounded_as_it_is(
    metric: str, value: float, limit: float, passed: bool
) -> None:
    for case in (BETTER, evidence([0.88] * 3, None)):
        tried = replace(case, candidate=replace(case.candidate, **searched(metric, value)))
        assert failed(decide(tried, POLICY, [Limit(metric, limit)])) == ([] if passed else [f"constraint:{metric}"])


@pytest.mark.parametrize("metric", SEARCHED)
@pytest.mark.parametrize("value", [None, math.nan, -0.1, 1.1, math.inf])
def test_hold_when_such_an_error_is_missing_or_no_share(metric: str, value: float | None) -> None:
    tried = replace(BETTER, candidate=replace(BETTER.candidate, **searched(metric, value)))
    assert failed(decide(tried, POLICY, [Limit(metric, 0.99)])) == ["complete"]
    assert decide(tried, POLICY).outcome == "promote", "where nobody bounds it, nobody asks"


def test_hold_for_a_metric_that_the_gate_does_not_know() -> None:
    assert "cannot bound" in decide(BETTER, POLICY, [Limit("beauty", 1.0)]).reasons[0].sentence
    assert "cannot compare" in decide(BETTER, POLICY, objectives=("error", "latency_p95_ms")).reasons[0].sentence


def test_hold_when_the_gate_split_is_empty_or_torn() -> None:
    nothing = Evidence(replace(BETTER.candidate, answers=[]), replace(BETTER.champion, answers=[]), [], [], [])
    assert "no samples" in decide(nothing, POLICY).sentence()
    assert "recordings" in decide(replace(BETTER, groups=BETTER.groups[:-1]), POLICY).sentence()


def test_hold_when_a_domain_has_one_recording_and_recordings_are_the_unit() -> None:
    groups = np.array(BETTER.groups, dtype=object)
    groups[: RECORDINGS * WINDOWS] = "only"
    assert "The domain d0 has one recording" in str(decide(replace(BETTER, groups=groups), POLICY).reasons[0].sentence)


def test_few_domains_are_spoken_for_themselves_only() -> None:
    assert "for these people only" in decide(BETTER, POLICY).scope
    assert "for these sites only" in decide(BETTER, POLICY, domain_noun="sites").scope
    many = decide(evidence([0.88] * 5, [0.80] * 5), POLICY)
    assert many.outcome == "promote"
    assert "only" not in many.scope
    assert "5 people" in many.scope


def test_with_enough_domains_their_spread_counts_and_not_that_of_recordings() -> None:
    rates = [0.99, 0.97, 0.79, 0.80, 0.78, 0.81]
    by_recording = decide(evidence(rates, [0.80] * 6), replace(POLICY, min_domains=7))
    by_domain = decide(evidence(rates, [0.80] * 6), POLICY)
    assert by_recording.outcome == "promote"
    assert by_domain.outcome == "hold"
    assert by_recording.resolution < by_domain.resolution / 3


def test_domains_that_were_trained_on_are_spoken_for_themselves_only_however_many_they_are() -> None:
    rates = [0.99, 0.97, 0.79, 0.80, 0.78, 0.81]
    within = decide(evidence(rates, [0.80] * 6), POLICY, domain_noun="machines", within=True)
    few = decide(evidence(rates, [0.80] * 6), replace(POLICY, min_domains=7))
    assert (within.reasons, within.resolution, within.detectable) == (few.reasons, few.resolution, few.detectable)
    assert within.scope.startswith(
        "The gate split has other recordings of the machines that models are trained on: the bounds are over "
        f"{6 * RECORDINGS} recordings and hold for these machines only."
    )


def test_what_compares_nothing_says_too_whom_such_a_split_speaks_of() -> None:
    said = "The gate split has other recordings of the people that models are trained on: what it shows holds for these"
    spent = decide(BETTER, POLICY, claimed=claim(POLICY.alpha, 3, (None,) * 3), within=True)
    assert spent.scope == f"The gate split was not read. {said} people only."
    assert "a project with others has to follow" in spent.sentence()
    assert "never read" not in spent.sentence()
    torn = decide(replace(BETTER, groups=BETTER.groups[:-1]), POLICY, within=True)
    assert torn.scope == f"Nothing was compared. {said} people only."


def test_hold_when_a_domain_that_was_trained_on_has_one_recording_in_the_gate() -> None:
    many = evidence([0.88] * 6, [0.80] * 6)
    groups = np.array(many.groups, dtype=object)
    groups[: RECORDINGS * WINDOWS] = "only"
    assert decide(replace(many, groups=groups), POLICY).reasons[0].passed
    held = decide(replace(many, groups=groups), POLICY, within=True)
    assert failed(held) == ["complete"]
    assert "The domain d0 has one recording in the gate split" in held.reasons[0].sentence
    assert "add" not in held.reasons[0].sentence


def test_new_classes_and_corruptions_are_bounded_over_recordings_where_domains_were_trained_on() -> None:
    many = evidence([0.88] * 6, [0.80] * 6)
    under = {"noise": np.zeros(len(many.labels), int)}
    shown = replace(many, corrupted=np.arange(len(many.labels)), worse_under=under)
    for within, unit in ((False, "domains"), (True, "recordings")):
        split = Split(shown, POLICY, 0, within)
        assert {split.error.unit, split.difference(many.champion).unit, split.under()["noise"].unit} == {unit}
        marked = Split(replace(many, new_classes=["new"] * len(many.labels)), POLICY, 0, within)
        assert marked.errors_of_new_classes()["new"].unit == unit


def test_later_decisions_on_the_same_split_ask_for_more() -> None:
    close, policy = evidence([0.82] * 3, [0.80] * 3), replace(POLICY, effects=Amounts(0.010, 0.05, 0.05))
    assert decide(close, policy).outcome == "promote"
    claimed = claim(POLICY.alpha, POLICY.decisions, (None,) * 199)
    verdict = decide(close, policy, claimed=claimed)
    assert verdict.outcome == "hold"
    assert (verdict.level, verdict.decision, verdict.left) == (claimed.level, 200, 165)


def test_a_spent_budget_holds_whatever_the_evidence() -> None:
    verdict = decide(BETTER, POLICY, claimed=claim(POLICY.alpha, 3, (None,) * 3))
    assert failed(verdict) == ["budget"]
    assert "decided on 3 times" in verdict.sentence()
    assert (verdict.decision, verdict.level, verdict.left, verdict.scope) == (4, 0.0, 0, "The gate split was not read.")


def test_an_impossible_alpha_is_refused() -> None:
    with pytest.raises(UsageError, match="alpha"):
        decide(BETTER, replace(POLICY, alpha=1.0))


def test_the_same_evidence_gives_the_same_verdict_in_any_order_of_samples() -> None:
    order = np.random.default_rng(0).permutation(SAMPLES)
    shuffled = Evidence(
        replace(BETTER.candidate, answers=np.asarray(BETTER.candidate.answers)[order]),
        replace(BETTER.champion, answers=np.asarray(BETTER.champion.answers)[order]),
        np.asarray(BETTER.labels)[order],
        np.asarray(BETTER.domains)[order],
        np.asarray(BETTER.groups)[order],
    )
    assert decide(shuffled, POLICY).to_json() == decide(BETTER, POLICY).to_json()


def test_plain_lists_are_evidence_too() -> None:
    lists = Evidence(
        replace(
            BETTER.candidate, answers=BETTER.candidate.answers.tolist(), latency_ms=BETTER.candidate.latency_ms.tolist()
        ),
        replace(
            BETTER.champion, answers=BETTER.champion.answers.tolist(), latency_ms=BETTER.champion.latency_ms.tolist()
        ),
        BETTER.labels.tolist(),
        BETTER.domains.tolist(),
        BETTER.groups.tolist(),
    )
    assert decide(lists, POLICY) == decide(BETTER, POLICY)


def test_holm_gives_the_second_objective_the_level_that_the_first_left() -> None:
    both = decide(evidence([0.88] * 3, [0.80] * 3, speed=0.7), POLICY, claimed=AT).reasons[-1].sentence
    assert both.count("98.75 % confidence") == 2
    one = decide(evidence([0.88] * 3, [0.80] * 3), POLICY, claimed=AT).reasons[-1].sentence
    assert "98.75 % confidence" in one
    assert "97.5 % confidence" in one
    single = decide(BETTER, POLICY, objectives=("error",), claimed=AT).reasons[-1].sentence
    assert "97.5 % confidence" in single


def test_an_equal_candidate_is_not_better_even_where_no_minimum_effect_is_asked() -> None:
    free = replace(POLICY, effects=Amounts(0.0, 0.0, 0.0))
    equal = evidence([0.80] * 3, [0.80] * 3)
    assert failed(decide(equal, free)) == ["better"]
    assert decide(evidence([0.80] * 3, [0.80] * 3, size=99.9), free).outcome == "promote"


def test_many_domains_share_the_veto_s_level() -> None:
    names = [0.80] * 12
    worse = evidence([0.96] * 11 + [0.68], names)
    reason = next(r for r in decide(worse, POLICY).reasons if r.rule == "domains")
    assert f"{100 * (1 - 0.05 / 12):.2f} % confidence" in reason.sentence


def test_the_worst_domain_is_named_though_one_recording_shows_nothing() -> None:
    wide = evidence([0.9] * 5 + [0.2], [0.8] * 6)
    lonely = np.array(wide.groups, dtype=object)
    lonely[5 * RECORDINGS * WINDOWS :] = "only"
    reason = next(r for r in decide(replace(wide, groups=lonely), POLICY).reasons if r.rule == "domains")
    assert reason.passed
    assert reason.bound is None
    assert reason.sentence == (
        "The worst domain, d5, has an error 60.0 points higher than with the champion (too few recordings to show "
        "anything; a domain vetoes when shown more than 10.0 points higher): it does not veto."
    )


def test_every_sentence_states_its_own_figures() -> None:
    limits = [Limit("latency_ms", 1.5), Limit("error", 0.5), Limit("size_kb", 200.0)]
    verdict = decide(BETTER, POLICY, limits, claimed=AT)
    reasons = {reason.rule: reason for reason in verdict.reasons}
    latency, error = reasons["constraint:latency_ms"], reasons["constraint:error"]
    assert latency.sentence == (
        f"The median latency is {latency.value:.2f} ms (at most {latency.bound:.2f} ms with 97.5 % confidence; "
        "the limit is 1.50 ms): passed."
    )
    assert error.sentence == (
        f"The error is {100 * error.value:.1f} % (at most {100 * error.bound:.1f} % with 97.5 % confidence; "
        "the limit is 50.0 %): passed."
    )
    assert reasons["constraint:size_kb"].sentence == "The size is 100.0 kB (the limit is 200.0 kB): passed."
    domains = reasons["domains"]
    assert domains.sentence.startswith(
        f"The worst domain, d0, has an error 8.0 points lower than with the champion "
        f"(at best {-100 * domains.bound:.1f} points lower with 98.33 % confidence;"
    )
    better = reasons["better"]
    assert (better.value, better.limit) == (reasons["no_worse:error"].value, -0.005)
    assert f"error at least {-100 * better.bound:.1f} points lower with 98.75 % confidence" in better.sentence
    assert "(the minimum effect is 0.5 points)" in better.sentence
    assert "size 0.0 % higher (the minimum effect is 5.0 %)" in better.sentence


def test_the_objective_that_came_closest_is_the_figure_of_a_better_that_failed() -> None:
    reason = decide(evidence([0.76] * 3, [0.80] * 3, speed=0.955), POLICY).reasons[-1]
    assert not reason.passed
    assert reason.value == pytest.approx(-0.045, abs=1e-6)
    assert reason.limit == -0.05


def test_the_gain_that_could_be_shown_is_the_effect_the_bound_and_the_power_together() -> None:
    verdict = decide(BETTER, POLICY)
    error = next(r for r in verdict.reasons if r.rule == "no_worse:error")
    reach = error.bound - error.value
    assert verdict.resolution == pytest.approx(reach, rel=0.1)
    assert 0.005 + 1.3 * reach < verdict.detectable < 0.005 + 1.9 * reach
    assert decide(BETTER, POLICY, objectives=("error",)).detectable < verdict.detectable


def test_the_config_is_a_policy() -> None:
    from evernas.config import ConstraintConfig, GateConfig

    limits = [ConstraintConfig(metric="latency_ms", max=2.0)]
    assert decide(BETTER, GateConfig(), limits).outcome == "promote"


def anchored(candidate: list[float], champion: list[float], anchor: list[float], **more: Any) -> Evidence:
    whole = evidence(candidate, champion, **more)
    return replace(whole, anchor=Measured("best", outcomes(anchor, spread=0)))


def test_small_steps_down_do_not_add_up_below_the_anchor() -> None:
    step = {"candidate": [0.80] * 3, "champion": [0.80] * 3, "speed": 0.8}
    assert decide(evidence(**step), POLICY).outcome == "promote"
    assert decide(anchored(**step, anchor=[0.80] * 3), POLICY).outcome == "promote"
    verdict = decide(anchored(**step, anchor=[0.82] * 3), POLICY)
    assert failed(verdict) == ["anchor"]
    assert "points higher than the anchor's" in verdict.sentence()


def test_the_anchor_moves_only_to_what_is_shown_better_than_it() -> None:
    assert moves_anchor(decide(evidence([0.8] * 3, None), POLICY))
    assert moves_anchor(decide(BETTER, POLICY))
    assert not moves_anchor(decide(evidence([0.80] * 3, [0.80] * 3, speed=0.8), POLICY))
    assert moves_anchor(decide(anchored([0.88] * 3, [0.80] * 3, [0.84] * 3), POLICY))
    equal = decide(anchored([0.88] * 3, [0.80] * 3, [0.88] * 3), POLICY)
    assert equal.outcome == "promote"
    assert not moves_anchor(equal)
    assert not moves_anchor(decide(evidence([0.78] * 3, [0.80] * 3), POLICY))
    edge = Reason("anchor", True, -0.01, 0.0, 0.02, "")
    level = Reason("no_worse:error", True, -0.02, -0.01, 0.02, "")
    assert not moves_anchor(Verdict("promote", (edge, level), 1, 0.01, ""))


def test_hold_when_the_anchor_s_outcomes_are_missing() -> None:
    lost = replace(BETTER, anchor=Measured("best", None))
    assert "anchor has no answers" in decide(lost, POLICY).sentence()


def agreeing(candidate: Agreement | None, champion: Agreement | None, case: Evidence = BETTER) -> Evidence:
    return replace(
        case,
        candidate=replace(case.candidate, agreement=candidate),
        champion=replace(case.champion, agreement=champion),
    )


SAME = Agreement(1000, 0, same_scores=True)


def test_hold_when_the_device_answers_otherwise_than_the_gate() -> None:
    verdict = decide(agreeing(Agreement(20_000, 150), SAME), POLICY)
    assert failed(verdict) == ["agreement"]
    assert "Of 20000 answers of the candidate, 150 are others" in verdict.reasons[-3].sentence
    assert verdict.scope == "The gate split was not read."
    assert decide(agreeing(Agreement(20_000, 20), SAME), POLICY).outcome == "promote"
    assert failed(decide(agreeing(SAME, Agreement(20_000, 150)), POLICY)) == ["agreement"]
    few = decide(agreeing(Agreement(100, 0), SAME), POLICY)
    assert failed(few) == ["agreement"], "so few answers bound nothing"


def test_the_answers_that_may_differ_are_added_to_the_error() -> None:
    def bound(case: Evidence, rule: str = "no_worse:error", limits: tuple[Limit, ...] = ()) -> float:
        found = next(r for r in decide(case, POLICY, limits, claimed=AT).reasons if r.rule == rule).bound
        assert found is not None
        return found

    equal, ours = bound(agreeing(SAME, SAME)), Agreement(20_000, 20)
    assert bound(BETTER) == equal
    once, twice = bound(agreeing(ours, SAME)), bound(agreeing(ours, ours))
    share = ours.upper(0.1 * 0.025 / 2)
    assert once - equal == pytest.approx(share, rel=0.25), "and the rules have nine tenths of the level"
    assert once - equal > share
    assert twice - once == pytest.approx(share, rel=1e-9)
    limits = (Limit("error", 0.9),)
    assert bound(agreeing(ours, SAME), "constraint:error", limits) > bound(BETTER, "constraint:error", limits) + share
    beside = replace(agreeing(ours, SAME), anchor=Measured("best", BETTER.champion.answers, agreement=ours))
    assert bound(beside, "anchor") - bound(beside) == pytest.approx(ours.upper(0.1 * 0.025 / 3), rel=1e-9)


def test_figures_of_the_gate_s_machine_only_are_said_to_be_so() -> None:
    assert "The device's own answers were not compared" in decide(BETTER, POLICY).scope
    assert "The device's own answers were not compared" in decide(agreeing(SAME, None), POLICY).scope
    compared = decide(agreeing(SAME, SAME), POLICY)
    assert "not compared" not in compared.scope
    assert "the very scores that the gate computed, on 1000 samples" in str(compared.to_json())


def test_hold_when_more_answers_differ_than_were_compared() -> None:
    for wrong in (Agreement(10, 11), Agreement(10, -1)):
        assert "differing answers of 10" in decide(agreeing(wrong, SAME), POLICY).sentence()


def with_new_class(rate: float, *, recordings: int = 4) -> Evidence:
    """BETTER, with more recordings in each domain of a class that the champion does not know and always gets wrong."""
    names, groups, ours = list(BETTER.domains), list(BETTER.groups), list(BETTER.candidate.answers)
    theirs, marks = list(BETTER.champion.answers), [""] * SAMPLES
    right = round(rate * WINDOWS)
    for domain in ("d0", "d1", "d2"):
        for recording in range(recordings):
            names += [domain] * WINDOWS
            groups += [f"new{recording}"] * WINDOWS
            ours += [True] * right + [False] * (WINDOWS - right)
            theirs += [False] * WINDOWS
            marks += ["JUMP"] * WINDOWS
    labels = [1] * len(names)
    candidate, champion = replace(BETTER.candidate, answers=ours), replace(BETTER.champion, answers=theirs)
    return Evidence(candidate, champion, labels, names, groups, None, marks)


def test_a_new_class_meets_its_floor_and_is_no_gain_over_the_champion() -> None:
    verdict = decide(with_new_class(0.9), POLICY)
    assert verdict.outcome == "promote"
    reasons = {reason.rule: reason for reason in verdict.reasons}
    assert reasons["no_worse:error"].value == decide(BETTER, POLICY).reasons[-3].value
    assert reasons["floor:classes"].value == pytest.approx(0.1)
    assert reasons["floor:classes"].sentence.startswith("On the new class JUMP: The error is 10.0 %")
    low = decide(with_new_class(0.4), POLICY)
    assert failed(low) == ["floor:classes"]
    thin = decide(with_new_class(0.9, recordings=1), POLICY)
    assert failed(thin) == ["floor:classes"]
    assert "JUMP is in too few recordings" in thin.sentence()


def test_the_worst_new_class_is_the_one_that_is_told() -> None:
    whole = with_new_class(0.9)
    marks = np.array(whole.new_classes, dtype=object)
    right = np.array(whole.candidate.answers)
    sit = (marks == "JUMP") & np.isin(np.array(whole.groups), ["new0", "new1"])
    marks[sit] = "ALIGHT"
    right[sit & (np.arange(len(marks)) % WINDOWS < 20)] = False
    case = replace(whole, new_classes=marks, candidate=replace(whole.candidate, answers=right))
    reason = next(r for r in decide(case, POLICY).reasons if r.rule == "floor:classes")
    assert reason.sentence.startswith("On the new class ALIGHT:")


def test_hold_when_marks_of_new_classes_are_torn_or_leave_nothing() -> None:
    assert "1 marks of new classes" in decide(replace(BETTER, new_classes=["x"]), POLICY).sentence()
    assert "no sample of a class" in decide(replace(BETTER, new_classes=["x"] * SAMPLES), POLICY).sentence()


def test_rules_that_need_no_split_are_judged_before_it_is_read() -> None:
    def before(candidate: Measured, champion: Measured | None = BETTER.champion, *limits: Limit) -> Verdict:
        return before_reading(replace(candidate, answers=None), champion, POLICY, limits, claimed=AT)

    fine = before(BETTER.candidate)
    assert fine.outcome == "promote"
    assert list(rules(fine)) == ["complete", "different", "no_worse:latency_ms", "no_worse:size_kb"]
    assert failed(before(replace(BETTER.candidate, size_kb=120.0))) == ["no_worse:size_kb"]
    assert failed(before(replace(BETTER.candidate, latency_ms=2 * LATENCY))) == ["no_worse:latency_ms"]
    assert failed(before(replace(BETTER.candidate, size_kb=None))) == ["complete"]
    assert failed(before(BETTER.candidate, BETTER.champion, Limit("size_kb", 50.0))) == ["constraint:size_kb"]
    assert list(rules(before(BETTER.candidate, BETTER.champion, Limit("error", 0.1)))) == list(rules(fine))
    assert list(rules(before(BETTER.candidate, None))) == ["complete"]
    assert (fine.decision, fine.level, fine.left, fine.scope) == (1, 0.025, 364, "The gate split was not read.")


def test_a_hold_before_reading_is_the_decision_s_own() -> None:
    slow = replace(BETTER, candidate=replace(BETTER.candidate, latency_ms=2 * LATENCY))
    verdict = decide(slow, POLICY, claimed=AT)
    assert verdict == before_reading(slow.candidate, slow.champion, POLICY, claimed=AT)
    assert verdict.resolution is None


def test_a_hold_without_figures_carries_its_claim_or_none() -> None:
    bare = held("comparable", ["Other labels."])
    assert (bare.decision, bare.level, bare.left) == (0, 0.0, None)
    assert bare.sentence() == "Hold: other labels."
    paid = held("complete", ["A.", "B."], AT, "Nothing was compared.")
    assert (paid.decision, paid.level, paid.left, paid.scope) == (1, 0.025, 364, "Nothing was compared.")
    assert [reason.sentence for reason in paid.reasons] == ["A.", "B."]


def test_rules_that_pass_without_figures_say_what_they_looked_at() -> None:
    said = {reason.rule: reason for reason in decide(BETTER, POLICY).reasons}
    assert said["complete"].sentence == "Every figure that the rules need is there."
    assert said["different"].sentence == "The candidate and the champion are different files."
    same = decide(replace(BETTER, candidate=replace(BETTER.candidate, digest="old")), POLICY).failed[0]
    assert same.sentence == "The candidate is the champion, byte for byte: nothing to promote."
    assert same.passed is False
    scope = decide(BETTER, POLICY).scope
    assert "for these people only. The device's own answers were not compared: the errors are those of the" in scope


@pytest.mark.parametrize("missing", [{"size_kb": None}, {"answers": None}], ids=["measured", "on the split"])
def test_a_hold_for_what_is_missing_carries_its_claim_and_compared_nothing(missing: dict[str, Any]) -> None:
    verdict = decide(replace(BETTER, candidate=replace(BETTER.candidate, **missing)), POLICY, claimed=AT)
    assert (verdict.decision, verdict.level, verdict.left) == (AT.decision, AT.level, AT.left)
    assert verdict.scope == "Nothing was compared."


def test_a_hold_without_a_claim_is_a_hold() -> None:
    bare = held("comparable", ["Other labels."])
    assert (bare.outcome, bare.scope, bare.reasons[0].passed) == ("hold", "The gate split was not read.", False)
    assert held("comparable", ["Other labels."], scope="Seen.").scope == "Seen."


def test_an_anchor_whose_answers_are_others_on_the_device_holds_before_the_split_is_read() -> None:
    anchor = Measured("best", None, agreement=Agreement(20_000, 150))
    bare = replace(BETTER.candidate, answers=None, agreement=SAME)
    verdict = before_reading(bare, replace(BETTER.champion, agreement=SAME), POLICY, claimed=AT, anchor=anchor)
    assert failed(verdict) == ["agreement"]
    assert "of the anchor, 150 are others" in verdict.failed[0].sentence


def test_all_figures_of_error_are_those_of_its_metric_and_named_so() -> None:
    """Where each wrong answer costs a half, every figure is half the error's, the veto's and the bounds' among them."""
    half = replace(POLICY, quality=Metric("cost", [[0, 0.5], [0.5, 0]]))
    limits = [Limit("error", 0.5)]
    by_error, by_cost = (decide(BETTER, policy, limits, claimed=AT) for policy in (POLICY, half))
    bounds = [{r.rule: r.bound for r in verdict.reasons} for verdict in (by_error, by_cost)]
    for rule in ("constraint:error", "no_worse:error", "domains"):
        assert bounds[1][rule] == pytest.approx(bounds[0][rule] / 2)
    constraint = next(r for r in by_cost.reasons if r.rule == "constraint:error")
    assert constraint.sentence.startswith("The cost of an answer is ")
    assert by_cost.resolution == pytest.approx(by_error.resolution / 2)


def skew(count: int = 10, windows: int = 50) -> Evidence:
    """One person of ten loses nearly all, and the others nothing: the doubt reaches further up than down."""
    names = np.repeat([f"d{i}" for i in range(count)], windows)
    ours = np.where(names == "d0", 0, 1)
    return Evidence(
        Measured("new", ours, LATENCY, size_kb=100.0),
        Measured("old", np.ones(len(names), dtype=int), LATENCY, size_kb=100.0),
        np.ones(len(names), dtype=int),
        names,
        np.array(["r"] * len(names)),
    )


def test_what_is_said_of_resolution_and_gain_is_of_the_wider_side_and_of_the_side_that_must_be_shown() -> None:
    from evernas.gate.estimate import cluster, clustered_mean
    from evernas.gate.planning import shift
    from evernas.gate.student import upper_quantile

    one = skew()
    other = replace(one, candidate=replace(one.champion, digest="new"), champion=replace(one.candidate, digest="old"))
    for case in (one, other):
        worse = np.asarray(case.champion.answers) - np.asarray(case.candidate.answers)
        estimate = clustered_mean(cluster(worse.astype(float), case.domains, case.groups), 5, POLICY.resamples, 0)
        verdict = decide(case, POLICY, claimed=AT)
        up, down = (estimate.reach(AT.level, above=above) for above in (True, False))
        assert up != down
        assert verdict.resolution == pytest.approx(max(up, down))
        half = AT.level / 2
        widened = estimate.reach(half, above=True) / upper_quantile(half, estimate.df)
        assert verdict.detectable == pytest.approx(0.005 + shift(half, estimate.df) * widened)


def test_a_first_champion_s_gain_is_over_nothing() -> None:
    verdict = decide(evidence([0.80] * 3, None), POLICY, claimed=AT)
    assert verdict.resolution < verdict.detectable < 3 * verdict.resolution


def test_a_new_class_in_enough_people_needs_one_recording_of_each() -> None:
    thin = with_new_class(0.9, recordings=1)
    assert failed(decide(thin, replace(POLICY, min_domains=4))) == ["floor:classes"]
    verdict = decide(thin, replace(POLICY, min_domains=3))
    assert rules(verdict)["floor:classes"]
    assert next(r for r in verdict.reasons if r.rule == "floor:classes").bound > 0.1


def test_as_many_people_as_are_needed_may_have_one_recording_each_and_fewer_two() -> None:
    wide = evidence([0.9] * 5, [0.8] * 5)
    one_each = replace(wide, groups=np.array(["only"] * len(wide.domains)))
    assert decide(one_each, POLICY).outcome == "promote"
    assert failed(decide(one_each, replace(POLICY, min_domains=6)))[0] == "complete"
    two = np.where(np.isin(BETTER.groups, [f"r{n}" for n in range(RECORDINGS // 2)]), "first", "second")
    assert "complete" not in failed(decide(replace(BETTER, groups=two), POLICY))


def test_a_device_whose_every_answer_is_another_is_no_missing_figure() -> None:
    assert failed(decide(agreeing(Agreement(10, 10), SAME), POLICY)) == ["agreement"]


def test_one_answer_that_is_no_class_holds_like_many() -> None:
    one = Evidence(replace(BETTER.candidate, answers=[0.5]), replace(BETTER.champion, answers=[1]), [1], ["d"], ["r"])
    assert "answers that are no classes" in " ".join(reason.sentence for reason in decide(one, POLICY).reasons)
