"""A promise that is kept is seldom called broken, however often one looks; one that is broken is found."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from evernas.monitor.judging import Promise, judge
from evernas.monitor.sequential import evidence, lower_bound

SERIES, LENGTH, EVERY = 200, 1500, 25
ALPHA = 0.05


def _first_alarms(values: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.int64]:
    """Of each series how many values there were at the look that first called the promise broken; 0 for none."""
    totals = values.cumsum(1)
    found = np.zeros(len(values), dtype=np.int64)
    for count in range(EVERY, values.shape[1] + 1, EVERY):
        for row in np.flatnonzero(found == 0):
            if evidence(count, float(totals[row, count - 1]), limit) >= math.log(1 / ALPHA):
                found[row] = count
    return found


def _kinds(mean: float, rng: np.random.Generator, series: int) -> dict[str, npt.NDArray[np.float64]]:
    """Values from 0 to 1 with this mean: right and wrong, shares of recordings, people who differ."""
    shape = (series, LENGTH)
    people = rng.beta(2, 2 / mean - 2, size=(series, LENGTH))
    return {
        "answers": (rng.random(shape) < mean).astype(float),
        "recordings": rng.beta(0.5, 0.5 / mean - 0.5, size=shape),
        "people": (rng.random(shape) < people).astype(float),
    }


@pytest.mark.parametrize("limit", [0.02, 0.2])
def test_at_sixty_looks_a_promise_that_is_just_kept_is_called_broken_as_seldom_as_was_said(limit: float) -> None:
    rng = np.random.default_rng(1)
    for kind, values in _kinds(limit, rng, SERIES).items():
        share = float((_first_alarms(values, limit) > 0).mean())
        # Three standard errors above what is allowed; a test of 5 % at each look is above 30 % here.
        assert share <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / SERIES), (kind, share)


def test_a_naive_test_at_each_look_would_raise_false_alarms_all_the_time() -> None:
    """That the simulation can fail: the same series, by a one-sided test of 5 % at each look."""
    rng, limit = np.random.default_rng(1), 0.2
    values = (rng.random((SERIES, LENGTH)) < limit).astype(float)
    counts = np.arange(EVERY, LENGTH + 1, EVERY)
    means = values.cumsum(1)[:, counts - 1] / counts
    above = (means - limit) / np.sqrt(limit * (1 - limit) / counts) > 1.645
    assert float(above.any(1).mean()) > 0.2


@pytest.mark.parametrize(("limit", "mean", "within"), [(0.02, 0.06, 600), (0.2, 0.3, 600), (0.5, 0.6, 900)])
def test_a_broken_promise_is_found_soon(limit: float, mean: float, within: int) -> None:
    values = (np.random.default_rng(2).random((50, LENGTH)) < mean).astype(float)
    found = _first_alarms(values, limit)
    assert (found > 0).all()
    assert float(np.median(found)) <= within


def test_the_lower_bound_is_below_the_truth_at_all_looks_together_as_often_as_was_said() -> None:
    rng, mean = np.random.default_rng(3), 0.1
    values = (rng.random((100, 600)) < mean).astype(float).cumsum(1)
    wrong = 0
    for row in values:
        wrong += any(lower_bound(count, float(row[count - 1]), ALPHA) > mean for count in range(60, 601, 60))
    assert wrong / len(values) <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / len(values))


def test_the_bound_is_where_the_evidence_reaches_the_level_and_comes_near_with_more() -> None:
    bound = lower_bound(500, 100.0, ALPHA)
    assert 0.14 < bound < 0.2
    assert evidence(500, 100.0, bound * 0.999) >= math.log(1 / ALPHA)
    assert evidence(500, 100.0, bound * 1.001) < math.log(1 / ALPHA)
    assert bound < lower_bound(50_000, 10_000.0, ALPHA) < 0.2
    assert lower_bound(0, 0.0, ALPHA) == lower_bound(100, 0.0, ALPHA) == 0.0


def test_evidence_does_not_break_on_millions_and_refuses_what_cannot_be() -> None:
    assert evidence(10**8, 0.0, 0.1) < 0
    assert evidence(10**8, 1.0e8, 0.1) > 1e8
    assert evidence(0, 0.0, 0.1) == 0.0
    for count, total, limit in ((1, 2.0, 0.1), (1, -0.1, 0.1), (1, 0.5, 0.0), (1, 0.5, 1.0)):
        with pytest.raises(ValueError, match="do not sum"):
            evidence(count, total, limit)


def test_all_tests_of_a_champion_together_raise_no_more_false_alarms_than_was_said() -> None:
    """Twenty domains, latency and twelve inputs, all just within their limits, at forty looks."""
    rng, looks, alpha = np.random.default_rng(4), 40, 0.1
    promise = Promise(error=0.1, domain_error=0.2, latency_ms=1.0, drift=0.15)
    domains = {f"d{n}": n for n in range(1, 21)}
    limits = {"quality": 0.1, "latency": 0.5}
    limits |= {f"quality:{name}": 0.2 for name in domains}
    limits |= {f"drift:f{n}:{side}": 0.25 for n in range(6) for side in ("low", "high")}
    alarms = 0
    for _ in range(60):
        totals = dict.fromkeys(limits, 0.0)
        alarm = False
        for look in range(1, looks + 1):
            for name, limit in limits.items():
                totals[name] += float(rng.binomial(20, limit))
            tests = {name: (20 * look, total) for name, total in totals.items()}
            alarm |= look % 4 == 0 and any(f.broken for f in judge(tests, promise, alpha, domains))
        alarms += alarm
    assert alarms / 60 <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 60)


def test_what_has_no_promise_is_not_judged() -> None:
    tests = {"quality": (100, 90.0), "quality:p": (100, 90.0), "latency": (100, 90.0)}
    nothing = Promise(error=None, domain_error=None, latency_ms=None, drift=0.1)
    assert judge(tests, nothing, 0.01, {"p": 1}) == []
    found = judge(tests, Promise(0.1, 0.2, 1.0, 0.1), 0.01, {"p": 1})
    assert [(f.kind, f.of, f.broken) for f in found] == [
        ("latency", None, True),
        ("quality", None, True),
        ("quality", "p", True),
    ]
