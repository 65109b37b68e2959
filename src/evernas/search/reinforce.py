"""REINFORCE (Williams 1992) over the choices: the field's first method (Zoph & Le 2017), for several objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.errors import UsageError
from evernas.search.objectives import Objective
from evernas.search.strategy import Strategy
from evernas.spaces.api import Architecture, SearchSpace

Floats = NDArray[np.float64]
RATE = 0.6
ENTROPY = 0.02
START = 20
_DRAWS = 20
_LEAST_WEIGHT = 0.05


class Reinforce(Strategy):
    """A softmax a choice, trained by policy gradient; with several objectives, a controller for each weighting.

    A controller minimises the weighted augmented Chebyshev distance to the ideal (as Knowles 2006 scalarises), over
    ranks among all that was told, so that no scale is needed. Proposals go round the controllers, and each learns from
    its own; what was not proposed by one, the `start` random architectures too, teaches all.
    """

    name = "reinforce"

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[str | Objective],
        seed: int = 0,
        *,
        initial: Sequence[Architecture] = (),
        constraints: Mapping[str, float] | None = None,
        rate: float = RATE,
        entropy: float = ENTROPY,
        start: int = START,
    ) -> None:
        if not (rate > 0 and entropy >= 0 and math.isfinite(rate + entropy)):
            raise UsageError(f"The rate is {rate} and the entropy bonus {entropy}: use more than 0, and 0 or more.")
        if start < 1:
            raise UsageError(f"The search starts from {start} random architectures: use 1 or more.")
        super().__init__(space, objectives, seed, initial=initial, constraints=constraints)
        self.rate, self.entropy, self.start = rate, entropy, start
        self._ways = [len(choice.options) for choice in space.choices]
        self._weights = _weightings(len(self.goals.objectives))
        self._logits = [[np.zeros(way) for way in self._ways] for _ in self._weights]
        self._asked_by: dict[Architecture, int] = {}
        self._heard: list[Architecture] = []
        self._turn = 0

    def _propose(self) -> Architecture:
        if self._heard:
            self._train()
        if len(self._told) + len(self._pending) < self.start:
            return self._new_random()
        which = self._turn % len(self._weights)
        self._turn += 1
        for _ in range(_DRAWS):
            arch = self.space.architecture(self._sample(which))
            if not self._seen(arch):
                self._asked_by[arch] = which
                return arch
        # A policy that is certain repeats itself; the nearest that is new is a mutation of it.
        for _ in range(_DRAWS):
            arch = self.space.mutate(arch, self._rng)
            if not self._seen(arch):
                self._asked_by[arch] = which
                return arch
        return self._new_random()

    def _sample(self, which: int) -> list[int]:
        return [int(self._rng.choice(len(row), p=_softmax(row))) for row in self._logits[which]]

    def _learn(self, arch: Architecture) -> None:
        self._heard.append(arch)

    def _train(self) -> None:
        """A step of the policy gradient for each that was heard of, in the order of asking."""
        places = self._places()
        for arch in sorted(self._heard, key=lambda heard: self._told[heard][0]):
            which = self._asked_by.pop(arch, None)
            for one in range(len(self._weights)) if which is None else [which]:
                self._step(one, arch, float(places[one][arch]))
        self._heard = []

    def _step(self, which: int, arch: Architecture, advantage: float) -> None:
        logits = self._logits[which]
        for i, on in enumerate(self.space.active(arch.genes)):
            if on:
                chance = _softmax(logits[i])
                slope = -chance * advantage
                slope[arch.genes[i]] += advantage
                surprise = -np.log(np.maximum(chance, 1e-12))
                slope += self.entropy * chance * (surprise - (chance * surprise).sum())
                logits[i] = logits[i] + self.rate * slope

    def _places(self) -> list[dict[Architecture, float]]:
        """For each controller, the place of every told architecture's reward among all, from -1 to 1."""
        evaluations = self.evaluations()
        costs = np.array([_mid_ranks(column) for column in self.goals.oriented(evaluations).T]).T
        violations = self.goals.violations(evaluations)
        found = []
        for weights in self._weights:
            distance = (costs * weights).max(axis=1) + _LEAST_WEIGHT * (costs * weights).sum(axis=1)
            # What misses a constraint is behind all that meet them, and the further the worse.
            distance = np.where(violations > 0, 2.0 + violations, distance)
            places = 1.0 - 2.0 * _mid_ranks(distance)
            found.append({e.architecture: float(place) for e, place in zip(evaluations, places, strict=True)})
        return found

    def _options(self) -> dict[str, Any]:
        return {"rate": repr(self.rate), "entropy": repr(self.entropy), "start": self.start}

    def _own_state(self) -> dict[str, Any]:
        return {
            "logits": [[[repr(float(v)) for v in row] for row in rows] for rows in self._logits],
            "asked_by": [[list(arch.genes), which] for arch, which in self._asked_by.items()],
            "heard": [list(arch.genes) for arch in self._heard],
            "turn": self._turn,
        }

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._logits = [[np.array([float(v) for v in row]) for row in rows] for rows in state["logits"]]
        self._asked_by = {self.space.architecture(genes): which for genes, which in state["asked_by"]}
        self._heard = [self.space.architecture(genes) for genes in state["heard"]]
        self._turn = state["turn"]


def _mid_ranks(values: Floats) -> Floats:
    """Place of each value among all, from 0 to 1; equal ones share theirs."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(((np.cumsum(counts) - counts / 2) / len(values))[at])


def _weightings(objectives: int) -> Floats:
    """Every weighting in steps of a quarter for two objectives, a third for three, a half for four; none is 0."""
    steps = {1: 1, 2: 4, 3: 3, 4: 2}.get(objectives, 1)
    grid = [w for w in np.ndindex(*[steps + 1] * objectives) if sum(w) == steps]
    weights = np.array(grid, dtype=np.float64) / steps
    return np.maximum(weights, _LEAST_WEIGHT)


def _softmax(row: Floats) -> Floats:
    found = np.exp(row - row.max())
    return np.asarray(found / found.sum())
