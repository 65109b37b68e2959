"""Which snapshots of a project something still reaches, and removing the others with all else that nothing does."""

from __future__ import annotations

from dataclasses import dataclass

from evernas.config import Config, RetentionConfig
from evernas.data.garbage import Garbage, garbage, remove
from evernas.errors import IntegrityError, UsageError
from evernas.loop.retention import Unreached, journal_entries, remove_unreached, unreached
from evernas.state import Home
from evernas.state.files import read_json
from evernas.state.layout import AREAS
from evernas.state.ownership import claim
from evernas.state.runs import Head, completed_runs, unended_runs
from evernas.storage import LeftUpload

UNDER_WAY_S = 86400.0
"""No upload takes so long."""


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
    for entry in journal_entries(config, home):
        if entry.kind != "promotion":
            continue
        snapshot = _snapshot_of(home, entry.run)
        if snapshot is None:
            raise IntegrityError(
                f"Entry {entry.number} of {entry.device} was promoted by run {entry.run}, which {home.runs} does not "
                "have, so that its data cannot be told: restore the run's folder. Nothing was removed."
            )
        kept.setdefault(snapshot, f"entry {entry.number} of {entry.device} was trained on it")
    for run in completed_runs(home, config.project)[::-1][:keep_runs]:
        snapshot = _snapshot_of(home, run)
        if snapshot is not None:
            kept.setdefault(snapshot, f"run {run} is one of the last {keep_runs}")
    return kept


@dataclass(frozen=True)
class Collected:
    """What nothing reaches: of the snapshots' store, and by kind of all else."""

    data: Garbage
    others: dict[str, Unreached]

    @property
    def bytes(self) -> int:
        """All of it together."""
        return self.data.bytes + sum(each.bytes for each in self.others.values())


def collect(config: Config, home: Home, keep: RetentionConfig, *, apply: bool, older_than_s: float) -> Collected:
    """What can go; removed if `apply`. OwnershipError if a run holds the state folder then."""
    if not apply:
        return _find(config, home, keep, older_than_s)
    with claim(home, 0.0, lambda text: None) as ownership:
        found = _find(config, home, keep, older_than_s)
        remove(home.snapshots(config.project), found.data, ownership.guard.check)
        remove_unreached(home, found.others, ownership.guard.check)
    return found


def collect_uploads(home: Home, *, apply: bool, older_than_s: float) -> list[LeftUpload]:
    """The uploads of large files into the state's bucket that were killed; removed if `apply`. [] for a folder.

    Any project's, and no lease is asked for: one that is still under way is told by its age alone. UsageError for an
    age at which it may be.
    """
    if home.bucket is None:
        return []
    if apply and older_than_s < UNDER_WAY_S:
        raise UsageError(
            f"Uploads that were begun {older_than_s / 86400:g} days ago may still be under way, and would be ended: "
            "give --days 1 or more."
        )
    storage = home.bucket.storage
    found = [upload for area in AREAS for upload in storage.left_uploads(area, older_than_s)]
    for upload in found if apply else ():
        storage.abort_upload(upload)
    return found


def _find(config: Config, home: Home, keep: RetentionConfig, older_than_s: float) -> Collected:
    kept = kept_snapshots(config, home, keep.snapshots)
    data = garbage(home.snapshots(config.project), kept, older_than_s)
    return Collected(data, unreached(config, home, keep, older_than_s))


def _snapshot_of(home: Home, run: str) -> str | None:
    """The snapshot that a run worked on, as its result or else its own note says; None if neither is there."""
    folder = home.run(run)
    if (folder / "result.json").exists():
        about = read_json(folder / "result.json")["snapshot"]
        if about is not None:
            return str(about["id"])
    return str(read_json(folder / "snapshot.json")["snapshot"]) if (folder / "snapshot.json").exists() else None
