"""Searching again by hand: with the last run's supernet and profile, by another strategy or with another budget."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evernas.config import Config
from evernas.errors import UsageError
from evernas.state import Done, Head, Home, RunManifest
from evernas.state.ownership import claim
from evernas.steps.context import Setting
from evernas.steps.evaluating import evaluator_of
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
    head = Head.read(home, config.project)
    if head is None or head.validated is None:
        raise UsageError(f"No run of {config.project} has been completed in {home.path}: run `evernas run` first.")
    manifest = replace(RunManifest.read(home, head.run), config=config)
    setting = Setting(home, manifest, device)
    if device not in head.searches:
        raise UsageError(f"The last run, {head.run}, had no device {device}: run `evernas run` first.")
    last, supernet = setting.store.get(head.searches[device]), setting.store.get(head.supernet)
    if last.facts["space"] != setting.space.id:
        raise UsageError("The config's space is not the one that the last run searched: run `evernas run` first.")
    profile = setting.store.get(last.inputs["profile"])
    with claim(home, wait_seconds, say) as ownership, tempfile.TemporaryDirectory(prefix="evernas-search-") as scratch:
        validated = setting.store.get(head.validated)
        evaluator = evaluator_of(setting, ownership.guard, validated, supernet, profile)
        found = search_device(setting, last.inputs["start"], evaluator, Path(scratch), ownership.guard, on_progress)
    curves = found.hypervolumes(config.search.objectives)
    front = sorted(found.front, key=lambda e: (e.values["error"], e.architecture.id))
    return Searched(
        head.run, len(found.evaluations), [evaluator.point(e) for e in front], _front(last), curves[0], curves[1]
    )


def _front(last: Done) -> list[dict[str, Any]]:
    front: list[dict[str, Any]] = last.facts["front"]
    return front
