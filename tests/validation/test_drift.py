"""Drift is shown where domains differ, seldom where they do not, and decides how much is done."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from evernas.config import DriftConfig
from evernas.validation.drift import Change, Drift, _area, _smoother, _t_quantile, drift_of, points_of
from evernas.validation.policy import Since, explained, work_for

COLUMNS = ["a", "b", "c", "d"]
CLASSES = ["walk", "run"]
POLICY = DriftConfig()


def _people(rng: Any, count: int, rows: int, shift: float = 0.0, run: float = 0.5) -> tuple[Any, list[str]]:
    """Rows of people who differ from one another more than their rows do; and labels, of which each has his share."""
    who = rng.normal(size=(count, len(COLUMNS)))
    who[:, 0] += shift
    values = np.repeat(who, rows, axis=0) + 0.3 * rng.normal(size=(count * rows, len(COLUMNS)))
    shares = np.clip(run + 0.1 * rng.normal(size=count), 0.05, 0.95)
    labels = [CLASSES[int(rng.random() < share)] for share in np.repeat(shares, rows)]
    return values, labels


def _drift(seed: int, old: int = 20, new: int = 8, rows: int = 20, same: bool = False, **changes: float) -> Drift:
    """Of old people and new ones; or of the same ones, with new rows."""
    rng = np.random.default_rng(seed)
    before, labels_before = _people(rng, old, rows)
    if same:
        after = before[: new * rows] + 0.3 * rng.normal(size=(new * rows, len(COLUMNS)))
        after[:, 0] += changes.get("shift", 0.0)
        labels_after = [CLASSES[int(rng.random() < 0.5)] for _ in range(new * rows)]
    else:
        after, labels_after = _people(rng, new, rows, **changes)
    names = [f"old-{n}" for n in np.repeat(np.arange(old), rows)]
    names += [f"{'old' if same else 'new'}-{n}" for n in np.repeat(np.arange(new), rows)]
    is_new = np.repeat([False, True], [old * rows, new * rows])
    features = np.concatenate([before, after])
    return drift_of(features, COLUMNS, [*labels_before, *labels_after], CLASSES, names, is_new, seed)


def _shown(count: int, **changes: Any) -> float:
    return float(np.mean([bool(_drift(seed, **changes).shown(POLICY.alpha)) for seed in range(count)]))


@pytest.mark.parametrize("same", [False, True], ids=["new people", "the same people"])
def test_people_of_the_same_population_are_seldom_taken_for_drift(same: bool) -> None:
    # At level 0.05, of 120 more than 13 are seen once in 500 times.
    assert _shown(120, same=same) <= 13 / 120


def test_one_new_person_alone_never_shows_drift() -> None:
    assert _shown(20, new=1, shift=3.0) == 0.0, "one in 21 people is as far away by chance"


@pytest.mark.parametrize(
    ("changes", "least"),
    [({"shift": 2.0}, 0.9), ({"run": 0.8}, 0.9), ({"same": True, "shift": 0.5}, 0.9)],
    ids=["people who move otherwise", "another mix of labels", "a sensor that was moved"],
)
def test_planted_drift_is_found(changes: dict[str, Any], least: float) -> None:
    assert _shown(20, **changes) >= least


def test_what_changed_is_named_with_its_size_and_a_bound_below_it() -> None:
    found = {change.of: change for change in _drift(3, new=12, shift=3.0).changes}
    assert (found["features"].column, found["labels"].column in CLASSES) == ("a", True)
    assert 2 < found["features"].effect < 4.5
    assert 1 < found["features"].at_least < found["features"].effect
    assert 0.9 < found["classifier"].effect <= 1
    assert found["features"].p == pytest.approx(1 / 1000)
    drift = _drift(3, same=True)
    assert (drift.unseen, drift.domains_before, drift.domains_new) == (0.0, 20, 8)
    assert _drift(3).unseen == 1.0


def test_bounds_hold_as_often_as_they_say() -> None:
    """Of a difference of one standard deviation the lower bound is above it in at most one case of twenty."""
    above = sum({c.of: c for c in _drift(seed, shift=1.0).changes}["features"].at_least > 1.0 for seed in range(100))
    assert above <= 11


def test_without_old_or_new_rows_or_people_enough_nothing_is_tested() -> None:
    values = np.zeros((4, 1))
    for new in ([False] * 4, [True] * 4, [False, False, True, True]):
        found = drift_of(values, ["a"], ["walk"] * 4, CLASSES, ["p", "p", "q", "q"], np.array(new))
        assert found.changes == ()
        assert found.shown(0.05) == []


def test_students_quantiles_are_those_of_the_tables() -> None:
    for freedom, quantile in [(5, 2.015), (10, 1.812), (30, 1.697)]:
        assert _t_quantile(0.95, freedom) == pytest.approx(quantile, abs=0.01)
    assert _t_quantile(0.95, 10**6) == pytest.approx(NormalDist().inv_cdf(0.95), abs=1e-4)


def test_what_is_told_of_many_domains_is_what_a_plain_count_tells() -> None:
    rng = np.random.default_rng(0)
    domains, new = [f"d{n}" for n in rng.integers(0, 30, 400)], rng.random(400) < 0.4
    values = rng.normal(size=(400, 3))
    points = points_of(values, domains, new)
    plain = sorted({(domain, bool(is_new)) for domain, is_new in zip(domains, new, strict=True)})
    assert list(zip(points.domains, points.new.tolist(), strict=True)) == plain
    for (domain, is_new), mean in zip(plain, points.values, strict=True):
        assert mean == pytest.approx(values[(np.array(domains) == domain) & (new == is_new)].mean(axis=0))
    scores, is_new = np.round(rng.normal(size=(5, 40)), 1), rng.random((5, 40)) < 0.5
    above = [s[n][:, None] - s[~n][None, :] for s, n in zip(scores, is_new, strict=True)]
    assert _area(scores, is_new) == pytest.approx([((a > 0) + 0.5 * (a == 0)).mean() for a in above])
    for columns in (3, 60):
        wide, folds = rng.normal(size=(40, columns)), np.arange(40) % 4
        fitted, held = wide[folds != 1], wide[folds == 1]
        whole = held @ fitted.T @ np.linalg.inv(fitted @ fitted.T + len(fitted) * np.eye(len(fitted)))
        left, right = _smoother(wide, folds, 1)
        assert left @ right.T == pytest.approx(whole)


def test_many_domains_and_rows_are_compared_in_seconds() -> None:
    """Time grows with the rows, not with domains times rows or old times new domains."""
    rng = np.random.default_rng(0)
    count, columns = 120_000, [f"c{n}" for n in range(22)]
    domains = [f"d{n}" for n in np.arange(count) // 20]
    new = np.arange(count) >= 100_000
    begin = time.process_time()
    found = drift_of(rng.normal(size=(count, 22)), columns, ["walk", "run"] * (count // 2), CLASSES, domains, new)
    assert time.process_time() - begin < 60
    assert (found.domains_before, found.domains_new, len(found.changes)) == (5000, 1000, 3)


def _found(**p: float) -> Drift:
    changes = tuple(Change(of, "a", 0.95, 0.85, value) for of, value in p.items())
    return Drift(changes, 20, 3, 1000, 100, 1.0)


def test_the_policy_does_no_more_than_the_drift_asks_for() -> None:
    none = _found(labels=0.5, features=0.4, classifier=0.3)
    assert work_for(replace(none, rows_new=10), POLICY)[0] == "nothing"
    assert work_for(none, POLICY)[0] == "finetune"
    assert work_for(_found(labels=0.001, features=0.4, classifier=0.3), POLICY)[0] == "retrain"
    level, reason = work_for(_found(labels=0.4, features=0.4, classifier=0.001), POLICY)
    assert level == "search"
    assert "told from old ones in 95% of pairs, at least 85%" in reason
    strict = POLICY.model_copy(update={"search_above": 0.9})
    assert work_for(_found(labels=0.4, features=0.4, classifier=0.001), strict)[0] == "retrain"
    # Of three tests at 0.05 together, the first has to be below a third of it.
    assert work_for(_found(labels=0.03, features=0.4, classifier=0.3), POLICY)[0] == "finetune"
    assert "level 0.05" in explained(POLICY)


def test_what_was_corrected_or_went_is_never_left_for_later() -> None:
    little = replace(_found(labels=0.5, features=0.4, classifier=0.3), rows_new=0)
    assert work_for(little, POLICY, Since())[0] == "nothing"
    assert work_for(little, POLICY, Since(altered=1))[0] == "retrain"
    assert work_for(little, POLICY, Since(altered_judges=1))[0] == "finetune"
    assert work_for(little, POLICY, Since(new_judges=POLICY.least_rows))[0] == "finetune"
    assert work_for(little, POLICY, Since(new_judges=POLICY.least_rows / 2))[0] == "nothing"
    assert work_for(_found(classifier=0.001), POLICY, Since(altered=1))[0] == "search"
    assert "3 rows of training or search have gone" in work_for(little, POLICY, Since(altered=3))[1]
