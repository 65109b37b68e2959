"""The ingest step: takes in what is new as a snapshot, and says whether there is anything to do at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.data import Snapshot, ingest, pending
from evernas.digest import digest_value
from evernas.errors import DataRefusedError, UsageError
from evernas.state import Done
from evernas.steps.context import Context, Work
from evernas.steps.versions import VERSIONS

NOTHING_NEW = "nothing-new"


def run(context: Context) -> str:
    """Reference of the snapshot, or `nothing-new` when the last completed run had the same data, config and steps."""
    head = context.manifest.head
    source = Path(context.manifest.source)
    if not source.is_dir():
        raise UsageError(f"data.source names {source}, and there is no such folder: create it or name another.")
    snapshot = ingest(
        source,
        context.home.snapshots(context.project),
        context.config.data,
        None if head is None else head.snapshot,
        guard=context.guard.check,
    )
    if head is not None and run_key(context, snapshot.id) == head.key:
        from evernas.steps.report import nothing_new

        nothing_new(context, snapshot)
        return NOTHING_NEW
    if not snapshot.manifest.objects:
        raise DataRefusedError(f"{source} holds no Parquet file: put at least one batch there.")
    still = pending(source, snapshot)
    if still:
        context.progress.advance(0, 1, f"{len(still)} files changed while they were read; the next run takes them")
    return context.perform(
        {"snapshot": snapshot.id}, lambda folder: _work(context, snapshot), lambda done: _log(context, done, snapshot)
    ).ref


def run_key(context: Context, snapshot: str) -> str:
    """What a whole run depends on: a run with the same key has nothing to do. Where the data lies does not count."""
    config = context.config.model_dump(mode="json")
    del config["data"]["source"]
    return digest_value({"snapshot": snapshot, "config": config, "versions": VERSIONS})


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
    }
    remark = (
        f"snapshot {snapshot.id[:12]}: {manifest.rows} rows of {len(manifest.objects)} files, {len(manifest.added)} new"
    )
    if manifest.changed:
        remark += f", {len(manifest.changed)} changed"
    if manifest.removed:
        remark += f", {len(manifest.removed)} gone"
    if manifest.refused_objects:
        remark += f"; {len(manifest.refused_objects)} refused: " + "; ".join(
            f"{name}: {reason}" for name, reason in sorted(manifest.refused_objects.items())[:3]
        )
    return Work(facts, [], remark)


def _log(context: Context, done: Done, snapshot: Snapshot) -> None:
    from evernas.registry.tracking import step_run

    with step_run(context.home, context.project, context.manifest.run, "ingest", None) as tracked:
        tracked.params({"snapshot": snapshot.id, "parent": snapshot.manifest.parent, "rows": done.facts["rows"]})
        tracked.dataset(f"evernas-{context.project}", snapshot.id, context.manifest.source, snapshot.manifest.counts())
        tracked.value(done.facts, "snapshot.json")
        tracked.tags({"evernas.ref": done.ref})
