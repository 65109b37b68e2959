"""Ask/tell search over any discrete space, its front, hypervolume and cache; no training and no measuring here."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from evernas.errors import UsageError
from evernas.search.evaluations import EvaluationCache, RefusedFile
from evernas.search.feasibility import refuse_infeasible
from evernas.search.finalists import select_finalists
from evernas.search.hypervolume import hypervolume, hypervolume_curve
from evernas.search.local import LocalSearch
from evernas.search.nsga2 import Nsga2
from evernas.search.objectives import Evaluation, Goals, Objective
from evernas.search.pareto import nondominated
from evernas.search.random_search import RandomSearch
from evernas.search.reinforce import Reinforce
from evernas.search.strategy import Strategy, front_of
from evernas.search.surrogate import Surrogate
from evernas.spaces.api import SearchSpace

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (Surrogate, Nsga2, Reinforce, LocalSearch, RandomSearch)
}


def create(
    name: str, space: SearchSpace, objectives: Sequence[str | Objective], seed: int = 0, **options: Any
) -> Strategy:
    """A strategy by name. Options: initial, constraints, and what the strategy's class documents.

    UsageError for an unknown name or option, and for a constraint on a known cost that nothing in the space meets.
    """
    if name not in STRATEGIES:
        raise UsageError(f"There is no strategy {name!r}: use {' or '.join(STRATEGIES)}.")
    known = [key for key, p in inspect.signature(STRATEGIES[name]).parameters.items() if p.kind is p.KEYWORD_ONLY]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(f"The strategy {name!r} has no option {', '.join(unknown)}: use {', '.join(known)}.")
    strategy = STRATEGIES[name](space, objectives, seed, **options)
    refuse_infeasible(space, strategy.goals, seed)
    return strategy


__all__ = [
    "Evaluation",
    "EvaluationCache",
    "Goals",
    "Objective",
    "RefusedFile",
    "Strategy",
    "create",
    "front_of",
    "hypervolume",
    "hypervolume_curve",
    "nondominated",
    "select_finalists",
]
