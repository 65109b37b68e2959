"""The default strategy: a Gaussian process an objective, and the candidate expected to add most hypervolume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.errors import UsageError
from evernas.search.design import spread_design
from evernas.search.improvement import NODES, expected_improvement, expected_violation
from evernas.search.kernel import Encoding, Kernel, Points
from evernas.search.objectives import Objective
from evernas.search.pareto import nondominated, ranks
from evernas.search.pool import Pool
from evernas.search.process import Parameters, Process, fit
from evernas.search.strategy import Strategy
from evernas.search.warp import Warp
from evernas.spaces.api import Architecture, SearchSpace

Floats = NDArray[np.float64]
Genes = NDArray[np.int64]
START = 10
CANDIDATES = 600
SHORTLIST = 150
CENTRES = 6
NEIGHBOURS = 250
ROUNDS = 2
GROWTH = 1.05
"""The models' parameters are fitted again when this many times as many evaluations are known."""
FIRST_FIT, LATER_FIT = 60, 12
MOST_FITTED = 256
MOST_KNOWN = 600
"""Evaluations that a model is given: of more, those near the front and the latest."""
MARGIN = 0.1
"""How far beyond the worst value seen the reference point lies, in units of the range seen."""
_CACHED = 100_000


@dataclass(frozen=True)
class _Known:
    """What was told: the number that each has in the order of asking, genes (n, choices), and costs (n, objectives)."""

    numbers: list[int]
    genes: Genes
    costs: Floats


@dataclass(frozen=True)
class _Model:
    """One objective: what is known and pending as a process, and the warp and scores of what is known."""

    process: Process
    warp: Warp
    z: Floats

    def mean(self, at: Points) -> Floats:
        """The value at the mean score, (n,)."""
        return self.warp.backward(self.process.mean_at(self.z, self.process.cross(at)))


class Surrogate(Strategy):
    """Gaussian processes with a Hamming kernel on normal scores, and exact expected hypervolume improvement.

    The first `start` architectures hold every option equally often. Then each proposal is the best of candidates near
    the front and of the neighbours of the best of them. What is pending counts as told at its mean. Objectives with a
    formula are not modelled. Constraints cut the box in which volume counts; while nothing told meets them, the
    smallest expected violation is proposed.
    """

    name = "surrogate"

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[str | Objective],
        seed: int = 0,
        *,
        initial: Sequence[Architecture] = (),
        constraints: Mapping[str, float] | None = None,
        start: int = START,
    ) -> None:
        if start < 2:
            raise UsageError(f"The search starts from {start} architectures: use 2 or more.")
        super().__init__(space, objectives, seed, initial=initial, constraints=constraints)
        self.start = start
        self._encoding = Encoding(space)
        self._kernel = Kernel(self._encoding)
        self._pool = Pool(space)
        self._design = spread_design([len(choice.options) for choice in space.choices], start, self._rng)
        self._modelled = [j for j, objective in enumerate(self.goals.objectives) if objective.formula is None]
        self._parameters: dict[int, Parameters] = {}
        # Numbers of the evaluations that the models know, in the order they were taken in: the first `fitted` of them
        # when the parameters were last fitted, when those of `left` were told and left out.
        self._order: list[int] = []
        self._fitted = 0
        self._left: list[int] = []
        self._processes: dict[int, Process] = {}
        self._formulas: dict[tuple[int, ...], list[float]] = {}

    def _propose(self) -> Architecture:
        if len(self._told) < 2 or len(self._told) + len(self._pending) < self.start:
            return self._from_design()
        known = self._known()
        models = self._models(known)
        pending = np.array([arch.genes for arch in self._pending], dtype=np.int64).reshape(-1, known.genes.shape[1])
        models, believed = self._with_pending(models, pending)
        genes, costs = np.concatenate([known.genes, pending]), np.concatenate([known.costs, believed])
        best = self._best_candidate(models, genes, costs)
        return self._new_random() if best is None else self.space.architecture(best.tolist())

    def _from_design(self) -> Architecture:
        while self._design:
            arch = self.space.architecture(self._design.pop(0))
            if not self._seen(arch):
                return arch
        return self._new_random()

    def _known(self) -> _Known:
        """Everything told; what is infinite is a little worse than the worst."""
        told = sorted(self._told.values(), key=lambda item: item[0])
        costs = self.goals.oriented([evaluation for _, evaluation in told])
        for column in costs.T:
            finite = np.isfinite(column)
            worst = column[finite].max() + MARGIN * np.ptp(column[finite]) if finite.any() else 0.0
            column[~finite] = worst
        genes = np.array([evaluation.architecture.genes for _, evaluation in told], dtype=np.int64)
        return _Known([number for number, _ in told], genes, costs)

    def _models(self, known: _Known) -> dict[int, _Model]:
        """The objectives' models, without what is pending."""
        if len(known.numbers) >= (self._fitted + len(self._left)) * GROWTH:
            self._refit(known)
        taken = {*self._order, *self._left}
        self._order += [number for number in known.numbers if number not in taken]
        at = {number: i for i, number in enumerate(known.numbers)}
        rows = [at[number] for number in self._order]
        points = self._encoding.points(known.genes[rows])
        models = {}
        for j in self._modelled:
            process = self._processes.get(j) or Process(
                self._kernel, self._parameters[j], points.rows(slice(self._fitted))
            )
            if len(process) < len(rows):
                process = process.extended(points.rows(slice(len(process), None)))
            self._processes[j] = process
            warp = Warp.of(known.costs[rows, j])
            models[j] = _Model(process, warp, warp.forward(known.costs[rows, j]))
        return models

    def _refit(self, known: _Known) -> None:
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
        points = self._encoding.points(known.genes[some])
        for j in self._modelled:
            z = Warp.of(known.costs[kept, j]).forward(known.costs[some, j])
            before = self._parameters.get(j)
            start, steps = (before, LATER_FIT) if before else (Parameters.middle(len(self.space.choices)), FIRST_FIT)
            self._parameters[j] = fit(self._kernel, points, z, start, steps)

    def _with_pending(self, models: dict[int, _Model], pending: Genes) -> tuple[dict[int, _Model], Floats]:
        """The models that have taken in what is pending, and its costs: means and formulas."""
        costs = np.zeros((len(pending), len(self.goals.objectives)))
        if len(pending) == 0:
            return models, costs
        points, grown = self._encoding.points(pending), {}
        for j, model in models.items():
            costs[:, j] = model.mean(points)
            grown[j] = _Model(model.process.extended(points), model.warp, model.z)
        for j, column in self._by_formula(pending).items():
            costs[:, j] = column
        return grown, costs

    def _best_candidate(self, models: dict[int, _Model], genes: Genes, costs: Floats) -> Genes | None:
        """Of candidates around the front and the neighbours of the best of them; None if there is none left."""
        low, high = costs.min(axis=0), costs.max(axis=0)
        span = np.where(high > low, high - low, 1.0)
        limits = self.goals.limits()
        reference = np.minimum(high + MARGIN * span, limits)
        feasible = (costs <= limits).all(axis=1)
        front = costs[feasible]
        near = np.flatnonzero(feasible)[nondominated(front)] if feasible.any() else self._least_violating(costs, limits)

        def score(values: list[Floats]) -> Floats:
            if not feasible.any():
                return -expected_violation(values, limits, span)
            unit = [column / width for column, width in zip(values, span, strict=True)]
            return expected_improvement(unit, front / span, reference / span)

        def scored(candidates: Genes) -> Floats:
            return self._scores(models, candidates, score)

        seen = {tuple(row) for row in genes.tolist()} | {arch.genes for arch in self._told}
        candidates = self._pool.around(genes[near], seen, CANDIDATES, self._rng)
        if len(candidates) == 0:
            return None
        scores = scored(candidates)
        for _ in range(ROUNDS):
            centres = candidates[np.argsort(-scores, kind="stable")[:CENTRES]]
            known = seen | {tuple(row) for row in candidates.tolist()}
            more = self._pool.neighbours(centres, known, NEIGHBOURS, self._rng)
            if len(more) == 0:
                break
            candidates, scores = np.concatenate([candidates, more]), np.concatenate([scores, scored(more)])
        best = float(scores.max())
        # Where no improvement is expected at all, any candidate is as good as the next.
        at = int(np.argmax(scores)) if best != 0 else int(self._rng.integers(len(candidates)))
        return np.asarray(candidates[at])

    def _least_violating(self, costs: Floats, limits: Floats) -> Genes:
        span = np.where(np.isfinite(limits), np.maximum(np.abs(limits), 1e-12), 1.0)
        total = (np.maximum(costs - limits, 0.0) / span).sum(axis=1)
        return np.argsort(total, kind="stable")[:CENTRES]

    def _scores(self, models: dict[int, _Model], candidates: Genes, score: Callable[[list[Floats]], Floats]) -> Floats:
        """Scores of what the objectives may be, (n, nodes) each, or (n, 1) by formula.

        Of many candidates only a shortlist is scored, by deviations that are cheap and never too small; for the rest
        the score is minus infinity.
        """
        points, known = self._encoding.points(candidates), self._by_formula(candidates)
        crosses = {j: model.process.cross(points) for j, model in models.items()}
        means = {j: model.process.mean_at(model.z, crosses[j]) for j, model in models.items()}

        def values(rows: NDArray[np.int64], exact: bool) -> list[Floats]:
            found = []
            for j in range(len(self.goals.objectives)):
                if j in known:
                    found.append(known[j][rows, None])
                    continue
                process = models[j].process
                spread = process.deviation_at if exact else process.bound_at
                deviation = spread(points.rows(rows), crosses[j][rows])
                found.append(models[j].warp.backward(means[j][rows, None] + deviation[:, None] * NODES))
            return found

        rows = np.arange(len(candidates))
        if len(rows) > SHORTLIST and models:
            rows = np.sort(np.argsort(-score(values(rows, exact=False)), kind="stable")[:SHORTLIST])
        scores = np.full(len(candidates), -np.inf)
        scores[rows] = score(values(rows, exact=True))
        return scores

    def _by_formula(self, genes: Genes) -> dict[int, Floats]:
        """Costs by formula, (n,) for each objective that has one; infinite costs are a little worse than the worst."""
        told = [(j, o) for j, o in enumerate(self.goals.objectives) if o.formula is not None]
        if not told:
            return {}
        rows = genes.tolist()
        for row in rows:
            key = tuple(row)
            if key not in self._formulas:
                if len(self._formulas) >= _CACHED:
                    self._formulas.clear()
                self._formulas[key] = self.goals.costs_by_formula(self.space.architecture(row))
        table = np.array([self._formulas[tuple(row)] for row in rows]).reshape(len(rows), len(told))
        return {j: table[:, k] for k, (j, _) in enumerate(told)}

    def _options(self) -> dict[str, Any]:
        return {"start": self.start}

    def _own_state(self) -> dict[str, Any]:
        return {
            "design": [list(genes) for genes in self._design],
            "order": list(self._order),
            "fitted": self._fitted,
            "left": list(self._left),
            "parameters": [[j, [repr(float(v)) for v in p.flat()]] for j, p in self._parameters.items()],
        }

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._design = [tuple(genes) for genes in state["design"]]
        self._order, self._fitted, self._left = list(state["order"]), state["fitted"], list(state["left"])
        self._parameters = {j: Parameters.of(np.array([float(v) for v in flat])) for j, flat in state["parameters"]}
        self._processes = {}
