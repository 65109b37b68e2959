"""Quality metrics other than the error: their figures, what is needed of a split, and decisions by them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evernas.config import GateConfig
from evernas.config_gate import QualityConfig
from evernas.gate import Agreement, Evidence, Measured, Verdict, decide
from evernas.gate.estimate import cluster, grouping
from evernas.gate.quality import BY_ANSWER, losses, probabilities, undefined, weight_of_one

CLASSES = 3
COSTS = [[0.0, 0.2, 1.0], [0.1, 0.0, 0.4], [0.9, 0.3, 0.0]]
F1, AUROC = QualityConfig(metric="macro_f1"), QualityConfig(metric="auroc")
COST, ERROR = QualityConfig(metric="cost", costs=COSTS), QualityConfig()


def world(sharpness: float, *, domains: int = 6, recordings: int = 4, size: int = 30, seed: int = 0) -> Any:
    """Samples of recordings of one length, and a network whose scores are the sharper, the better it is."""
    rng = np.random.default_rng(seed)
    count = domains * recordings * size
    labels = np.arange(count) % CLASSES
    scores = sharpness * np.eye(CLASSES)[labels] + rng.normal(0, 1, (count, CLASSES))
    names = np.repeat([f"d{i}" for i in range(domains)], recordings * size)
    groups = np.tile(np.repeat([f"r{i}" for i in range(recordings)], size), domains)
    return SimpleNamespace(labels=labels, scores=scores, answers=scores.argmax(1), domains=names, groups=groups)


def figure(quality: Any, of: Any) -> np.ndarray:
    """The loss of each domain."""
    values = losses(quality, of.answers, of.scores, of.labels, grouping(of.domains, of.groups), CLASSES)
    return cluster(values, of.domains, of.groups).means


def test_the_loss_of_a_domain_is_one_minus_its_macro_f1() -> None:
    of = world(1.0)
    for domain, found in zip(np.unique(of.domains), figure(F1, of), strict=True):
        own = of.domains == domain
        scores = []
        for c in range(CLASSES):
            true, said = of.labels[own] == c, of.answers[own] == c
            scores.append(2 * (true & said).sum() / (true.sum() + said.sum()))
        assert found == pytest.approx(1 - np.mean(scores))


def test_the_loss_of_a_domain_is_one_minus_its_auroc_by_all_pairs_and_ties_count_half() -> None:
    of = world(1.0)
    of.scores = np.round(of.scores, 1)
    of.scores[:, 2] = 0.0
    certain = probabilities(of.scores)
    for domain, found in zip(np.unique(of.domains), figure(AUROC, of), strict=True):
        own = of.domains == domain
        areas = []
        for c in range(CLASSES):
            ours, theirs = certain[own & (of.labels == c), c], certain[own & (of.labels != c), c]
            pairs = ours[:, None] - theirs[None, :]
            areas.append(np.mean(pairs > 0) + np.mean(pairs == 0) / 2)
        assert found == pytest.approx(1 - np.mean(areas))


def test_recordings_weigh_the_same_however_long_they_are() -> None:
    """A recording of twice the samples, each there twice, changes nothing."""
    of = world(1.0, domains=2)
    twice = np.concatenate([np.arange(len(of.labels)), np.flatnonzero(of.groups == "r1")])
    longer = SimpleNamespace(**{name: getattr(of, name)[twice] for name in vars(of)})
    for quality in (F1, AUROC, COST, ERROR):
        assert figure(quality, longer) == pytest.approx(figure(quality, of))


def test_the_cost_is_the_mean_of_the_matrix_over_samples() -> None:
    of = world(1.0, domains=1)
    assert figure(COST, of)[0] == pytest.approx(
        np.mean([COSTS[t][a] for t, a in zip(of.labels, of.answers, strict=True)])
    )
    plain = QualityConfig(metric="cost", costs=(1 - np.eye(CLASSES)).tolist())
    assert figure(plain, of) == pytest.approx(figure(ERROR, of))


@pytest.mark.parametrize("quality", [F1, AUROC])
def test_a_sample_s_value_says_how_its_weight_moves_the_figure(quality: Any) -> None:
    of = world(0.7, domains=1, recordings=1, size=90)
    values = losses(quality, of.answers, of.scores, of.labels, grouping(of.domains, of.groups), CLASSES)
    for sample in (0, 1, 2, 50):
        copies = 1
        more = np.concatenate([np.arange(90), np.full(copies, sample)])
        heavier = SimpleNamespace(**{name: getattr(of, name)[more] for name in vars(of)})
        moved = figure(quality, heavier)[0] - figure(quality, of)[0]
        assert moved == pytest.approx((values[sample] - values.mean()) * copies / 91, rel=0.1, abs=1e-5)


def test_logits_and_their_probabilities_are_the_same_scores() -> None:
    of = world(1.0)
    softmax = np.exp(of.scores) / np.exp(of.scores).sum(axis=1, keepdims=True)
    assert probabilities(of.scores) == pytest.approx(softmax)
    assert (probabilities(softmax) == softmax).all()
    assert probabilities(np.array([[1.0, 0.0]])).tolist() == [[1.0, 0.0]]
    half = 1 / (1 + np.exp(-1))
    assert probabilities(np.array([[2.0, 1.0]]))[0, 0] == pytest.approx(half), "none below 0, and no sum of 1"
    assert probabilities(np.array([[1.0, 0.0], [1.0, 1.0]]))[0, 0] == pytest.approx(half), "one row of them is"
    assert probabilities(np.array([[1.5, -0.5]]))[0, 0] == pytest.approx(1 / (1 + np.exp(-2))), "a sum of 1, not all"


def test_what_a_metric_of_whole_domains_lacks_is_said() -> None:
    of = world(1.0, domains=5)
    for quality in (F1, AUROC):
        assert list(undefined(quality, of.labels, of.domains, CLASSES, 5)) == []
        assert "needs 6" in next(undefined(quality, of.labels, of.domains, CLASSES, 6))
        assert "not said" in next(undefined(quality, of.labels, of.domains, None, 5))
        assert "fewer than two" in next(undefined(quality, of.labels, of.domains, 1, 5))
        bare = np.where((of.domains == "d3") & (of.labels == 1), 2, of.labels)
        assert "domain d3 has no sample of class 1" in next(undefined(quality, bare, of.domains, CLASSES, 5))
    assert list(undefined(ERROR, of.labels, of.domains, None, 99)) == []


def test_one_other_answer_moves_no_figure_further_than_is_said() -> None:
    rng = np.random.default_rng(4)
    of = world(1.0, domains=1, recordings=2, size=15)
    of.labels[of.labels == 2] = np.where(np.arange(10) < 3, 2, 0)
    for quality in (F1, COST, ERROR):
        most = weight_of_one(quality, of.labels, grouping(of.domains, of.groups), CLASSES) * BY_ANSWER[quality.metric]
        before = figure(quality, of)[0]
        moved = []
        for sample in range(30):
            other = SimpleNamespace(**vars(of))
            other.answers = of.answers.copy()
            other.answers[sample] = (of.answers[sample] + rng.integers(1, CLASSES)) % CLASSES
            moved.append(abs(figure(quality, other)[0] - before) * 30)
        assert max(moved) <= most
        assert max(moved) > most / 10
    assert weight_of_one(ERROR, of.labels, grouping(of.domains, of.groups), None) == 1
    assert weight_of_one(COST, of.labels, grouping(of.domains, of.groups), None) == 1
    assert weight_of_one(F1, of.labels, grouping(of.domains, of.groups), CLASSES) == pytest.approx(30 / 9)


RESTARTS = [1.0, 1.01, 0.99]


def shown(ours: float, theirs: float | None, *, domains: int = 6, agreement: Agreement | None = None) -> Evidence:
    candidate, champion = world(ours, domains=domains), world(theirs or 1.0, domains=domains, seed=1)

    def measured(digest: str, of: Any) -> Measured:
        return Measured(digest, of.answers, RESTARTS, size_kb=10.0, scores=of.scores, agreement=agreement)

    return Evidence(
        measured("new", candidate),
        None if theirs is None else measured("old", champion),
        candidate.labels,
        candidate.domains,
        candidate.groups,
        classes=CLASSES,
    )


def judged(quality: Any, case: Evidence, **policy: Any) -> Verdict:
    return decide(case, GateConfig(quality=quality, resamples=1000, **policy), [])


def failed(verdict: Verdict) -> list[str]:
    return [reason.rule for reason in verdict.failed]


@pytest.mark.parametrize(
    ("quality", "called"),
    [(F1, "a macro-F1 loss"), (AUROC, "an AUROC loss"), (COST, "a cost of an answer"), (ERROR, "an error")],
)
def test_a_network_that_is_better_by_the_metric_is_promoted_and_a_worse_one_not(quality: Any, called: str) -> None:
    verdict = judged(quality, shown(3.0, 1.0))
    assert verdict.outcome == "promote"
    assert verdict.quality == quality.metric
    assert f"has {called}" in next(r for r in verdict.reasons if r.rule == "domains").sentence
    assert (
        f"The {called.split(' ', 1)[1]} is" in next(r for r in verdict.reasons if r.rule == "no_worse:error").sentence
    )
    assert f"shown better in {called.split(' ', 1)[1]}" in verdict.reasons[-1].sentence
    worse = judged(quality, shown(1.0, 3.0))
    assert set(failed(worse)) - {"domains"} == {"no_worse:error", "better"}
    first = judged(quality, shown(3.0, None))
    assert (first.outcome, first.reasons[-1].rule) == ("promote", "floor:error")
    assert f"The {called.split(' ', 1)[1]} is" in first.reasons[-1].sentence
    assert failed(judged(quality, shown(0.0, None), max_error=0.1)) == ["floor:error"]


def test_the_metric_decides_and_not_the_error() -> None:
    """Always answering the common class has the lower error and the worse macro-F1."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.repeat([0, 1], [90, 10]), 24)
    domains, groups = np.repeat([f"d{i}" for i in range(6)], 400), np.tile(np.repeat(list("abcd"), 100), 6)
    fair = np.where(rng.random(2400) < 0.85, labels, 1 - labels)
    lazy = np.where(rng.random(2400) < 0.01, 1, 0)
    for quality, expected in ((ERROR, "hold"), (F1, "promote")):
        case = Evidence(
            Measured("new", fair, RESTARTS, size_kb=10.0),
            Measured("old", lazy, RESTARTS, size_kb=10.0),
            labels,
            domains,
            groups,
            classes=2,
        )
        assert judged(quality, case).outcome == expected


def test_hold_when_the_split_has_no_such_figure() -> None:
    for quality in (F1, AUROC):
        assert "gate.min_domains" in judged(quality, shown(3.0, 1.0, domains=4)).sentence()
        case = shown(3.0, 1.0)
        bare = np.where((case.domains == "d3") & (case.labels == 1), 2, case.labels)
        verdict = judged(quality, replace(case, labels=bare))
        assert (failed(verdict), "d3 has no sample of class 1" in verdict.sentence()) == (["complete"], True)
        assert "not said" in judged(quality, replace(case, classes=None)).sentence()


@pytest.mark.parametrize("who", ["candidate", "champion"])
@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (None, "has no scores"),
        (np.zeros((719, CLASSES)), r"scores of the shape \(719, 3\)"),
        (np.zeros((720, CLASSES - 1)), r"scores of the shape \(720, 2\)"),
        (np.full((720, CLASSES), np.nan), "not finite"),
    ],
)
def test_hold_when_scores_are_missing_or_impossible(who: str, scores: Any, said: str) -> None:
    import re

    case = shown(3.0, 1.0)
    verdict = judged(AUROC, replace(case, **{who: replace(getattr(case, who), scores=scores)}))
    assert failed(verdict) == ["complete"]
    assert re.search(f"The {who} .*{said}", verdict.reasons[0].sentence)


def test_hold_when_classes_have_no_cost() -> None:
    case = shown(3.0, 1.0)
    assert "gate split has classes that the matrix" in judged(COST, replace(case, labels=case.labels + 1)).sentence()
    stray = replace(case, candidate=replace(case.candidate, answers=np.asarray(case.candidate.answers) + 1))
    assert "candidate answers classes that the matrix" in judged(COST, stray).sentence()


def test_hold_when_labels_are_torn_or_no_classes() -> None:
    case = shown(3.0, 1.0)
    assert "there are 719 labels for 720 samples" in judged(ERROR, replace(case, labels=case.labels[1:])).sentence()
    for wrong in (case.labels - 1, case.labels + 0.5):
        assert "labels of the gate split are no classes" in judged(ERROR, replace(case, labels=wrong)).sentence()


def test_answers_that_may_differ_on_the_device_weigh_as_the_metric_lets_them() -> None:
    def bound(quality: Any, agreement: Agreement) -> float:
        verdict = judged(quality, shown(3.0, 1.0, agreement=agreement), max_disagreement=0.01)
        found = next(reason for reason in verdict.reasons if reason.rule == "no_worse:error").bound
        assert found is not None
        return found

    same, some = Agreement(50_000, 0, same_scores=True), Agreement(50_000, 50)
    moved = {q.metric: bound(q, some) - bound(q, same) for q in (ERROR, COST, F1)}
    assert moved["cost"] == pytest.approx(moved["error"], rel=0.5)
    assert moved["macro_f1"] == pytest.approx(3 * moved["error"], rel=0.5)
    verdict = judged(AUROC, shown(3.0, 1.0, agreement=some), max_disagreement=0.01)
    assert failed(verdict) == ["agreement"]
    assert "is of scores" in verdict.sentence()
    assert judged(AUROC, shown(3.0, 1.0, agreement=same)).outcome == "promote"


def test_a_new_class_is_no_part_of_a_figure_of_known_ones() -> None:
    case = shown(3.0, 1.0)
    marks = np.where(case.labels == 2, "JUMP", "")
    for quality in (F1, AUROC):
        verdict = judged(quality, replace(case, new_classes=marks, classes=2))
        assert "floor:classes" in {reason.rule for reason in verdict.reasons}
        assert "complete" not in failed(verdict)


def test_a_sample_that_has_no_part_in_a_class_has_the_class_s_own_figure() -> None:
    """One of seven windows is wrong, a 2 that was taken for a 0, which costs F1 in both."""
    labels, answers = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([0, 0, 1, 1, 2, 2, 0])
    grouped = grouping(np.array(["d"] * 7), np.array(list("abcdefg")))
    values = losses(F1, answers, None, labels, grouped, CLASSES)
    figure_of_all = 1 - (0.8 + 1.0 + 0.8) / 3
    assert values.mean() == pytest.approx(figure_of_all)
    assert values[2] == pytest.approx(figure_of_all), "a 1 that is known as one moves nothing"
    assert values[6] == pytest.approx(1 - (2 * (0.8 - 0.8 / (5 / 7)) + 1.0) / 3)


def test_scores_of_any_size_become_probabilities() -> None:
    found = probabilities(np.array([[1000.0, 998.0], [-1000.0, -1002.0], [0.0, -2.0]]))
    assert found == pytest.approx(np.array([[1.0, np.exp(-2.0)]] * 3) / (1 + np.exp(-2.0)))


def test_probabilities_that_a_device_rounded_are_taken_as_they_are() -> None:
    rounded = np.array([[0.5004, 0.5], [0.25, 0.75]])
    assert (probabilities(rounded) == rounded).all()
    assert (probabilities(np.array([[0.52, 0.5], [0.25, 0.75]])) != [[0.52, 0.5], [0.25, 0.75]]).any()


def test_a_person_who_shows_new_classes_alone_need_not_show_the_known_ones() -> None:
    case = shown(3.0, 1.0)
    new = np.array(["d5"])
    marks = np.where(np.isin(case.domains, new), "JUMP", "")
    labels = np.where(marks == "JUMP", CLASSES, case.labels)
    told = judged(F1, replace(case, labels=labels, new_classes=marks))
    assert "complete" not in failed(told)
    assert "floor:classes" in failed(told), "whose answers are all wrong"
