"""Dominance and hypervolume against slow and obvious versions of themselves."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evernas.errors import UsageError
from evernas.search import hypervolume, hypervolume_curve, nondominated
from evernas.search.pareto import crowding, ranks

GRID = st.integers(1, 4).flatmap(
    lambda d: st.integers(0, 9).flatmap(lambda n: arrays(np.float64, (n, d), elements=st.integers(0, 4)))
)


def cells_dominated(points: np.ndarray, side: int) -> int:
    corners = itertools.product(range(side), repeat=points.shape[1])
    return sum(bool((points <= np.array(corner)).all(axis=1).any()) for corner in corners)


@settings(max_examples=150, deadline=None)
@given(points=GRID)
def test_hypervolume_counts_the_cells_that_are_dominated(points: np.ndarray) -> None:
    reference = [4.0] * points.shape[1]
    assert hypervolume(points, reference) == pytest.approx(cells_dominated(points, 4))


@settings(max_examples=100, deadline=None)
@given(points=GRID)
def test_the_curve_is_the_hypervolume_of_every_beginning(points: np.ndarray) -> None:
    reference = [4.0] * points.shape[1]
    curve = hypervolume_curve(points.tolist(), reference, scale=2.0)
    assert curve == pytest.approx([hypervolume(points[: i + 1], reference) / 2 for i in range(len(points))])


@settings(max_examples=100, deadline=None)
@given(points=GRID)
def test_nondominated_agrees_with_the_definition(points: np.ndarray) -> None:
    expected = [not any((q <= p).all() and (q < p).any() for q in points) for p in points]
    assert nondominated(points).tolist() == expected


def test_nondominated_is_right_across_blocks_and_with_infinite_values() -> None:
    rng = np.random.default_rng(1)
    points = rng.integers(0, 12, (1500, 3)).astype(float)
    points[rng.random(points.shape) < 0.05] = math.inf
    expected = [not any((q <= p).all() and (q < p).any() for q in points) for p in points[::50]]
    assert nondominated(points)[::50].tolist() == expected


def test_ranks_put_the_infeasible_behind_and_in_order_of_violation() -> None:
    points = np.array([[1.0, 1.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.5, 3.0]])
    assert ranks(points, np.array([0.0, 0.0, 2.0, 1.0, 0.0])).tolist() == [0, 1, 3, 2, 0]


def test_crowding_is_infinite_at_the_ends_and_larger_where_it_is_lonely() -> None:
    distance = crowding(np.array([[0.0, 10.0], [1.0, 9.0], [2.0, 8.0], [7.0, 3.0], [10.0, 0.0]]))
    assert distance[[0, 4]].tolist() == [math.inf, math.inf]
    assert distance[1] < distance[2] < distance[3]


def test_crowding_of_equal_or_infinite_points_is_no_nan() -> None:
    assert not np.isnan(crowding(np.array([[1.0, math.inf], [1.0, math.inf]]))).any()
    assert not np.isnan(crowding(np.array([[1.0, math.inf], [2.0, 0.0], [3.0, 0.0]]))).any()


def test_a_front_of_two_hundred_points_in_four_objectives_takes_seconds_at_most() -> None:
    points = np.abs(np.random.default_rng(0).normal(size=(200, 4)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    estimate = np.random.default_rng(1).random((20_000, 4)) * 1.1
    share = np.mean([(points <= e).all(axis=1).any() for e in estimate[:3000]])
    assert hypervolume(points, [1.1] * 4) == pytest.approx(share * 1.1**4, abs=0.06)


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([[5.0, 0.0], [math.inf, 1.0]], [4.0, 4.0]) == 0
    assert hypervolume_curve([[5.0, 0.0], [3.0, 3.0]], [4.0, 4.0]) == [0.0, 1.0]


def test_a_hypervolume_that_has_no_meaning_is_refused() -> None:
    with pytest.raises(UsageError, match="1 to 4"):
        hypervolume([[0.0] * 5], [1.0] * 5)
    for points, reference in (([[math.nan]], [1.0]), ([[-math.inf]], [1.0]), ([[0.0]], [math.inf])):
        with pytest.raises(UsageError, match="finite"):
            hypervolume(points, reference)
    with pytest.raises(UsageError, match="scale"):
        hypervolume_curve([[0.0]], [1.0], scale=0.0)
    with pytest.raises(UsageError, match="no number"):
        hypervolume_curve([[math.nan]], [1.0])
