"""Finalists are spread along the front, with its best end, the wanted ones and the knee."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from evernas.errors import UsageError
from evernas.search import Evaluation, Objective, select_finalists
from evernas.spaces import Categorical

SPACE = Categorical([30])


def evaluation(gene: int, **values: float) -> Evaluation:
    return Evaluation(SPACE.architecture([gene]), values)


FRONT = [evaluation(i, error=0.5 / (i + 1), latency_ms=1.0 + i) for i in range(10)]


def genes(chosen: list[Evaluation]) -> list[int]:
    return [e.architecture.genes[0] for e in chosen]


def test_the_lowest_error_comes_first_then_the_wanted_then_the_knee() -> None:
    assert genes(select_finalists(FRONT, 1)) == [9]
    chosen = genes(select_finalists(FRONT, 3, must=[FRONT[6].architecture.id]))
    assert chosen[:2] == [9, 6]
    assert chosen[2] in (1, 2)


def test_the_rest_fills_the_largest_gaps() -> None:
    chosen = genes(select_finalists(FRONT, 4))
    assert chosen[0] == 9
    assert 0 in chosen
    assert min(abs(a - b) for a, b in itertools.combinations(chosen, 2)) >= 1


def test_all_are_chosen_once_when_the_front_is_short() -> None:
    assert sorted(genes(select_finalists(FRONT[:3], 10))) == [0, 1, 2]
    assert select_finalists([], 3) == []


def test_the_choice_does_not_depend_on_the_order_given() -> None:
    expected = genes(select_finalists(FRONT, 5))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(FRONT))
        assert genes(select_finalists([FRONT[i] for i in order], 5)) == expected


def test_a_wanted_architecture_near_the_front_is_chosen_and_one_far_from_it_is_not() -> None:
    near = evaluation(20, error=0.5 / 5 + 0.01, latency_ms=5.1)
    far = evaluation(21, error=0.45, latency_ms=9.0)
    unwanted = evaluation(22, error=0.5 / 5 + 0.01, latency_ms=5.2)
    chosen = genes(
        select_finalists([*FRONT, near, far, unwanted], 12, must=[near.architecture.id, far.architecture.id])
    )
    assert 20 in chosen
    assert not {21, 22} & set(chosen)


def test_a_failed_evaluation_is_chosen_only_if_all_failed() -> None:
    failed = evaluation(25, error=math.inf, latency_ms=0.1)
    assert 25 not in genes(select_finalists([*FRONT, failed], 20))
    assert genes(select_finalists([failed], 2)) == [25]


def test_among_equal_errors_the_fastest_is_the_end() -> None:
    twins = [evaluation(1, error=0.1, latency_ms=2.0), evaluation(2, error=0.1, latency_ms=1.0)]
    assert genes(select_finalists(twins, 1)) == [2]


def test_one_objective_and_equal_points_are_no_problem() -> None:
    same = [evaluation(i, error=0.1) for i in range(4)]
    assert len(select_finalists(same, 3)) == 3


def test_objectives_to_be_made_large_are_understood() -> None:
    items = [evaluation(i, error=0.1 * (i + 1), speed=float(i)) for i in range(5)]
    assert len(select_finalists(items, 9, objectives=["error", Objective("speed", "max")])) == 5
    assert genes(select_finalists(items, 9, objectives=["error", "speed"])) == [0]


def test_what_cannot_be_chosen_from_is_refused() -> None:
    with pytest.raises(UsageError, match="1 or more"):
        select_finalists(FRONT, 0)
    with pytest.raises(UsageError, match="must be among"):
        select_finalists([evaluation(1, latency_ms=1.0)], 1)
