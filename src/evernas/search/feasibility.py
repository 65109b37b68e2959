"""Whether a constraint on a known cost can be met at all, found out before anything is evaluated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evernas.errors import UsageError
from evernas.search.objectives import Goals
from evernas.spaces.api import Architecture, SearchSpace

STARTS = 8


def refuse_infeasible(space: SearchSpace, goals: Goals, seed: int) -> None:
    """UsageError for a constraint on an objective with a formula that no architecture found meets.

    For a cost to which every choice adds its own share, what is found is the very least of the space.
    """
    limits = goals.limits()
    for j, objective in enumerate(goals.objectives):
        if objective.formula is None or not np.isfinite(limits[j]):
            continue
        sign = 1.0 if objective.direction == "min" else -1.0
        found = least(space, _oriented(objective.formula, sign), float(limits[j]), seed)
        if found > limits[j]:
            unit = f" {objective.unit}" if objective.unit else ""
            end, extreme, mend = ("most", "least", "allow more") if sign > 0 else ("least", "largest", "ask for less")
            raise UsageError(
                f"The constraint is that {objective.name!r} is at {end} {sign * limits[j]:g}{unit}, and the {extreme} "
                f"of the space {space.name!r} found is {sign * found:.4g}{unit}: {mend}, or change its choices."
            )


def _oriented(formula: Callable[[Architecture], float], sign: float) -> Callable[[Architecture], float]:
    return lambda arch: sign * float(formula(arch))


def least(
    space: SearchSpace, cost: Callable[[Architecture], float], enough: float, seed: int, starts: int = STARTS
) -> float:
    """The smallest cost found by changing one choice at a time from random architectures, or one that is enough."""
    rng = np.random.default_rng(seed)
    best = np.inf
    for _ in range(starts):
        arch = space.random(rng)
        here, before = cost(arch), np.inf
        while here < before:
            before = here
            for i in rng.permutation(len(space.choices)):
                for option in range(len(space.choices[i].options)):
                    other = space.architecture([*arch.genes[:i], option, *arch.genes[i + 1 :]])
                    value = cost(other)
                    if value < here:
                        arch, here = other, value
                if here <= enough:
                    return here
        best = min(best, here)
    return float(best)
