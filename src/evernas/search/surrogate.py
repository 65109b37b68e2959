"""The default strategy: a Gaussian process an objective, and the candidate expected to add most hypervolume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from evernas.errors import UsageError
from evernas.search.design import spread_design
from evernas.search.improvement import NODES, expected_improvement, expected_violation, free_boxes
from evernas.search.models import Known, Model, Models
from evernas.search.objectives import Objective
from evernas.search.pareto import nondominated
from evernas.search.pool import Pool
from evernas.search.strategy import Strategy
from evernas.spaces.api import Architecture, SearchSpace

Floats = NDArray[np.float64]
Genes = NDArray[np.int64]
START = 10
CANDIDATES = 400
SHORTLIST = 120
CENTRES = 6
NEIGHBOURS = 150
ROUNDS = 2
MARGIN = 0.1
"""How far beyond the worst value seen the reference point lies, in units of the range seen."""
_CACHED = 100_000


class Surrogate(Strategy):
    """Gaussian processes with a Hamming kernel, and expected hypervolume improvement in the objectives' own units.

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
        self._pool = Pool(space)
        self._design = spread_design([len(choice.options) for choice in space.choices], start, self._rng)
        self._models = Models(space, [j for j, o in enumerate(self.goals.objectives) if o.formula is None])
        self._linear_algebra = ThreadpoolController()
        self._formulas: dict[tuple[int, ...], list[float]] = {}

    def _propose(self) -> Architecture:
        if len(self._told) < 2 or len(self._told) + len(self._pending) < self.start:
            return self._from_design()
        # Matrices of a few hundred rows: on a busy machine a second thread of the linear algebra costs twentyfold.
        with self._linear_algebra.limit(limits=1, user_api="blas"):
            return self._by_model()

    def _by_model(self) -> Architecture:
        known = self._known()
        models = self._models.update(known)
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

    def _known(self) -> Known:
        """Everything told; what is infinite is a little worse than the worst."""
        told = sorted(self._told.values(), key=lambda item: item[0])
        costs = self.goals.oriented([evaluation for _, evaluation in told])
        for column in costs.T:
            finite = np.isfinite(column)
            worst = column[finite].max() + MARGIN * np.ptp(column[finite]) if finite.any() else 0.0
            column[~finite] = worst
        genes = np.array([evaluation.architecture.genes for _, evaluation in told], dtype=np.int64)
        return Known([number for number, _ in told], genes, costs)

    def _with_pending(self, models: dict[int, Model], pending: Genes) -> tuple[dict[int, Model], Floats]:
        """The models that have taken in what is pending, and its costs: means and formulas."""
        costs = np.zeros((len(pending), len(self.goals.objectives)))
        if len(pending) == 0:
            return models, costs
        points, grown = self._models.kernel.points(pending), {}
        for j, model in models.items():
            costs[:, j] = model.mean(points)
            grown[j] = model.with_pending(points)
        for j, column in self._by_formula(pending).items():
            costs[:, j] = column
        return grown, costs

    def _best_candidate(self, models: dict[int, Model], genes: Genes, costs: Floats) -> Genes | None:
        """Of candidates around the front and the neighbours of the best of them; None if there is none left."""
        low, high = costs.min(axis=0), costs.max(axis=0)
        span = np.where(high > low, high - low, 1.0)
        limits = self.goals.limits()
        reference = np.minimum(high + MARGIN * span, limits)
        feasible = (costs <= limits).all(axis=1)
        front = costs[feasible]
        near = np.flatnonzero(feasible)[nondominated(front)] if feasible.any() else self._least_violating(costs, limits)
        boxes = free_boxes(front / span, reference / span)

        def score(values: list[Floats]) -> Floats:
            if not feasible.any():
                return -expected_violation(values, limits, span)
            unit = [column / width for column, width in zip(values, span, strict=True)]
            return expected_improvement(unit, boxes)

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

    def _scores(self, models: dict[int, Model], candidates: Genes, score: Callable[[list[Floats]], Floats]) -> Floats:
        """Scores of what the objectives may be, (n, nodes) each, or (n, 1) by formula.

        Of many candidates only a shortlist is scored, by deviations that are cheap and never too small; for the rest
        the score is minus infinity.
        """
        points, known = self._models.kernel.points(candidates), self._by_formula(candidates)
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
                deviation = models[j].doubt * spread(crosses[j][rows])
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
            "models": self._models.state_dict(),
        }

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._design = [tuple(genes) for genes in state["design"]]
        self._models.load_state_dict(state["models"])
