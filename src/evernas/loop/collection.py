"""Which snapshots of a project something still reaches, and removing the others."""

from __future__ import annotations

from evernas.config import Config
from evernas.data.garbage import Garbage, garbage, remove
from evernas.errors import IntegrityError
from evernas.registry.opening import open_journal
from evernas.state import Home
from evernas.state.files import read_json
from evernas.state.ownership import claim
from evernas.state.runs import Head, completed_runs, unended_runs


def kept_snapshots(config: Config, home: Home, keep_runs: int) -> dict[str, str]:
    """Snapshots that stay, each with the first reason why.

    They are those of the head, of runs without a result (that they go on from and that they accepted), of every entry
    of the journal, and of the newest completed runs. IntegrityError if what an entry was trained on cannot be told.
    """
    kept: dict[str, str] = {}
    head = Head.read(home, config.project)
    if head is not None:
        kept.setdefault(head.snapshot, "the next run goes on from it")
    for run in unended_runs(home, config.project):
        pinned = read_json(home.run(run) / "run.json")["head"]
        for snapshot in (None if pinned is None else pinned["snapshot"], _snapshot_of(home, run)):
            if snapshot is not None:
                kept.setdefault(snapshot, f"run {run} has no result yet")
    journal = open_journal(home, config)
    for device in sorted(_devices(config, home)):
        for number in range(1, journal.head_number(device) + 1):
            entry = journal.read(device, number)
            if entry.kind != "promotion":
                continue
            snapshot = _snapshot_of(home, entry.run)
            if snapshot is None:
                raise IntegrityError(
                    f"Entry {number} of {device} was promoted by run {entry.run}, which {home.runs} does not "
                    "have, so that its data cannot be told: restore the run's folder. Nothing was removed."
                )
            kept.setdefault(snapshot, f"entry {number} of {device} was trained on it")
    for run in completed_runs(home, config.project)[::-1][:keep_runs]:
        snapshot = _snapshot_of(home, run)
        if snapshot is not None:
            kept.setdefault(snapshot, f"run {run} is one of the last {keep_runs}")
    return kept


def collect(config: Config, home: Home, keep_runs: int, *, apply: bool, older_than_s: float) -> Garbage:
    """What can go; removed if `apply`. OwnershipError if a run holds the state folder then."""
    store = home.snapshots(config.project)
    if not apply:
        return garbage(store, kept_snapshots(config, home, keep_runs), older_than_s)
    with claim(home, 0.0, lambda text: None) as ownership:
        found = garbage(store, kept_snapshots(config, home, keep_runs), older_than_s)
        remove(store, found, ownership.guard.check)
    return found


def _devices(config: Config, home: Home) -> set[str]:
    """The config's devices, and those that runs had which the config has no more: their champions may still serve."""
    runs = [*completed_runs(home, config.project), *unended_runs(home, config.project)]
    configs = [read_json(home.run(run) / "run.json")["config"] for run in runs]
    return {device.name for device in config.devices} | {d["name"] for each in configs for d in each["devices"]}


def _snapshot_of(home: Home, run: str) -> str | None:
    """The snapshot that a run worked on, as its result or else its own note says; None if neither is there."""
    folder = home.run(run)
    if (folder / "result.json").exists():
        about = read_json(folder / "result.json")["snapshot"]
        if about is not None:
            return str(about["id"])
    return str(read_json(folder / "snapshot.json")["snapshot"]) if (folder / "snapshot.json").exists() else None
