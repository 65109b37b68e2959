"""Pareto local search (Paquete, Chiarandini & Stützle 2004): the neighbours of the front, one choice away, in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evernas.errors import UsageError
from evernas.search.objectives import Objective
from evernas.search.pareto import ranks
from evernas.search.strategy import Strategy
from evernas.spaces.api import Architecture, SearchSpace


class LocalSearch(Strategy):
    """Proposes an unseen neighbour of a front member drawn at random; a front without any is left by a longer jump.

    While nothing told meets the constraints, the front is of those that miss them least.
    """

    name = "local"

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[str | Objective],
        seed: int = 0,
        *,
        initial: Sequence[Architecture] = (),
        constraints: Mapping[str, float] | None = None,
        start: int = 10,
    ) -> None:
        if start < 1:
            raise UsageError(f"The search starts from {start} random architectures: use 1 or more.")
        super().__init__(space, objectives, seed, initial=initial, constraints=constraints)
        self.start = start
        self._explored: set[Architecture] = set()

    def _propose(self) -> Architecture:
        if len(self._told) + len(self._pending) < self.start or not self._told:
            return self._new_random()
        front = self._best()
        open_members = [arch for arch in front if arch not in self._explored]
        while open_members:
            member = open_members.pop(int(self._rng.integers(len(open_members))))
            for neighbour in self._neighbours(member):
                if not self._seen(neighbour):
                    return neighbour
            self._explored.add(member)
        return self._jump(front)

    def _best(self) -> list[Architecture]:
        evaluations = self.evaluations()
        rank = ranks(self.goals.oriented(evaluations), self.goals.violations(evaluations))
        return [e.architecture for e, r in zip(evaluations, rank, strict=True) if r == 0 or r == rank.min()]

    def _neighbours(self, arch: Architecture) -> Iterator[Architecture]:
        """All one choice away, in random order. Choices that a change wakes take their first option."""
        active = self.space.active(arch.genes)
        moves = [
            (i, option)
            for i, choice in enumerate(self.space.choices)
            if active[i]
            for option in range(len(choice.options))
            if option != arch.genes[i]
        ]
        for at in self._rng.permutation(len(moves)):
            i, option = moves[at]
            yield self.space.architecture([*arch.genes[:i], option, *arch.genes[i + 1 :]])

    def _jump(self, front: list[Architecture]) -> Architecture:
        """Some mutations away from a front member, ever further, until it is new."""
        arch = front[int(self._rng.integers(len(front)))]
        for _ in range(2 + len(self.space.choices)):
            arch = self.space.mutate(arch, self._rng)
            if not self._seen(arch):
                return arch
        return self._new_random()

    def _options(self) -> dict[str, Any]:
        return {"start": self.start}

    def _own_state(self) -> dict[str, Any]:
        return {"explored": sorted(list(arch.genes) for arch in self._explored)}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._explored = {self.space.architecture(genes) for genes in state["explored"]}
