"""Each rule by itself: what passes at its very limit, which figures it gives, and how they read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from evernas.gate.agreement import Agreement
from evernas.gate.estimate import Clusters, Estimate, domain_mean, restart_mean
from evernas.gate.rules import Comparison, agrees, better, bounded, classes_meet_floor, domains_hold, no_worse
from evernas.gate.student import upper_quantile
from evernas.gate.verdict import Reason

LEVEL, DF = 0.03, 30.0


def estimate(value: float, standard_error: float = 1.0) -> Estimate:
    return Estimate(value, standard_error, DF, "restarts", 31)


def shown_at(level: float, standard_error: float = 0.1) -> Estimate:
    """An estimate that is just shown to be below 0 at this level, and at no smaller one."""
    return estimate(-upper_quantile(level, DF) * standard_error * 1.001, standard_error)


def compare(objective: str, found: Estimate | float, margin: float = 0.1, effect: float = 0.0) -> Comparison:
    if not isinstance(found, Estimate):
        return Comparison(objective, found, None, margin, effect)
    change = found.value if objective == "error" else math.expm1(found.value)
    return Comparison(objective, change, found, margin, effect)


def confidences(reason: Reason) -> list[str]:
    return [part.split(" % confidence")[0].rsplit(" ", 1)[-1] for part in reason.sentence.split(";")]


# Better in something: Holm over what was measured with noise.


def test_each_objective_that_is_shown_leaves_its_share_of_the_level_to_the_others() -> None:
    three = [
        compare("energy_mj", shown_at(LEVEL)),
        compare("error", shown_at(LEVEL / 3)),
        compare("latency_ms", shown_at(LEVEL / 2)),
    ]
    reason = better(three, LEVEL)
    assert reason.passed
    assert confidences(reason) == ["97", "99", "98.5"]
    assert "shown better in energy of an inference, error and median latency:" in reason.sentence


def test_what_is_shown_at_the_whole_level_alone_is_not_shown_beside_another() -> None:
    alone = compare("error", shown_at(LEVEL))
    assert better([alone], LEVEL).passed
    beside = [alone, compare("latency_ms", estimate(1.0))]
    reason = better(beside, LEVEL)
    assert not reason.passed
    assert confidences(reason) == ["98.5", "98.5"]
    assert better([alone, compare("size_kb", 0.5)], LEVEL).passed, "an exact figure takes no share"
    first = [
        compare("error", shown_at(LEVEL / 3)),
        compare("latency_ms", shown_at(LEVEL)),
        compare("energy_mj", estimate(1.0)),
    ]
    assert confidences(better(first, LEVEL)) == ["99", "98.5", "98.5"]


def test_the_figure_of_what_passed_is_that_which_passed_by_most() -> None:
    near, far = compare("size_kb", -0.30, effect=0.25), compare("peak_memory_mb", -0.20, effect=0.05)
    for order in ([near, far], [far, near]):
        reason = better(order, LEVEL)
        assert (reason.value, reason.bound, reason.limit) == (-0.20, -0.20, -0.05)


def test_the_figure_of_what_failed_is_that_which_was_measured_better_though_less_sure() -> None:
    unsure = compare("latency_ms", estimate(math.log(0.94), 0.2), effect=0.05)
    short = compare("energy_mj", estimate(math.log(0.96), 0.001), effect=0.05)
    for order in ([unsure, short], [short, unsure]):
        reason = better(order, LEVEL)
        assert not reason.passed
        assert reason.value == pytest.approx(-0.06)
        assert reason.bound == pytest.approx(math.expm1(math.log(0.94) + 0.2 * upper_quantile(LEVEL / 2, DF)))
        assert reason.limit == -0.05


def test_a_bound_and_an_effect_that_differ_are_written_so_that_they_differ() -> None:
    close = better([compare("size_kb", -0.04996, effect=0.05)], LEVEL)
    assert "size 4.996 % lower (the minimum effect is 5.000 %): failed." in close.sentence
    plain = better([compare("size_kb", -0.0612, effect=0.05)], LEVEL)
    assert "size 6.1 % lower (the minimum effect is 5.0 %): passed." in plain.sentence


# No worse than a margin.


@pytest.mark.parametrize(("change", "passed"), [(0.1, True), (0.1000001, False), (-0.5, True)])
def test_an_exact_figure_may_be_worse_by_just_its_margin(change: float, passed: bool) -> None:
    reason = no_worse(compare("size_kb", change), LEVEL)
    assert (reason.rule, reason.passed) == ("no_worse:size_kb", passed)
    assert (reason.value, reason.bound, reason.limit) == (change, change, 0.1)


def test_the_bound_of_a_ratio_is_taken_where_it_was_estimated() -> None:
    found = estimate(-0.02, 0.03)
    reason = no_worse(compare("latency_ms", found), LEVEL)
    assert reason.bound == pytest.approx(math.expm1(-0.02 + 0.03 * upper_quantile(LEVEL, DF)))
    assert reason.value == pytest.approx(math.expm1(-0.02))
    said = "The median latency is 2.0 % lower than the champion's (at most 3.9 % higher with 97 % confidence"
    assert said in reason.sentence
    certain = no_worse(compare("latency_ms", estimate(-0.2, 0.01)), LEVEL)
    assert "(at least 16.5 % lower with 97 % confidence; the margin is 10.0 %): passed." in certain.sentence
    error = no_worse(compare("error", found), LEVEL)
    assert error.bound == pytest.approx(-0.02 + 0.03 * upper_quantile(LEVEL, DF))
    close = no_worse(compare("size_kb", 0.10004), LEVEL)
    assert "The size is 10.004 % higher than the champion's (the margin is 10.000 %): failed." in close.sentence


# A limit.


@pytest.mark.parametrize(
    ("metric", "limit", "said"),
    [
        ("latency_ms", 0.5, "The median latency is 0.400 ms (the limit is 0.500 ms): passed."),
        ("latency_p95_ms", 0.5, "The 95th-percentile latency is 0.400 ms (the limit is 0.500 ms): passed."),
        ("load_p95_ms", 0.5, "The 95th-percentile latency under load is 0.400 ms (the limit is 0.500 ms): passed."),
        ("latency_ms", 1.0, "The median latency is 0.40 ms (the limit is 1.00 ms): passed."),
        ("cold_start_ms", 0.5, "The cold start is 0.4 ms (the limit is 0.5 ms): passed."),
        ("error", 0.4, "The error is 40.0 % (the limit is 40.0 %): passed."),
        (
            "robust_error",
            0.3,
            "The error under the worst corruption of the search split is 40.0 % (the limit is 30.0 %): failed.",
        ),
        (
            "worst_domain_error",
            0.4,
            "The error in the worst domain of the search split is 40.0 % (the limit is 40.0 %): passed.",
        ),
        ("error", 0.3996, "The error is 40.00 % (the limit is 39.96 %): failed."),
    ],
)
def test_a_figure_is_written_as_finely_as_its_limit_asks(metric: str, limit: float, said: str) -> None:
    reason = bounded(metric, 0.4, limit, LEVEL, "constraint")
    assert reason.sentence == said
    assert (reason.rule, reason.value, reason.bound, reason.limit) == ("constraint", 0.4, 0.4, limit)


def test_a_limit_is_met_by_the_bound_and_what_is_allowed_for_at_the_very_limit() -> None:
    found = estimate(0.2, 0.01)
    bound = found.upper(LEVEL) + 0.05
    assert bounded("error", found, bound, LEVEL, "r", 0.05).passed
    assert not bounded("error", found, math.nextafter(bound, 0), LEVEL, "r", 0.05).passed


# Agreement with the device.


def test_agreement_gives_its_figures_and_passes_at_its_very_limit() -> None:
    found = {"candidate": Agreement(1000, 3), "champion": Agreement(1000, 10)}
    bound = found["champion"].upper(0.01)
    reason, bounds = agrees(found, bound, 0.02)
    assert reason.passed
    assert (reason.value, reason.bound, reason.limit) == (0.01, bound, bound)
    assert bounds == {"candidate": found["candidate"].upper(0.01), "champion": bound}
    failing = agrees(found, 0.005, 0.02)[0]
    assert not failing.passed
    assert failing.sentence == (
        f"Of 1000 answers of the champion, 10 are others on the device than in the gate (at most {100 * bound:.2f} % "
        "with 99 % confidence; the limit is 0.50 %): failed."
    )


def test_no_answers_at_all_agree_on_nothing() -> None:
    reason = agrees({"candidate": Agreement(0, 0)}, 0.5, 0.02)[0]
    assert (reason.passed, reason.value, reason.bound) == (False, 1.0, 1.0)


def test_a_metric_of_scores_does_not_bear_scores_that_differ() -> None:
    found = Agreement(100_000, 0)
    reason = agrees({"candidate": found}, 0.5, 0.02, "AUROC loss")[0]
    assert (reason.passed, reason.value, reason.bound, reason.limit) == (False, 0.0, found.upper(0.02), 0.5)
    assert agrees({"candidate": Agreement(10, 0, same_scores=True)}, 0.5, 0.02, "AUROC loss")[0].passed


# New classes.


def test_a_class_of_too_few_recordings_holds_without_figures() -> None:
    reason = classes_meet_floor({"SIT": estimate(0.1, 0.01), "JUMP": None}, 0.5, LEVEL)
    assert (reason.passed, reason.value, reason.bound, reason.limit) == (False, None, None, 0.5)
    assert reason.passed is False


def test_the_new_class_with_the_highest_bound_is_told() -> None:
    errors: dict[str, Any] = {"A": estimate(0.10, 0.001), "B": estimate(0.05, 0.1), "C": estimate(0.01, 0.001)}
    reason = classes_meet_floor(errors, 0.5, LEVEL)
    assert reason.passed
    assert reason.sentence.startswith("On the new class B: ")
    assert reason.bound == pytest.approx(errors["B"].upper(LEVEL))


# The veto of a domain.


def clusters(*recordings: list[float]) -> Clusters:
    return Clusters(
        tuple(f"d{n}" for n in range(len(recordings))), tuple(map(np.asarray, recordings)), (50.0,) * len(recordings)
    )


WORSE, MUCH = [0.30, 0.31, 0.29, 0.30], [0.50, 0.10, 0.90, 0.50]
"""Shown worse, and worse by more on average but not shown to be."""


def test_the_domain_that_is_shown_worse_is_named_and_not_the_one_that_is_merely_worse() -> None:
    found = clusters([0.0, 0.0, 0.01], MUCH, WORSE)
    reason = domains_hold(found, 0.1, 0.05)
    lower = domain_mean(found, 2).lower(0.05 / 3)
    assert not reason.passed
    assert (reason.value, reason.bound, reason.limit) == (pytest.approx(0.30), pytest.approx(lower), 0.1)
    assert reason.sentence == (
        "The worst domain, d2, has an error 30.0 points higher than with the champion (at least "
        f"{100 * lower:.1f} points higher with 98.33 % confidence; a domain vetoes when shown more than 10.0 points "
        "higher): it vetoes."
    )


def test_of_two_domains_that_are_shown_worse_the_worse_is_named_and_of_equal_ones_the_first() -> None:
    worse = [value + 0.1 for value in WORSE]
    assert "worst domain, d1," in domains_hold(clusters(WORSE, worse), 0.1, 0.05).sentence
    assert "worst domain, d0," in domains_hold(clusters(worse, WORSE), 0.1, 0.05).sentence
    assert "worst domain, d0," in domains_hold(clusters(WORSE, WORSE), 0.1, 0.05).sentence


def test_a_domain_vetoes_beyond_its_margin_only_and_one_alone_at_the_whole_alpha() -> None:
    one = clusters(WORSE)
    lower = domain_mean(one, 0).lower(0.05)
    assert domains_hold(one, lower, 0.05).passed
    assert not domains_hold(one, math.nextafter(lower, 0), 0.05).passed
    assert "with 95 % confidence" in domains_hold(one, 0.9, 0.05).sentence


def test_two_recordings_can_veto() -> None:
    assert not domains_hold(clusters([0.9, 0.901]), 0.1, 0.05).passed


def test_what_a_sample_weighs_widens_the_doubt_about_a_domain() -> None:
    flat = clusters([0.3, 0.3, 0.3])
    bounds = [domains_hold(flat, 0.1, 0.05, of_one=weight).bound for weight in (1.0, 2.0)]
    assert bounds[0] == domains_hold(flat, 0.1, 0.05).bound
    assert 0.3 - bounds[1] == pytest.approx(2 * (0.3 - bounds[0]))


def test_an_article_fits_the_name_of_the_loss() -> None:
    found = clusters(WORSE)
    assert "has an error 30.0" in domains_hold(found, 0.1, 0.05).sentence
    assert "has a cost of an answer 30.0" in domains_hold(found, 0.1, 0.05, "cost of an answer").sentence
    assert "has a Xi loss 30.0" in domains_hold(found, 0.1, 0.05, "Xi loss").sentence


def test_a_restart_mean_that_is_below_nothing_is_at_best_that() -> None:
    good = clusters([-0.3, -0.31, -0.29])
    lower = domain_mean(good, 0).lower(0.05)
    assert f"(at best {-100 * lower:.1f} points lower with 95 % confidence;" in domains_hold(good, 0.1, 0.05).sentence
    assert restart_mean(np.array([1.0, 1.0])).upper(LEVEL) == 1.0
