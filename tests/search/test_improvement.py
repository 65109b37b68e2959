"""Expected hypervolume improvement is what adding the candidate would add, on average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.search import hypervolume
from evernas.search.improvement import LEVELS, NODES, WEIGHTS, expected_improvement, expected_violation, free_boxes


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), objectives=st.integers(1, 4), size=st.integers(0, 14), tied=st.booleans())
def test_of_known_values_it_is_the_volume_that_they_add(seed: int, objectives: int, size: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    draw = (lambda n: rng.integers(0, 6, (n, objectives)) / 6) if tied else (lambda n: rng.random((n, objectives)))
    front, candidates, reference = draw(size), draw(10), np.full(objectives, 0.9)
    found = expected_improvement([candidates[:, [j]] for j in range(objectives)], free_boxes(front, reference))
    before = hypervolume(front, reference)
    added = [hypervolume(np.vstack([front, one]), reference) - before for one in candidates]
    np.testing.assert_allclose(found, added, atol=1e-9)


def test_of_uncertain_values_it_is_the_mean_over_what_they_may_be() -> None:
    rng = np.random.default_rng(1)
    front, reference = rng.random((8, 3)), np.ones(3)
    mean, deviation = rng.random((4, 3)), rng.uniform(0.05, 0.3, (4, 3))
    values = [mean[:, [j]] + deviation[:, [j]] * NODES for j in range(3)]
    found = expected_improvement(values, free_boxes(front, reference))
    before = hypervolume(front, reference)
    for i in range(4):
        total = 0.0
        for a, b, c in np.ndindex(*[len(NODES)] * 3):
            point = [values[0][i, a], values[1][i, b], values[2][i, c]]
            added = hypervolume(np.vstack([front, point]), reference) - before
            total += WEIGHTS[a] * WEIGHTS[b] * WEIGHTS[c] * added
        assert found[i] == pytest.approx(total, abs=1e-9)


def test_a_long_front_of_four_objectives_never_promises_more_than_there_is() -> None:
    rng = np.random.default_rng(2)
    front = rng.random((300, 4))
    candidates, reference = rng.random((20, 4)) * 0.8, np.ones(4)
    found = expected_improvement([candidates[:, [j]] for j in range(4)], free_boxes(front, reference))
    before = hypervolume(front, reference)
    added = np.array([hypervolume(np.vstack([front, one]), reference) - before for one in candidates])
    assert (found <= added + 1e-9).all()
    assert (found[added > 0.02] > 0).all()
    lower, _ = free_boxes(front, reference)
    assert len(np.unique(lower[:, 3])) <= LEVELS + 1


def test_three_objectives_take_about_two_boxes_a_point() -> None:
    rng = np.random.default_rng(3)
    points = rng.random((400, 3))
    sphere = points / np.linalg.norm(points, axis=1)[:, None]
    lower, upper = free_boxes(sphere, np.full(3, 1.1))
    assert len(lower) <= 2 * len(sphere) + 1
    assert (lower < upper).all()


def test_violation_counts_only_what_is_beyond_a_limit() -> None:
    values = [np.array([[1.0], [3.0], [5.0]]), np.array([[9.0], [9.0], [9.0]])]
    found = expected_violation(values, np.array([3.0, np.inf]), np.array([2.0, 1.0]))
    assert found.tolist() == [0.0, 0.0, 1.0]
