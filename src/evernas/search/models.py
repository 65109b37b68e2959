"""What the surrogate believes of each objective: a process and a warp, kept up with what is told; proposes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.search.kernel import Kernel
from evernas.search.pareto import ranks
from evernas.search.process import Parameters, Process, fit
from evernas.search.warp import WARPS, Scores, Warp
from evernas.spaces.api import SearchSpace

Floats = NDArray[np.float64]
Genes = NDArray[np.int64]
GROWTH = 1.05
"""Parameters are fitted again when this many times as many evaluations are known."""
CHOICE_GROWTH = 1.3
"""The same for the choice of the warps."""
FIRST_FIT, LATER_FIT = 60, 12
MOST_FITTED = 256
MOST_KNOWN = 600
"""Evaluations that a model is given: of more, those near the front and the latest."""


@dataclass(frozen=True)
class Known:
    """What was told: the number that each has in the order of asking, genes (n, choices), and costs (n, objectives)."""

    numbers: list[int]
    genes: Genes
    costs: Floats


@dataclass(frozen=True)
class Model:
    """One objective: what is known and pending as a process, the warp and targets of what is known, and how many times
    larger than it foretells the process's errors are."""

    process: Process
    warp: Warp
    z: Floats
    doubt: float

    def mean(self, at: Floats) -> Floats:
        """The value at the mean score, (n,)."""
        return self.warp.backward(self.process.mean_at(self.z, self.process.cross(at)))

    def with_pending(self, points: Floats) -> Model:
        """The same where those points are pending."""
        return Model(self.process.extended(points), self.warp, self.z, self.doubt)


class Models:
    """The models of some objectives, by column. Two that were updated alike believe the same to the last digit."""

    def __init__(self, space: SearchSpace, columns: Sequence[int]) -> None:
        self.kernel = Kernel(space)
        self._choices = len(space.choices)
        self._columns = tuple(columns)
        self._parameters: dict[int, Parameters] = {}
        # Numbers of the evaluations that the models know, in the order they were taken in: the first `fitted` of them
        # when the parameters were last fitted, when those of `left` were told and left out.
        self._order: list[int] = []
        self._fitted = 0
        self._left: list[int] = []
        self._processes: dict[int, Process] = {}
        # The warp of each objective, and how many evaluations were known when it was chosen.
        self._warps: dict[int, str] = {}
        self._chosen = 0

    def update(self, known: Known) -> dict[int, Model]:
        """The objectives' models, without what is pending."""
        if len(known.numbers) >= (self._fitted + len(self._left)) * GROWTH:
            self._refit(known)
        taken = {*self._order, *self._left}
        self._order += [number for number in known.numbers if number not in taken]
        at = {number: i for i, number in enumerate(known.numbers)}
        rows = [at[number] for number in self._order]
        points = self.kernel.points(known.genes[rows])
        models = {}
        for j in self._columns:
            process = self._processes.get(j) or Process(self.kernel, self._parameters[j], points[: self._fitted])
            if len(process) < len(rows):
                process = process.extended(points[len(process) :])
            self._processes[j] = process
            warp = _warp(self._warps[j], known.costs[rows, j])
            z = warp.forward(known.costs[rows, j])
            models[j] = Model(process, warp, z, process.doubt(z))
        return models

    def _refit(self, known: Known) -> None:
        kept = np.arange(len(known.numbers))
        if len(kept) > MOST_KNOWN:
            # The front and what is just behind it, and beside these the latest.
            rank = ranks(known.costs, np.zeros(len(known.costs)))
            kept = np.sort(np.lexsort((-kept, np.minimum(rank, 3)))[:MOST_KNOWN])
        self._order = [known.numbers[i] for i in kept]
        self._left = sorted(set(known.numbers) - set(self._order))
        self._fitted = len(self._order)
        self._processes = {}
        some = kept[np.unique(np.linspace(0, len(kept) - 1, MOST_FITTED).round().astype(int))]
        points = self.kernel.points(known.genes[some])
        choose = self._fitted + len(self._left) >= self._chosen * CHOICE_GROWTH
        if choose:
            self._chosen = self._fitted + len(self._left)
        for j in self._columns:
            costs = known.costs[some, j]
            # Costs may have come that the chosen warp does not take, such as a first zero for a logarithm.
            anew = choose or WARPS[self._warps[j]].of(costs) is None
            fits = {
                name: self._fit(j, name, points, warp.forward(costs))
                for name in (WARPS if anew else [self._warps[j]])
                if (warp := WARPS[name].of(costs)) is not None
            }
            self._warps[j] = self._most_telling(fits, points, costs) if anew else self._warps[j]
            self._parameters[j] = fits[self._warps[j]]

    def _fit(self, j: int, name: str, points: Floats, z: Floats) -> Parameters:
        """From the last parameters, if they were of this very warp."""
        if self._warps.get(j) == name:
            return fit(self.kernel, points, z, self._parameters[j], LATER_FIT)
        return fit(self.kernel, points, z, Parameters.middle(self._choices), FIRST_FIT)

    def _most_telling(self, fits: dict[str, Parameters], points: Floats, costs: Floats) -> str:
        """The warp whose model, of all the others, foretells each cost best, by the mean error in normal scores."""
        scores = Scores.of(costs)
        errors = {}
        for name, parameters in fits.items():
            warp = _warp(name, costs)
            found = warp.backward(Process(self.kernel, parameters, points).left_out(warp.forward(costs)))
            errors[name] = float(np.abs(scores.forward(found) - scores.forward(costs)).mean())
        return min(errors, key=lambda name: errors[name])

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on alike; fit for canonical JSON."""
        return {
            "order": list(self._order),
            "fitted": self._fitted,
            "left": list(self._left),
            "warps": [[j, name] for j, name in self._warps.items()],
            "chosen": self._chosen,
            "parameters": [[j, [repr(float(v)) for v in p.flat()]] for j, p in self._parameters.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._order, self._fitted, self._left = list(state["order"]), state["fitted"], list(state["left"])
        self._warps, self._chosen = dict(state["warps"]), state["chosen"]
        self._parameters = {j: Parameters.of(np.array([float(v) for v in flat])) for j, flat in state["parameters"]}
        self._processes = {}


def _warp(name: str, values: Floats) -> Warp:
    """By name; normal scores where that one no longer applies."""
    return WARPS[name].of(values) or Scores.of(values)
