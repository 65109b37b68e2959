"""The bounds keep their word: quantiles against a reference, and what follows from how they are made."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.gate.estimate import (
    Clusters,
    cluster,
    clustered_mean,
    domain_mean,
    mean_of_units,
    reaches_of_units,
    restart_mean,
)  # fmt: skip
from evernas.gate.student import upper_quantile, upper_tail


@pytest.mark.parametrize(
    ("level", "df", "expected"),
    [
        (0.05, 1, 6.313751514675043),
        (0.025, 4, 2.7764451051977987),
        (0.01, 39, 2.4258413998606733),
        (0.001, 7.5, 4.630319),
        (1e-6, 4, 41.57787),
        (0.025, 1e5, 1.959988),
    ],
)
def test_quantiles_are_those_of_the_tables(level: float, df: float, expected: float) -> None:
    assert upper_quantile(level, df) == pytest.approx(expected, rel=1e-6)
    assert upper_tail(upper_quantile(level, df), df) == pytest.approx(level, rel=1e-8)
    assert upper_quantile(1 - level, df) == pytest.approx(-upper_quantile(level, df), rel=1e-6)


def test_a_quantile_of_no_probability_is_refused() -> None:
    for level in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            upper_quantile(level, 3)


def clusters_of(recordings: np.ndarray, windows: float = 26) -> Clusters:
    names = tuple(f"d{i}" for i in range(len(recordings)))
    return Clusters(names, tuple(recordings), (windows,) * len(recordings))


def test_bounds_widen_as_the_level_falls_also_where_resamples_cannot_follow() -> None:
    skew = np.random.default_rng(0).beta(0.2, 1, (3, 14))
    estimate = clustered_mean(clusters_of(skew), 5, 1000, 0)
    levels = [0.3, 0.1, 0.05, 0.02, 0.01, 1e-3, 1e-5, 1e-8]
    uppers = [estimate.upper(level) for level in levels]
    lowers = [estimate.lower(level) for level in levels]
    assert uppers == sorted(uppers)
    assert lowers == sorted(lowers, reverse=True)
    assert np.isfinite([*uppers, *lowers]).all()
    assert uppers[4] - estimate.value > 1.2 * upper_quantile(0.01, estimate.df) * estimate.standard_error


def test_no_difference_anywhere_proves_no_more_than_the_rule_of_three() -> None:
    windows, recordings = 26, 14
    estimate = clustered_mean(clusters_of(np.zeros((3, recordings)), windows), 5, 1000, 0)
    three = 3 / (3 * recordings * windows)
    assert estimate.value == 0
    assert 0.5 * three < estimate.upper(0.05) < 3 * three
    alone = clustered_mean(clusters_of(np.zeros((3, recordings)), 1), 5, 1000, 0)
    assert alone.upper(0.05) > 3 / 42


def test_a_rare_loss_of_whole_recordings_is_not_taken_for_certain() -> None:
    values = np.zeros((3, 14))
    values[0, 0] = 1.0
    estimate = clustered_mean(clusters_of(values), 5, 2000, 0)
    assert estimate.upper(0.025) > 0.1
    assert estimate.upper(0.025) - estimate.value > 2 * (estimate.value - estimate.lower(0.025))


def test_samples_are_grouped_by_recording_within_domain_and_weigh_by_domain() -> None:
    domains = np.array(["b", "a", "a", "a", "b", "b", "b"])
    groups = np.array(["1", "1", "1", "2", "1", "2", "2"])  # recording 1 of a is not recording 1 of b
    found = cluster(np.array([1.0, 0, 1, 1, 0, 0, 0]), domains, groups)
    assert found.names == ("a", "b")
    assert [r.tolist() for r in found.recordings] == [[0.5, 1.0], [0.5, 0.0]]
    assert found.samples == (1.5, 2.0)
    assert clustered_mean(found, 5, 1000, 0).value == 0.5
    assert domain_mean(found, 0).value == 0.75


def test_equal_restarts_are_their_own_bound() -> None:
    estimate = restart_mean(np.zeros(5))
    assert estimate.upper(1e-6) == estimate.lower(1e-6) == 0


def test_resampling_depends_on_the_seed_alone() -> None:
    data = clusters_of(np.random.default_rng(0).normal(size=(3, 14)))
    same = [clustered_mean(data, 5, 1000, 4).upper(0.01) for _ in range(2)]
    assert same[0] == same[1]


def test_resamples_that_are_drawn_in_parts_bound_like_those_drawn_at_once() -> None:
    large = clustered_mean(clusters_of(np.random.default_rng(0).normal(size=(3, 420))), 5, 6000, 0)
    assert large.studentised is not None
    assert len(large.studentised) == 6000
    assert large.upper(0.01) - large.value == pytest.approx(
        upper_quantile(0.01, large.df) * large.standard_error, rel=0.08
    )


@pytest.mark.parametrize(("level", "step"), [(0.02, 0.0), (1e-5, 0.1)])
def test_the_reaches_of_many_sets_are_those_of_each_by_itself(level: float, step: float) -> None:
    sets = np.random.default_rng(0).standard_t(3, (7, 6))
    sets[3] = 1.0
    alone = [mean_of_units(each, 4_000, 5, step).reach(level, above=True) for each in sets]
    assert reaches_of_units(sets, level, 4_000, 5, step) == pytest.approx(alone, rel=1e-9)
