"""Searching again by hand: with the last run's supernet and profile, by another strategy or with another budget."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evernas.config import Config
from evernas.errors import UsageError
from evernas.state import Done, Guard, Head, Home, RunManifest
from evernas.state.ownership import claim
from evernas.steps.context import Setting
from evernas.steps.costing import costing_of
from evernas.steps.evaluating import evaluator_of
from evernas.steps.rounds import foreseen_by
from evernas.steps.search import search_device


@dataclass(frozen=True)
class Searched:
    """A search by hand. `front` and `front_before` are points as a run has them, by rising error.

    `hypervolume` and `hypervolume_random` are shares of what both reached, after each evaluation.
    """

    run: str
    evaluations: int
    front: list[dict[str, Any]]
    front_before: list[dict[str, Any]]
    hypervolume: list[float]
    hypervolume_random: list[float]


def search(
    config: Config,
    home: Home,
    device: str,
    wait_seconds: float,
    say: Callable[[str], None],
    on_progress: Callable[[int, int, str], None],
) -> Searched:
    """The front of a device, searched as `config.search` says on what the last completed run trained and profiled.

    It begins where that run's search began. Nothing is promoted and no run is recorded; what was evaluated is kept,
    and costs the next search of the same supernet nothing. UsageError where there is no such run, or its space is not
    the config's; OwnershipError when another run holds the state folder for longer than `wait_seconds`.
    """
    _last_run(config, home, device)
    with claim(home, wait_seconds, say) as ownership:
        # Once more: a run may have ended while this one waited, and none does from here on.
        head = _last_run(config, home, device)
        assert head.validated is not None, "it was looked at"
        setting = Setting(home, replace(RunManifest.read(home, head.run), config=config), device)
        last = setting.store.get(head.searches[device])
        if last.facts["space"] != setting.space.id:
            raise UsageError("The config's space is not the one that the last run searched: run `evernas run` first.")
        return _searched(setting, head.run, (head.validated, head.supernet), last, ownership.guard, on_progress)


def _last_run(config: Config, home: Home, device: str) -> Head:
    """What the last completed run left; UsageError if there is none, or it had no such device."""
    head = Head.read(home, config.project)
    if head is None or head.validated is None:
        raise UsageError(f"No run of {config.project} has been completed in {home.path}: run `evernas run` first.")
    if device not in head.searches:
        raise UsageError(f"The last run, {head.run}, had no device {device}: run `evernas run` first.")
    return head


def _searched(
    setting: Setting,
    run: str,
    made: tuple[str, str],
    last: Done,
    guard: Guard,
    on_progress: Callable[[int, int, str], None],
) -> Searched:
    """A search with what the last run `made`, its validated data and its supernet, from where its search began."""
    validated, supernet = (setting.store.get(ref) for ref in made)
    costing = costing_of(setting, foreseen_by(setting.store, last))
    evaluator = evaluator_of(setting, guard, validated, supernet, costing)
    with tempfile.TemporaryDirectory(prefix="evernas-search-") as scratch:
        found = search_device(setting, last.inputs["start"], evaluator, Path(scratch), guard, on_progress)
    front = sorted(found.front, key=lambda e: (e.values["error"], e.architecture.id))
    points = [costing.point(evaluation) for evaluation in front]
    curves = found.hypervolumes(setting.config.search.objectives)
    return Searched(run, len(found.evaluations), points, last.facts["front"], *curves)
