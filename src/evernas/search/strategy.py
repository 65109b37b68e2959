"""What every strategy shares: ask, tell, the front, and a state that resumes exactly; how to choose is elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from evernas.errors import UsageError
from evernas.search.objectives import Evaluation, Goals, Objective
from evernas.search.pareto import nondominated
from evernas.spaces.api import Architecture, SearchSpace

STATE_VERSION = 1
_DRAWS = 100


def front_of(evaluations: Sequence[Evaluation], goals: Goals) -> list[Evaluation]:
    """The evaluations that meet the constraints and that no other such evaluation dominates; may be empty."""
    feasible = [e for e, v in zip(evaluations, goals.violations(evaluations), strict=True) if v <= 0]
    mask = nondominated(goals.oriented(feasible))
    return [evaluation for evaluation, on in zip(feasible, mask, strict=True) if on]


class Strategy(ABC):
    """Asks for architectures and is told their values, in any batch size and in any order.

    What is asked depends on the seed and on what was told before, never on the order of answers to earlier asks.
    """

    name: str

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[str | Objective],
        seed: int = 0,
        *,
        initial: Sequence[Architecture] = (),
        constraints: Mapping[str, float] | None = None,
    ) -> None:
        self.space = space
        self.goals = Goals.of(objectives, constraints or {})
        self.seed = seed
        self._rng = np.random.default_rng(seed)
        self._size = space.size()
        self._next = 0
        self._pending: dict[Architecture, int] = {}
        self._told: dict[Architecture, tuple[int, Evaluation]] = {}
        for arch in initial:
            space.check(arch)
        self._initial = list(dict.fromkeys(initial))

    def ask(self, n: int = 1) -> list[Architecture]:
        """Up to n architectures, none of which was asked or told before; fewer only if the space has no more."""
        if n < 0:
            raise UsageError(f"{n} architectures are asked for: ask for 0 or more.")
        asked: list[Architecture] = []
        while len(asked) < n and len(self._pending) + len(self._told) < self._size:
            arch = self._next_initial() or self._propose()
            self._pending[arch] = self._next
            self._next += 1
            asked.append(arch)
        return asked

    def tell(self, arch: Architecture, values: Mapping[str, float]) -> None:
        """Take the values of an architecture, asked or not. UsageError for a missing, unknown or NaN value.

        Telling the same again changes nothing; telling other values is refused.
        """
        self.space.check(arch)
        evaluation = Evaluation(arch, self.goals.checked(arch, values))
        if arch in self._told:
            before = dict(self._told[arch][1].values)
            if before != evaluation.values:
                raise UsageError(f"{arch.id} was told {before} and is now told {evaluation.values}: tell each once.")
            return
        number = self._pending.pop(arch, None)
        if number is None:
            number = self._next
            self._next += 1
        self._told[arch] = (number, evaluation)
        self._learn(arch)

    def pending(self) -> list[Architecture]:
        """What was asked and not yet told, in the order of asking: after a resume, evaluate these first."""
        return list(self._pending)

    def evaluations(self) -> list[Evaluation]:
        """Everything told, in the order of asking."""
        return [evaluation for _, evaluation in sorted(self._told.values(), key=lambda item: item[0])]

    def front(self) -> list[Evaluation]:
        """The evaluations that meet the constraints and that no other such evaluation dominates; may be empty."""
        return front_of(self.evaluations(), self.goals)

    def state_dict(self) -> dict[str, Any]:
        """All that a strategy made with the same arguments needs to go on as this one would; fit for canonical JSON."""
        return {
            "version": STATE_VERSION,
            "made_with": self._made_with(),
            "rng": _texts(self._rng.bit_generator.state),
            "next": self._next,
            "initial": [list(arch.genes) for arch in self._initial],
            "pending": [[number, list(arch.genes)] for arch, number in self._pending.items()],
            "told": [
                [number, list(arch.genes), [repr(evaluation.values[name]) for name in self.goals.names]]
                for arch, (number, evaluation) in self._told.items()
            ],
            **self._own_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; UsageError if it was not made by a strategy with the same arguments."""
        if state.get("version") != STATE_VERSION:
            raise UsageError(
                f"The search state has version {state.get('version')!r}, not {STATE_VERSION}: search anew."
            )
        ours, theirs = self._made_with(), state["made_with"]
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                raise UsageError(
                    f"The search state was made with {key} = {theirs.get(key)!r}, not {ours.get(key)!r}: "
                    "create the strategy with the same arguments, or search anew."
                )
        self._rng.bit_generator.state = _numbers(state["rng"])
        self._next = state["next"]
        self._initial = [self.space.architecture(genes) for genes in state["initial"]]
        self._pending = {self.space.architecture(genes): number for number, genes in state["pending"]}
        self._told = {}
        for number, genes, values in state["told"]:
            arch = self.space.architecture(genes)
            named = {name: float(value) for name, value in zip(self.goals.names, values, strict=True)}
            self._told[arch] = (number, Evaluation(arch, named))
        self._load_own_state(state)

    @abstractmethod
    def _propose(self) -> Architecture:
        """One architecture that was neither asked nor told; there is one."""

    def _learn(self, arch: Architecture) -> None:  # noqa: B027 - most strategies need not hear it
        """Hear that an architecture was told."""

    def _options(self) -> dict[str, Any]:
        return {}

    def _own_state(self) -> dict[str, Any]:
        return {}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most strategies have none
        """Take back what `_own_state` gave."""

    def _seen(self, arch: Architecture) -> bool:
        return arch in self._pending or arch in self._told

    def _new_random(self) -> Architecture:
        """A random architecture that was neither asked nor told; the rest is listed where draws keep failing."""
        for _ in range(_DRAWS):
            arch = self.space.random(self._rng)
            if not self._seen(arch):
                return arch
        return next(arch for arch in self._all_from_somewhere() if not self._seen(arch))

    def _all_from_somewhere(self) -> Iterator[Architecture]:
        """Every architecture, counting up from random genes and round again."""
        ways = [len(choice.options) for choice in self.space.choices]
        start = [int(self._rng.integers(way)) for way in ways]
        genes = list(start)
        while True:
            yield self.space.architecture(genes)
            for i in reversed(range(len(ways))):
                genes[i] = (genes[i] + 1) % ways[i]
                if genes[i]:
                    break
            if genes == start:
                return

    def _next_initial(self) -> Architecture | None:
        while self._initial:
            arch = self._initial.pop(0)
            if not self._seen(arch):
                return arch
        return None

    def _made_with(self) -> dict[str, Any]:
        return {
            "strategy": self.name,
            "space": self.space.id,
            "objectives": [[objective.name, objective.direction] for objective in self.goals.objectives],
            "constraints": [[name, limit] for name, limit in self.goals.constraints],
            "seed": self.seed,
            **self._options(),
        }


def _texts(value: Any) -> Any:
    """Integers as texts: those of a random generator have 128 bits, more than other readers of JSON keep."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    return f"#{value}" if isinstance(value, int) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return int(value[1:]) if value.startswith("#") else value
