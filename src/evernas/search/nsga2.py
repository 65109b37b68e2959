"""NSGA-II (Deb, Pratap, Agarwal & Meyarivan 2002), with constrained domination, for any size of batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evernas.errors import UsageError
from evernas.search.objectives import Objective
from evernas.search.pareto import crowding, ranks
from evernas.search.strategy import Strategy
from evernas.spaces.api import Architecture, SearchSpace

CROSSOVER = 0.9
_WALK = 50


class Nsga2(Strategy):
    """The best `population` of parents and children survive, by rank and then by crowding distance.

    Selection happens at the first proposal after something was told, so a batch of any size is a generation, and a
    batch of one makes it a steady-state algorithm. Children that were seen before are mutated until they are new.
    """

    name = "nsga2"

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[str | Objective],
        seed: int = 0,
        *,
        initial: Sequence[Architecture] = (),
        constraints: Mapping[str, float] | None = None,
        population: int = 20,
    ) -> None:
        if population < 2:
            raise UsageError(f"The population is {population}: use 2 or more.")
        super().__init__(space, objectives, seed, initial=initial, constraints=constraints)
        self.population = population
        self._parents: list[Architecture] = []
        self._fitness: list[tuple[int, float]] = []
        self._children: list[Architecture] = []

    def _propose(self) -> Architecture:
        if self._children:
            self._select()
        # The first generation is random, and is complete when as many were asked or told as the population holds.
        if len(self._told) + len(self._pending) < self.population or len(self._parents) < 2:
            return self._new_random()
        child = self._tournament()
        if self._rng.random() < CROSSOVER:
            child = self.space.crossover(child, self._tournament(), self._rng)
        else:
            child = self.space.mutate(child, self._rng)
        # Two similar parents often give a known child; from there, a walk of mutations leads to the nearest new one.
        if self._rng.random() < 0.5:
            child = self.space.mutate(child, self._rng)
        for _ in range(_WALK):
            if not self._seen(child):
                return child
            child = self.space.mutate(child, self._rng)
        return self._new_random()

    def _learn(self, arch: Architecture) -> None:
        self._children.append(arch)

    def _select(self) -> None:
        union = sorted([*self._parents, *self._children], key=lambda arch: self._told[arch][0])
        evaluations = [self._told[arch][1] for arch in union]
        points = self.goals.oriented(evaluations)
        rank = ranks(points, self.goals.violations(evaluations))
        distance = np.zeros(len(union))
        for level in np.unique(rank):
            distance[rank == level] = crowding(points[rank == level])
        best = np.lexsort((np.arange(len(union)), -distance, rank))[: self.population]
        self._parents = [union[i] for i in best]
        self._fitness = [(int(rank[i]), -float(distance[i])) for i in best]
        self._children = []

    def _tournament(self) -> Architecture:
        first, second = (int(i) for i in self._rng.integers(len(self._parents), size=2))
        return self._parents[first if self._fitness[first] <= self._fitness[second] else second]

    def _options(self) -> dict[str, Any]:
        return {"population": self.population}

    def _own_state(self) -> dict[str, Any]:
        return {
            "parents": [list(arch.genes) for arch in self._parents],
            "fitness": [[rank, repr(distance)] for rank, distance in self._fitness],
            "children": [list(arch.genes) for arch in self._children],
        }

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._parents = [self.space.architecture(genes) for genes in state["parents"]]
        self._fitness = [(rank, float(distance)) for rank, distance in state["fitness"]]
        self._children = [self.space.architecture(genes) for genes in state["children"]]
