"""Strategies at work: asked and told at the same time over one evaluator, resumable, and compared by hypervolume."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.search import Evaluation, Strategy, hypervolume_curve
from evernas.spaces.api import Architecture
from evernas.state import Guard
from evernas.state.files import read_json, write_json

if TYPE_CHECKING:
    from evernas.config import SearchConfig


def unstopped() -> None:
    """For searches that nothing ends early."""


def search_beside(
    searches: Mapping[Path, Strategy],
    values: Callable[[Architecture], Mapping[str, float]],
    config: SearchConfig,
    at_once: int,
    guard: Guard,
    on_progress: Callable[[int, int, str], None],
    at_checkpoint: Callable[[], None] = unstopped,
) -> None:
    """Run searches, each with the file of its state, at the same time: one evaluates while another thinks.

    They share what evaluates, `at_once` architectures at the same time, and nothing that one finds reaches the other.
    When one fails the others stop. `at_checkpoint` is called after the state was kept, and may raise to end there.
    """
    names = " and ".join(strategy.name for strategy in searches.values())
    told = dict.fromkeys(searches, 0)
    stop = threading.Event()

    def advance(state: Path, count: int) -> None:
        told[state] = count
        on_progress(sum(told.values()), config.evaluations * len(told), names)

    with ThreadPoolExecutor(at_once) as pool, ThreadPoolExecutor(len(searches)) as side:
        searching = [
            side.submit(
                _search,
                strategy,
                partial(pool.map, values),
                config,
                state,
                guard,
                partial(advance, state),
                stop,
                at_checkpoint,
            )
            for state, strategy in searches.items()
        ]
        try:
            for search in as_completed(searching):
                search.result()
        finally:
            stop.set()


def _search(
    strategy: Strategy,
    evaluate: Callable[[list[Architecture]], Iterable[Mapping[str, float]]],
    config: SearchConfig,
    state: Path,
    guard: Guard,
    on_told: Callable[[int], None],
    stop: threading.Event,
    at_checkpoint: Callable[[], None],
) -> None:
    """Ask and tell until the budget is spent or the space exhausted; the state is kept after each batch.

    A batch is told in the order of asking, so that nothing depends on which evaluation ends first.
    """
    if state.exists():
        strategy.load_state_dict(read_json(state))
    while (told := len(strategy.evaluations())) < config.evaluations and not stop.is_set():
        batch = strategy.pending() or strategy.ask(min(config.batch, config.evaluations - told))
        if not batch:
            break
        for number, (arch, values) in enumerate(zip(batch, evaluate(batch), strict=True)):
            strategy.tell(arch, {name: values[name] for name in config.objectives})
            on_told(told + number + 1)
        with guard.publishing():
            write_json(state, strategy.state_dict())
        at_checkpoint()


def hypervolumes(
    objectives: Sequence[str], ours: list[Evaluation], random: list[Evaluation]
) -> tuple[list[float], list[float]]:
    """Both curves as shares of what both searches together reached, objectives scaled to all that was seen."""
    import numpy as np

    def rows(evaluations: list[Evaluation]) -> Any:
        return np.array([[e.values[name] for name in objectives] for e in evaluations]).reshape(-1, len(objectives))

    both = rows([*ours, *random])
    low, span = both.min(0), np.ptp(both, axis=0)
    span = np.where(span > 0, span, 1.0)
    reference = np.full(len(objectives), 1.1)
    best = hypervolume_curve(((both - low) / span).tolist(), reference.tolist())[-1]
    curves = [
        hypervolume_curve(((rows(e) - low) / span).tolist(), reference.tolist(), best) if e else []
        for e in (ours, random)
    ]
    return [round(v, 9) for v in curves[0]], [round(v, 9) for v in curves[1]]
