"""The default strategy: fewer evaluations than NSGA-II, told formulas, constraints, batches, and large budgets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evernas.config import SpaceConfig
from evernas.errors import UsageError
from evernas.search import Objective, Strategy, create, hypervolume_curve
from evernas.search.design import spread_design
from evernas.search.models import MOST_KNOWN
from evernas.search.pool import Pool
from evernas.spaces import Architecture, Categorical, SignalSpace

WAYS = [4] * 7
SPACE = Categorical(WAYS)
_RNG = np.random.default_rng(7)
GAIN, PAIRS = _RNG.normal(size=(7, 4)), _RNG.normal(0, 0.3, (7, 4, 4))
COST = np.sort(_RNG.random((7, 4)), axis=1)


def error_of(arch: Architecture) -> float:
    genes = arch.genes
    quality = sum(GAIN[i, g] for i, g in enumerate(genes)) + sum(PAIRS[i, genes[i], genes[i + 1]] for i in range(6))
    return float(1 / (1 + np.exp(quality / 2)))


def cost_of(arch: Architecture) -> float:
    return float(sum(COST[i, g] for i, g in enumerate(arch.genes)))


def share(strategy: Strategy, budget: int, batch: int = 1) -> float:
    while len(strategy.evaluations()) < budget:
        for arch in strategy.ask(batch):
            strategy.tell(arch, {"error": error_of(arch), "cost": cost_of(arch)})
    points = [[e.values["error"], e.values["cost"]] for e in strategy.evaluations()]
    return hypervolume_curve(points, [1.0, 7.0])[-1]


def told(strategy_seed: int) -> Strategy:
    return create("surrogate", SPACE, ["error", Objective("cost", formula=cost_of)], strategy_seed)


def test_it_reaches_in_sixty_evaluations_what_nsga2_has_after_a_hundred_and_fifty() -> None:
    ours = [share(create("surrogate", SPACE, ["error", "cost"], seed), 60) for seed in range(4)]
    plain = [share(create("nsga2", SPACE, ["error", "cost"], seed), 150) for seed in range(4)]
    assert np.median(ours) > np.median(plain)


def test_told_the_formula_of_cost_it_is_no_worse_after_thirty() -> None:
    blind = [share(create("surrogate", SPACE, ["error", "cost"], seed), 30) for seed in range(5)]
    assert np.median([share(told(seed), 30) for seed in range(5)]) >= np.median(blind)


def test_a_batch_holds_no_two_alike_and_costs_little_of_the_result() -> None:
    one, eight = (share(create("surrogate", SPACE, ["error", "cost"], 3), 66, batch) for batch in (1, 8))
    assert eight > 0.97 * one


def test_a_told_formula_that_gives_no_number_is_refused_with_a_sentence() -> None:
    strategy = create("surrogate", SPACE, ["error", Objective("cost", formula=lambda arch: math.nan)], start=2)
    for arch in strategy.ask(3):
        with pytest.raises(UsageError, match="cost = nan"):
            strategy.tell(arch, {"error": 1.0})
        strategy.tell(arch, {"error": 1.0, "cost": 1.0})
    with pytest.raises(UsageError, match="formula of 'cost'"):
        strategy.ask(1)


def test_it_finds_a_rare_feasible_region_and_says_nothing_is_on_the_front_before() -> None:
    space = Categorical([5] * 10)
    strategy = create("surrogate", space, ["error", "size"], 0, constraints={"size": 6})
    for _ in range(12):
        for arch in strategy.ask(5):
            strategy.tell(arch, {"error": -float(arch.genes[0]), "size": float(sum(arch.genes))})
    assert strategy.front()
    assert all(e.values["size"] <= 6 for e in strategy.front())


@pytest.mark.parametrize("kind", ["constant", "infinite", "tied"])
def test_objectives_that_tell_nothing_do_not_stop_it(kind: str) -> None:
    value = {"constant": lambda a: 1.0, "infinite": lambda a: math.inf, "tied": lambda a: float(sum(a.genes) % 2)}[kind]
    strategy = create("surrogate", Categorical([3] * 5), ["error", "size"], 0)
    for _ in range(40):
        for arch in strategy.ask(1):
            strategy.tell(arch, {"error": value(arch), "size": float(arch.genes[0])})
    assert len(strategy.evaluations()) == 40


def test_beyond_what_the_models_hold_it_goes_on_and_resumes_exactly() -> None:
    rng = np.random.default_rng(0)
    first, second = (create("surrogate", SPACE, ["error", "cost"], 1) for _ in range(2))
    for arch in list(dict.fromkeys(SPACE.random(rng) for _ in range(MOST_KNOWN + 60))):
        first.tell(arch, {"error": error_of(arch), "cost": cost_of(arch)})
    for arch in first.ask(2):
        first.tell(arch, {"error": error_of(arch), "cost": cost_of(arch)})
    second.load_state_dict(first.state_dict())
    assert second.ask(3) == first.ask(3)


def test_every_option_is_in_the_first_design_equally_often() -> None:
    rows = np.array(spread_design([2, 3, 4], 12, np.random.default_rng(0)))
    for column, way in zip(rows.T, [2, 3, 4], strict=True):
        assert np.bincount(column, minlength=way).tolist() == [12 // way] * way


def test_candidates_are_canonical_where_genes_can_be_skipped() -> None:
    space = SignalSpace(6, 128, 7, SpaceConfig())
    rng = np.random.default_rng(0)
    some = [space.random(rng) for _ in range(200)]
    genes = np.array([arch.genes for arch in some])
    assert (space.active_many(genes) == [space.active(arch.genes) for arch in some]).all()
    found = Pool(space).around(genes[:5], {some[0].genes}, 300, rng)
    assert len(found) > 100
    assert all(space.architecture(row).genes == tuple(row) for row in found.tolist())
    assert some[0].genes not in {tuple(row) for row in found.tolist()}


@pytest.mark.parametrize("late", [0.0, -1.0])
@pytest.mark.parametrize("first", range(8, 26, 3))
def test_a_cost_that_no_logarithm_takes_may_come_late(late: float, first: int) -> None:
    """What grows by factors is modelled by its logarithm, until the first cost that has none."""
    strategy = create("surrogate", Categorical([6] * 5), ["error", "cost"], seed=3)
    for number in range(40):
        (arch,) = strategy.ask(1)
        grown = math.exp(1.5 * sum(arch.genes) - 10)
        strategy.tell(arch, {"error": late if number == first else grown, "cost": float(sum(arch.genes[:2]))})
    assert len(strategy.evaluations()) == 40
