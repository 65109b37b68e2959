"""The ingest step: takes in what is new as a snapshot, and says whether there is anything to do at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evernas.config import Config
from evernas.data import Snapshot, ingest, open_snapshot, open_source, unchanged
from evernas.data.source import SUFFIXES, Source
from evernas.digest import digest_value
from evernas.errors import DataRefusedError
from evernas.state import Done
from evernas.state.files import read_json
from evernas.state.runs import NOTHING_NEW
from evernas.state.sharing import fetched, releases_of
from evernas.steps.context import Context, Setting, Work
from evernas.steps.drift import measure
from evernas.steps.forgotten import forgotten_of, refuse_pending
from evernas.steps.freshness import note, refuse, stale_by_now
from evernas.steps.profile import device_inputs
from evernas.steps.recheck import RECHECK, is_due
from evernas.steps.versions import VERSIONS
from evernas.triggers.lease import leases_of


def run(context: Context) -> str:
    """Reference of the snapshot; when the last completed run had the same data, config and steps, or drift decides that
    nothing is to be done, `nothing-new`, or `recheck` where a champion has not been measured for long."""
    refuse_pending(context.home, context.project)
    head = context.manifest.head
    snapshot = _snapshot(context)
    idle = _idle(context, snapshot)
    if head is not None and idle is not None:
        stale = stale_by_now(context, snapshot)
        if any(is_due(replace(context, device_name=device.name)) for device in context.config.devices):
            note(context, stale)
            context.account.made(f"ingest/{head.snapshot[:16]}")
            context.progress.end("nothing new; a champion was measured long ago and is looked at again", reused=False)
            return RECHECK
        refuse(stale)
        from evernas.steps.report import nothing_new

        nothing_new(context, snapshot, because=idle)
        return NOTHING_NEW
    if not snapshot.manifest.objects:
        raise DataRefusedError(
            f"{context.manifest.source} holds no data: put at least one file there that ends in {', '.join(SUFFIXES)}."
        )
    return context.perform(
        ingest_inputs(snapshot.id), lambda folder: _work(context, snapshot), lambda done: _log(context, done, snapshot)
    ).ref


def _idle(context: Context, snapshot: Snapshot) -> str | None:
    """Why there is nothing to do: the same as the last run in a few words, or no drift and little data; None if not."""
    head = context.manifest.head
    if head is None:
        return None
    journal, known = context.manifest.journal, releases(context)
    if run_key(context.config, snapshot.id, journal, known) == head.key:
        return "the same data, config and steps"
    if not snapshot.manifest.objects:
        return None
    only_data = run_key(context.config, head.snapshot, journal, known) == head.key
    found = measure(context, snapshot, only_data)
    if found is None:
        return None
    # What is said goes to the run's log.
    print(found["reason"])
    return str(found["reason"]) if found["decides"] and found["work"] == "nothing" else None


def ingest_inputs(snapshot: str) -> dict[str, Any]:
    """All that the account of a snapshot depends on."""
    return {"snapshot": snapshot}


def known_snapshot(setting: Setting) -> str | None:
    """The snapshot that this run is on, where that can be told without taking anything in."""
    accepted = accepted_path(setting)
    if accepted.exists():
        snapshot: str = read_json(accepted)["snapshot"]
        return snapshot
    head = setting.manifest.head
    if head is None:
        return None
    last = open_snapshot(setting.snapshots, head.snapshot)
    forgotten = forgotten_of(setting.home, setting.project)
    return last.id if unchanged(_source(setting), last, setting.config.data, forgotten) else None


def _snapshot(context: Context) -> Snapshot:
    """What the source holds; for a run that was killed after its data was accepted, what it held then."""
    head, accepted = context.manifest.head, accepted_path(context)
    if accepted.exists():
        return open_snapshot(context.snapshots, read_json(accepted)["snapshot"])
    parent = None if head is None else head.snapshot
    run, guard = context.manifest.run, context.guard.check
    forgotten = forgotten_of(context.home, context.project)
    source, leases = _source(context), leases_of(context.home, context.project)
    removed = leases.removed() if parent is not None and not source.lists_all else set()
    deleted = {source.name_of(bucket, key) or "" for bucket, key in removed}
    scratch = context.home.snapshots(context.project)
    scratch.mkdir(parents=True, exist_ok=True)
    # What is said goes to the run's log.
    taken = ingest(
        source, context.snapshots, context.config.data, parent, guard, run, print, forgotten, scratch, deleted=deleted
    )
    leases.settle_removed(removed)
    return taken


def _source(setting: Setting) -> Source:
    return open_source(setting.manifest.source, setting.home.snapshots(setting.project))


def accepted_path(context: Setting) -> Path:
    """Where the run notes the snapshot that validation accepted: from then on the run keeps to it."""
    return fetched(context.home, context.run_folder / "snapshot.json")


def releases(setting: Setting) -> int:
    """How many releases from quarantine this run knows of: until its data is accepted, all that there are."""
    accepted = accepted_path(setting)
    if accepted.exists():
        return int(read_json(accepted).get("releases", 0))
    return releases_of(setting.home, setting.project).count()


def run_key(config: Config, snapshot: str, journal: Mapping[str, int], releases: int = 0) -> str:
    """What a whole run depends on: a run with the same key has nothing to do. Where the data lies, and how much
    of it may go, does not count.

    `journal` holds the number of each device's newest entry: after a run, those that it left. `releases` is how many
    releases from quarantine it knows of.
    """
    document = config.model_dump(mode="json")
    for name in ("source", "max_loss", "retired"):
        del document["data"][name]
    devices = [device_inputs(device) for device in config.devices]
    known = {"releases": releases} if releases else {}
    inputs = {"snapshot": snapshot, "config": document, "versions": VERSIONS, "devices": devices, **known}
    return digest_value({**inputs, "journal": dict(journal)})


def _work(context: Context, snapshot: Snapshot) -> Work:
    manifest = snapshot.manifest
    facts: dict[str, Any] = {
        "snapshot": snapshot.id,
        "parent": manifest.parent,
        "added": list(manifest.added),
        "changed": list(manifest.changed),
        "removed": list(manifest.removed),
        "refused_objects": manifest.refused_objects,
        "rows": manifest.rows,
        "erased": manifest.erased,
        "copies": {"exact": found.exact, "near": found.near} if (found := manifest.duplicates) else None,
        "joined": len(manifest.joined),
    }
    remark = (
        f"snapshot {snapshot.id[:12]}: {manifest.rows} rows of {len(manifest.objects)} files, {len(manifest.added)} new"
    )
    if manifest.changed:
        remark += f", {len(manifest.changed)} changed"
    if manifest.removed:
        remark += f", {len(manifest.removed)} gone"
    if found is not None and found.exact + found.near:
        remark += f", {found.exact} rows the same as others and {found.near} pairs of different domains nearly"
    if manifest.erased:
        remark += f", {manifest.erased} recordings refused that were erased"
    if manifest.refused_objects:
        remark += f"; {len(manifest.refused_objects)} refused: " + "; ".join(
            f"{name}: {reason}" for name, reason in sorted(manifest.refused_objects.items())[:3]
        )
    return Work(facts, [], remark)


def _log(context: Context, done: Done, snapshot: Snapshot) -> None:
    with context.tracked(done.ref) as tracked:
        tracked.params({"snapshot": snapshot.id, "parent": snapshot.manifest.parent, "rows": done.facts["rows"]})
        tracked.dataset(f"evernas-{context.project}", snapshot.id, context.manifest.source, snapshot.manifest.counts())
        tracked.value(done.facts, "snapshot.json")
