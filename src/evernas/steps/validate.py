"""The validate step: judges the snapshot's rows; bad rows go to quarantine, bad data refuses the run."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from evernas.data import open_snapshot
from evernas.digest import digest_value
from evernas.errors import DataRefusedError
from evernas.state import Done
from evernas.state.files import write_bytes, write_json
from evernas.state.sharing import share
from evernas.steps.context import Context, Setting, Work
from evernas.steps.freshness import TIMES
from evernas.steps.good_rows import judged
from evernas.steps.ingest import accepted_path, releases
from evernas.steps.loading import KEPT, KEPT_TABLE

TABLES = [KEPT_TABLE, "quarantine.parquet", "deduplicated.parquet", "validation.json"]
BEGAN = "began"
STRATA = "strata"
DOCS = "data_docs"
EXAMPLES = 8


def run(context: Context, ingested: str) -> str:
    """Reference of the validated rows; DataRefusedError, with every reason, for data that cannot be trusted."""
    taken_in = context.store.get(ingested)
    snapshot = taken_in.facts["snapshot"]
    inputs = validate_inputs(context, taken_in)
    done = context.perform(
        inputs, lambda folder: _work(context, snapshot, inputs, folder), lambda done: _log(context, done)
    )
    with context.guard.publishing():
        accepted = {"version": 1, "snapshot": snapshot, "releases": int(done.inputs.get("releases", 0))}
        write_json(accepted_path(context), accepted)
        share(context.home, accepted_path(context))
    return done.ref


def validate_inputs(setting: Setting, ingested: Done) -> dict[str, Any]:
    """All that the good rows depend on; `trained` is the newest supernet, whose rows cannot judge in the gate.

    Data that was validated before with the same of all else keeps the supernet that it was validated beside: what
    that run then trained on is the same data, in which a row of the gate is none of training.
    """
    inputs = {
        "snapshot": ingested.facts["snapshot"],
        "config": setting.config.section_digest("validation"),
        "labels": setting.config.data.labels,
    }
    known = releases(setting)
    if known:
        inputs["releases"] = known
    if setting.config.data.strata:
        inputs[STRATA] = digest_value(setting.config.data.strata)
    if setting.config.validation.freshness is not None:
        # How old rows are is told anew by each run.
        inputs[BEGAN] = setting.manifest.started_at
    head = setting.manifest.head
    last = None if head is None or head.validated is None else setting.store.find(head.validated)
    if last is not None and _lasting(last.inputs) == _lasting(inputs):
        trained = last.inputs["trained"]
        # One that was cleared away is in the last supernet, which knows of all that was trained on before it.
        if trained is None or setting.store.find(trained) is not None:
            return {**inputs, "trained": trained}
    supernet = None if head is None else setting.store.find(head.supernet)
    return {**inputs, "trained": None if supernet is None else supernet.ref}


def _lasting(inputs: dict[str, Any]) -> dict[str, Any]:
    """What good rows depend on, but for the supernet and the day."""
    return {name: value for name, value in inputs.items() if name not in ("trained", BEGAN, STRATA)}


def validated_alike(setting: Setting, inputs: dict[str, Any]) -> Done | None:
    """The last validation, if it was of the same data by the same rules, though perhaps on another day."""
    head = setting.manifest.head
    last = None if head is None or head.validated is None else setting.store.find(head.validated)
    return last if last is not None and _lasting(last.inputs) == _lasting(inputs) else None


def _work(context: Context, snapshot_id: str, inputs: dict[str, Any], folder: Path) -> Work:
    snapshot = open_snapshot(context.snapshots, snapshot_id)
    result = judged(context, snapshot, inputs["trained"], inputs.get("releases", 0), folder / DOCS)
    result.write(folder)
    _save(folder / KEPT, result.kept_rows)
    made = [KEPT, *TABLES]
    if context.config.validation.freshness is not None:
        # Sorted, so that they say of no row which is its own.
        _save(folder / TIMES, np.sort(result.times))
        made.append(TIMES)
    sentences = list(dict.fromkeys(result.quarantine.column("sentence").to_pylist()))
    if result.refusals:
        left = context.store.place(f"{folder.parent.name}/{folder.name}")
        # What and why must be found by the person: the tables and the Data Docs stay beside the sentence.
        examples = "".join(f"\n  {sentence}" for sentence in sentences[:EXAMPLES])
        raise DataRefusedError(
            "The data is refused, the champion stays:\n"
            + "\n".join(f"  {reason}" for reason in result.refusals)
            + (f"\nRows in quarantine, for example:{examples}" if examples else "")
            + f"\nThe quarantine and the Data Docs are in {left}."
        )
    facts = {
        "snapshot": snapshot_id,
        "kept": result.kept_digests,
        "rows_in": result.rows_in,
        "rows_kept": result.kept.num_rows,
        "rows_quarantined": result.quarantined,
        "rows_deduplicated": result.deduplicated.num_rows,
        "rows_released": result.released,
        "quarantine": {rule: count for rule, count in result.rule_counts.items() if count},
        "quarantine_examples": sentences[:EXAMPLES],
        "kept_digest": result.kept_digest,
        "splits": _counts(result.kept, "domain"),
        "classes": _counts(result.kept, "label"),
        **({"strata": result.strata} if result.strata else {}),
        **({"split_by": "recording"} if context.config.data.splits.by_recording else {}),
    }
    remark = f"{facts['rows_kept']} of {facts['rows_in']} rows kept"
    if result.quarantined:
        remark += (
            f", {result.quarantined} in quarantine ("
            + ", ".join(f"{r}: {n}" for r, n in sorted(facts["quarantine"].items()))
            + ")"
        )
    if result.released:
        remark += f", {result.released} released from it"
    if facts["rows_deduplicated"]:
        remark += f", {facts['rows_deduplicated']} duplicates"
    if "newest_age_days" in result.figures:
        remark += f"; the newest is of the last {result.figures['newest_age_days']:.0f} days"
    return Work(facts, made, remark)


def _save(path: Path, values: Any) -> None:
    sink = io.BytesIO()
    np.save(sink, values, allow_pickle=False)
    write_bytes(path, sink.getvalue())


def _counts(kept: Any, column: str) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {split: Counter() for split in ("train", "search", "gate")}
    for split, value in zip(kept.column("split").to_pylist(), kept.column(column).to_pylist(), strict=True):
        counts[split][value] += 1
    return {split: dict(sorted(counter.items())) for split, counter in counts.items()}


def _log(context: Context, done: Done) -> None:
    from evernas.validation.strata import coverage

    with context.tracked(done.ref) as tracked:
        tracked.metrics(
            {name: done.facts[name] for name in ("rows_in", "rows_kept", "rows_quarantined", "rows_deduplicated")}
        )
        tracked.metrics({f"quarantine_{rule}": count for rule, count in done.facts["quarantine"].items()})
        covered = done.facts.get(STRATA, {})
        tracked.metrics({f"stratum_coverage_{kind.replace(' ', '_')}": coverage(of) for kind, of in covered.items()})
        tracked.file(done.file(DOCS), DOCS)
        tracked.value(done.facts, "validation.json")
