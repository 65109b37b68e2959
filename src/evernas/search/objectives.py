"""What a search optimises: objectives, their constraints, and the checks on told values; no strategy lives here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evernas.errors import UsageError
from evernas.spaces.api import Architecture


@dataclass(frozen=True)
class Objective:
    """A figure to make small or large. With a `formula` it need not be told: it is computed from the architecture."""

    name: str
    direction: Literal["min", "max"] = "min"
    unit: str = ""
    formula: Callable[[Architecture], float] | None = None

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise UsageError(f"The direction of {self.name!r} is {self.direction!r}: use min or max.")


@dataclass(frozen=True)
class Evaluation:
    """An architecture and its value for each objective, as told."""

    architecture: Architecture
    values: Mapping[str, float]


@dataclass(frozen=True)
class Goals:
    """All objectives of a search and the worst allowed value of some: the largest for min, the smallest for max."""

    objectives: tuple[Objective, ...]
    constraints: tuple[tuple[str, float], ...]

    @staticmethod
    def of(objectives: Sequence[str | Objective], constraints: Mapping[str, float]) -> Goals:
        """Check names and limits; UsageError says what is wrong."""
        made = tuple(Objective(item) if isinstance(item, str) else item for item in objectives)
        names = [objective.name for objective in made]
        if not made or len(set(names)) != len(names):
            raise UsageError(f"The objectives are {names}: give at least one, each once.")
        for name, limit in constraints.items():
            if name not in names:
                raise UsageError(
                    f"The constraint is on {name!r}, which is no objective: use one of {', '.join(names)}."
                )
            if not math.isfinite(limit):
                raise UsageError(f"The constraint on {name!r} is {limit}: give a finite limit.")
        return Goals(made, tuple((name, float(constraints[name])) for name in names if name in constraints))

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives' names, in order."""
        return tuple(objective.name for objective in self.objectives)

    def checked(self, arch: Architecture, values: Mapping[str, float]) -> dict[str, float]:
        """The values of all objectives, formulas filled in; UsageError for one missing, unknown or no number."""
        unknown = sorted(set(values) - set(self.names))
        if unknown:
            raise UsageError(
                f"{arch.id} is told {', '.join(unknown)}, which is no objective: use {', '.join(self.names)}."
            )
        result = {}
        for objective in self.objectives:
            if objective.name in values:
                value = values[objective.name]
            elif objective.formula is not None:
                value = objective.formula(arch)
            else:
                raise UsageError(f"{arch.id} is told without {objective.name!r}: give a value for every objective.")
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if math.isnan(number):
                raise UsageError(
                    f"{arch.id} is told {objective.name} = {value!r}, which is no number: "
                    "give a number, or infinity for an architecture that failed."
                )
            result[objective.name] = number
        return result

    def oriented(self, evaluations: Sequence[Evaluation]) -> NDArray[np.float64]:
        """One row per evaluation, every column to be made small; whatever is infinite is worst."""
        rows = np.array([[e.values[name] for name in self.names] for e in evaluations], dtype=np.float64)
        rows = rows.reshape(len(evaluations), len(self.names))
        rows = rows * np.array([1.0 if objective.direction == "min" else -1.0 for objective in self.objectives])
        return np.where(np.isinf(rows), np.inf, rows)

    def limits(self) -> NDArray[np.float64]:
        """The largest cost that each objective's constraint allows, oriented; infinite where there is none."""
        limits = dict(self.constraints)
        return np.array(
            [
                (1.0 if o.direction == "min" else -1.0) * limits[o.name] if o.name in limits else np.inf
                for o in self.objectives
            ]
        )

    def costs_by_formula(self, arch: Architecture) -> list[float]:
        """The oriented values of the objectives that have a formula; UsageError if one is no number."""
        found = []
        for objective in self.objectives:
            if objective.formula is not None:
                value = float(objective.formula(arch))
                if math.isnan(value):
                    raise UsageError(
                        f"The formula of {objective.name!r} gives {value!r} for {arch.id}: mend the formula."
                    )
                found.append(value if objective.direction == "min" else -value)
        return found

    def violations(self, evaluations: Sequence[Evaluation]) -> NDArray[np.float64]:
        """How far each evaluation is beyond its constraints, summed in units of the limits; 0 where all are met."""
        total = np.zeros(len(evaluations))
        rows = self.oriented(evaluations)
        for name, limit in self.constraints:
            column = self.names.index(name)
            sign = 1.0 if self.objectives[column].direction == "min" else -1.0
            total += np.maximum(rows[:, column] - sign * limit, 0) / (abs(limit) or 1.0)
        return total
