"""Figures of the bounds that follow by hand: quantiles, tails, standard errors, and what resamples say of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from evernas.gate.agreement import Agreement
from evernas.gate.estimate import (
    Clusters,
    Estimate,
    clustered_mean,
    domain_mean,
    restart_mean,
    variance_of_mean,
)
from evernas.gate.spending import claim
from evernas.gate.student import _density, regularised_beta, upper_quantile, upper_tail


@pytest.mark.parametrize(("t", "tail"), [(0.5, 0.325723982), (2.0, 0.069662984), (-0.5, 0.674276018), (0.0, 0.5)])
def test_tails_are_those_of_the_tables_on_both_sides(t: float, tail: float) -> None:
    assert upper_tail(t, 3) == pytest.approx(tail, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "a", "b", "expected"),
    [
        (0.2, 2, 3, 0.1808),
        (0.9, 2, 3, 0.9963),
        (0.7, 1, 1, 0.7),
        (0.5, 30, 0.5, 1.33020594e-10),
        (-1, 2, 3, 0),
        (2, 2, 3, 1),
    ],
)
def test_the_beta_function_is_that_of_the_tables(x: float, a: float, b: float, expected: float) -> None:
    assert regularised_beta(x, a, b) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("t", "df"), [(0.3, 2.0), (1.5, 4.0), (5.0, 30.5)])
def test_the_density_is_the_slope_of_the_tail(t: float, df: float) -> None:
    step = 1e-5
    assert _density(t, df) == pytest.approx(
        (upper_tail(t - step, df) - upper_tail(t + step, df)) / (2 * step), rel=1e-5
    )


def test_where_the_density_vanishes_quantiles_are_still_found() -> None:
    assert _density(1e200, 3) > 0
    assert upper_tail(upper_quantile(1e-280, 2), 2) == pytest.approx(1e-280, rel=1e-6)


def test_one_decision_is_a_budget() -> None:
    assert claim(0.05, 1).left == 0
    assert not claim(0.05, 1).spent


def test_a_bound_of_no_difference_is_the_root_of_the_level() -> None:
    assert Agreement(100, 0).upper(0.05) == pytest.approx(1 - 0.05 ** (1 / 100), rel=1e-9)
    assert Agreement(2, 1).upper(0.5) == pytest.approx(math.sqrt(0.5), rel=1e-9)


SKEW = np.concatenate([np.linspace(-9.0, -2.0, 20), np.linspace(-1.9, 2.0, 179)])  # 199 resamples


def bent(resolvable: float = 0.0) -> Estimate:
    return Estimate(10.0, 2.0, 8.0, "domains", 9, SKEW, resolvable)


def test_a_bound_is_the_resamples_quantile_where_that_is_wider_than_student_s() -> None:
    assert bent().upper(0.05) == pytest.approx(10 - 2 * SKEW[9])  # the 10th of 199 from below
    assert bent().upper(0.0498) == pytest.approx(10 - 2 * SKEW[8])
    assert bent().upper(0.005) == bent().upper(0.0074) == pytest.approx(10 - 2 * SKEW[0])
    assert bent().upper(0.10) == pytest.approx(10 - 2 * SKEW[19])
    student = upper_quantile(0.05, 8)
    assert bent().lower(0.05) == pytest.approx(10 - 2 * max(student, SKEW[-10]))
    assert bent().lower(0.30) == pytest.approx(10 - 2 * max(upper_quantile(0.30, 8), SKEW[-60]))
    assert SKEW[-60] > upper_quantile(0.30, 8), "so that the resamples are what counts on this side too"
    assert bent().upper(1e-6) == pytest.approx(10 + 2 * max(upper_quantile(1e-6, 8), 9.0)), "the outermost resample"


def test_beyond_what_resamples_resolve_student_s_bound_is_widened_by_their_last_ratio() -> None:
    ratio = -SKEW[9] / upper_quantile(0.05, 8)
    assert bent(0.05).upper(0.001) == pytest.approx(10 + 2 * ratio * upper_quantile(0.001, 8))
    assert bent(0.05).upper(0.05) == pytest.approx(10 - 2 * SKEW[9])


A, B = np.array([0.1, 0.3, 0.2, 0.6]), np.array([0.4, 0.0, 0.2])


def two() -> Clusters:
    return Clusters(("a", "b"), (A, B), (20.0, 50.0))


def test_over_recordings_variances_of_domains_add_up_with_welch_s_freedom() -> None:
    variances = [(s.var() * len(s) + 2 / n**2) / (len(s) - 1) / len(s) for s, n in ((A, 20), (B, 50))]
    found = clustered_mean(two(), 5, 1000, 0)
    assert (found.unit, found.units) == ("recordings", 7)
    assert found.value == pytest.approx((A.mean() + B.mean()) / 2)
    assert found.standard_error == pytest.approx(math.sqrt(sum(variances)) / 2)
    assert found.df == pytest.approx(sum(variances) ** 2 / (variances[0] ** 2 / 3 + variances[1] ** 2 / 2))
    assert found.studentised is not None
    assert len(found.studentised) == 1000
    assert found.resolvable == pytest.approx(20 / 1001)
    assert clustered_mean(two(), 5, 100_000, 0).resolvable == pytest.approx(5 * 4**-3 * 3**-2)
    assert clustered_mean(two(), 5, 0, 0).resolvable == 1
    half = clustered_mean(two(), 5, 0, 0, of_one=0.5)
    assert half.standard_error < found.standard_error


def test_over_domains_a_domain_is_one_value_and_one_sample_of_it_the_step() -> None:
    found = clustered_mean(two(), 2, 1000, 0)
    means = np.array([A.mean(), B.mean()])
    step = 1 / np.mean([80, 150])
    assert (found.unit, found.units, found.df) == ("domains", 2, 1)
    assert found.standard_error == pytest.approx(math.sqrt((means.var() * 2 + 2 * step**2) / 2))
    assert found.studentised is not None
    assert found.resolvable == 0.25
    assert clustered_mean(two(), 2, 0, 0, of_one=3.0).standard_error == pytest.approx(
        math.sqrt((means.var() * 2 + 2 * (3 * step) ** 2) / 2)
    )


def test_one_domain_or_a_few_restarts_have_student_s_bound_alone() -> None:
    found = domain_mean(two(), 1)
    assert (found.unit, found.units, found.df, found.studentised) == ("recordings", 3, 2, None)
    assert found.standard_error == pytest.approx(math.sqrt((B.var() * 3 + 2 / 50**2) / 2 / 3))
    assert domain_mean(two(), 1, 4.0).standard_error == pytest.approx(math.sqrt((B.var() * 3 + 2 * (4 / 50) ** 2) / 6))
    restarts = restart_mean(A)
    assert (restarts.unit, restarts.units, restarts.df, restarts.studentised) == ("restarts", 4, 3, None)
    assert restarts.standard_error == pytest.approx(A.std(ddof=1) / 2)


def test_variances_are_over_the_last_axis() -> None:
    both = variance_of_mean(np.stack([A, 10 * A]), 0.0)
    assert both == pytest.approx([A.var(ddof=1) / 4, 100 * A.var(ddof=1) / 4])


def test_resamples_are_all_draws_of_the_units_with_the_same_chance() -> None:
    """Of three units there are 27 resamples: the shares that are drawn are theirs."""
    values, step = np.array([0.0, 1.0, 5.0]), 1 / 300
    one = Clusters(("a", "b", "c"), tuple(np.array([value]) for value in values), (300.0,) * 3)
    found = clustered_mean(one, 3, 20_000, 0)
    assert found.studentised is not None
    every = []
    for drawn in itertools.product(values, repeat=3):
        drawn = np.array(drawn)
        every.append((drawn.mean() - 2.0) / math.sqrt((drawn.var() * 3 + 2 * step**2) / 2 / 3))
    for value in (-1.5, -0.5, 0.5, 1.5):
        assert np.mean(found.studentised < value) == pytest.approx(np.mean(np.array(every) < value), abs=0.02)
    again, other = clustered_mean(one, 3, 20_000, 0), clustered_mean(one, 3, 20_000, 1)
    assert np.array_equal(found.studentised, np.asarray(again.studentised))
    assert not np.array_equal(found.studentised, np.asarray(other.studentised))


def test_clusters_that_are_torn_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        clustered_mean(Clusters(("a", "b"), (A, B), (20.0,)), 5, 0, 0)
    with pytest.raises(ValueError, match="zip"):
        clustered_mean(Clusters(("a", "b"), (A, B), (20.0,)), 2, 0, 0)
