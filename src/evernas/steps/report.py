"""The report step: gathers what the run found and decided into result.json and the report, and leaves the head."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evernas.bundle import load_bundle
from evernas.data import Snapshot, open_snapshot
from evernas.registry import journal
from evernas.result import (
    ArchitectureRecord,
    ChampionRecord,
    DeviceResult,
    FinalistRecord,
    Point,
    Result,
    SnapshotRecord,
    StepRecord,
    SupernetRecord,
)
from evernas.state import Done, Head
from evernas.state.files import read_json, write_bytes, write_json
from evernas.state.runs import completed_runs, now
from evernas.steps.architectures import architecture_record
from evernas.steps.context import Context
from evernas.steps.decision import read_decision
from evernas.steps.ingest import run_key
from evernas.steps.search import POINTS


def run(context: Context, ingested: str, validated: str, trained: str, decisions: list[str]) -> str:
    """Reference of the report. `decisions` are those of the devices, in the config's order."""
    store = context.store
    data = store.get(validated)
    supernet = store.get(trained)
    devices = [_device(context, name.name) for name in context.config.devices]
    promoted = [d.device for d, decision in zip(devices, decisions, strict=True) if decision.startswith("promote/")]
    context.account.made(f"report/{context.manifest.run}")
    result = Result(
        run=context.manifest.run,
        project=context.project,
        outcome="promoted" if promoted else "held",
        reason=" ".join(f"{d.device}: {d.verdict['sentence']}" for d in devices),
        started_at=context.manifest.started_at,
        ended_at=now(),
        config=context.manifest.config_digest,
        snapshot=_snapshot(store.get(ingested), data),
        supernet=_supernet(context, supernet),
        devices=devices,
        **_cost(context),
        mlflow=_mlflow(context),
    )
    snapshot = open_snapshot(context.home.snapshots(context.project), data.facts["snapshot"])
    _publish(
        context,
        result,
        snapshot,
        Head(
            run=context.manifest.run,
            key=run_key(context.config, snapshot.id, _journal_after(context)),
            snapshot=snapshot.id,
            supernet=trained,
            searches={d.name: _reference(context, "search", d.name) for d in context.config.devices},
        ),
    )
    context.progress.end(str(context.run_folder / "report.html"), reused=False)
    return f"report/{context.manifest.run}"


def _journal_after(context: Context) -> dict[str, int]:
    """The journal's numbers that this run knows of: what it began with, and its own promotions.

    An entry of somebody else is left out, so that the next run has something to do: to compare with it.
    """
    folder, pinned = context.home.journal(context.project), context.manifest.journal
    after = dict(pinned)
    for name in pinned:
        newest = journal.head(folder, name)
        if newest is not None and newest.run == context.manifest.run:
            after[name] = newest.number
    return after


def nothing_new(context: Context, snapshot: Snapshot) -> None:
    """The short result of a run that had nothing to do."""
    head = context.manifest.head
    assert head is not None, "without an earlier run everything is new"
    context.account.made(f"ingest/{head.snapshot[:16]}")
    sentence = (
        f"Nothing new since run {head.run}: the same data, config and steps. Nothing was done; the champions stay."
    )
    result = Result(
        run=context.manifest.run,
        project=context.project,
        outcome="nothing-new",
        reason=sentence,
        started_at=context.manifest.started_at,
        ended_at=now(),
        config=context.manifest.config_digest,
        snapshot=None,
        supernet=None,
        devices=[],
        **_cost(context),
        mlflow={"tracking_uri": context.home.tracking_uri},
    )
    _publish(context, result, snapshot, None)
    context.progress.end("nothing new", reused=False)


def _publish(context: Context, result: Result, snapshot: Snapshot, head: Head | None) -> None:
    """Everything that makes the run count, result.json after what it speaks of, under the ownership of this run."""
    from evernas.report import render_report

    earlier = [
        Result.model_validate(read_json(context.home.run(run) / "result.json"))
        for run in completed_runs(context.home, context.project)
        if run != context.manifest.run
    ]
    html = render_report(result, [r for r in earlier if r.outcome != "nothing-new"])
    write_bytes(context.run_folder / "report.html", html.encode())
    if head is not None:
        _log(context, result)
    with context.guard.publishing():
        if head is not None:
            head.write(context.home, context.project)
        write_json(context.run_folder / "result.json", result.model_dump(mode="json"))
        write_json(
            context.home.consumed(context.project), {"run": context.manifest.run, "objects": snapshot.manifest.digests}
        )
        _point_latest(context)


def _point_latest(context: Context) -> None:
    """Point `latest` to this run in one step."""
    link = context.home.path / f".latest.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("runs") / context.manifest.run)
    link.replace(context.home.latest)


def _log(context: Context, result: Result) -> None:
    from evernas.registry.tracking import parent_run

    tracked = parent_run(context.home, context.project, context.manifest.run)
    tracked.metrics({"seconds": result.seconds, "cpu_seconds": result.cpu_seconds})
    tracked.tags(
        {
            "evernas.config": result.config,
            "evernas.snapshot": "" if result.snapshot is None else result.snapshot.id,
            "evernas.supernet": "" if result.supernet is None else result.supernet.digest,
        }
    )
    for device in result.devices:
        best = min((f.error for f in device.finalists), default=None)
        tracked.metrics({f"{device.device}.front": float(len(device.front)), f"{device.device}.lowest_error": best})
        tracked.value([point.model_dump() for point in device.front], f"front-{device.device}.json")
    for step in result.steps:
        name = step.step if step.device is None else f"{step.step}-{step.device}"
        tracked.tags({f"evernas.step.{name}": step.key + (" (re-used)" if step.reused else "")})
    tracked.tags({"evernas.outcome": result.outcome, "evernas.reason": result.reason})
    tracked.value(result.model_dump(mode="json"), "result.json")
    tracked.file(context.run_folder / "report.html")
    tracked.value(context.config.model_dump(mode="json"), "config.json")
    if not os.environ.get("MLFLOW_RUN_ID"):
        # A run that was given to us is for its owner to end.
        tracked.client.set_terminated(tracked.run_id, "FINISHED")


def _reference(context: Context, step: str, device: str) -> str:
    from evernas.steps.accounting import record_path

    ref: str = read_json(record_path(context.run_folder, step, device))["ref"]
    return ref


def _snapshot(ingested: Done, validated: Done) -> SnapshotRecord:
    facts, checked = ingested.facts, validated.facts
    return SnapshotRecord(
        id=facts["snapshot"],
        parent=facts["parent"],
        added=facts["added"],
        changed=facts["changed"],
        removed=facts["removed"],
        refused_objects=facts["refused_objects"],
        rows_in=checked["rows_in"],
        rows_kept=checked["rows_kept"],
        rows_quarantined=checked["rows_quarantined"],
        rows_deduplicated=checked["rows_deduplicated"],
        quarantine=checked["quarantine"],
        quarantine_examples=checked["quarantine_examples"],
        kept=checked["kept_digest"],
        splits=checked["splits"],
        classes=checked["classes"],
    )


def _supernet(context: Context, done: Done) -> SupernetRecord:
    facts = done.facts
    return SupernetRecord(
        digest=facts["digest"],
        parent=facts["parent"],
        steps=facts["steps"],
        curve=facts["curve"],
        space=context.space.id,
        space_size=str(context.space.size()),
    )


def _device(context: Context, name: str) -> DeviceResult:
    store, device = context.store, context.config.device(name)
    search, finalists, benchmark, profile = (
        store.get(_reference(context, step, name)) for step in ("search", "finalists", "benchmark", "profile")
    )
    decision = read_decision(context, name)
    measurements = benchmark.facts["measurements"]
    pinned = context.manifest.journal.get(name, 0)
    number = journal.head_number(context.home.journal(context.project), name)
    before = _champion(context, name, pinned, measurements, decision["champion_search"])
    candidate = next((f for f in finalists.facts["finalists"] if f["bundle"] == decision["candidate"]), None)
    after = before if number == pinned else _champion(context, name, number, measurements, candidate)
    gate = None if decision["ref"] is None else store.get(decision["ref"])
    promoted = decision["verdict"]["outcome"] == "promote"
    head = context.manifest.head
    earlier = None if head is None or name not in head.searches else store.find(head.searches[name])
    return DeviceResult(
        device=name,
        runtime=device.runtime,
        threads=device.threads,
        recorded=device.recorded is not None,
        predictor={k: v for k, v in profile.facts.items() if k not in ("latency_ms", "remark")},
        evaluations=search.facts["evaluations"],
        front=[Point(**point) for point in search.facts["front"]],
        previous_front=[]
        if earlier is None or earlier.ref == search.ref
        else [Point(**p) for p in earlier.facts["front"]],
        points=[Point(**point) for point in read_json(search.file(POINTS))],
        hypervolume=search.facts["hypervolume"],
        hypervolume_random=search.facts["hypervolume_random"],
        finalists=[_finalist(context, f, measurements) for f in finalists.facts["finalists"]],
        candidate=decision["candidate"],
        champion_before=before,
        champion_after=after,
        verdict=decision["verdict"],
        gate_error_by_domain=gate.facts["gate_error_by_domain"] if gate is not None and promoted else {},
    )


def _finalist(context: Context, finalist: dict[str, Any], measurements: dict[str, Any]) -> FinalistRecord:
    record = architecture_record(context.space, context.space.architecture(finalist["architecture"]["genes"]))
    return FinalistRecord(
        bundle=finalist["bundle"],
        architecture=record,
        error_inherited=finalist["error_inherited"],
        error=finalist["error"],
        error_by_domain=finalist["error_by_domain"],
        predicted_latency_ms=finalist["predicted_latency_ms"],
        measurement=measurements[finalist["bundle"]],
    )


def _champion(
    context: Context, device: str, number: int, measurements: dict[str, Any], quality: dict[str, Any] | None
) -> ChampionRecord | None:
    if number == 0:
        return None
    entry = journal.read(context.home.journal(context.project), device, number)
    bundle = load_bundle(context.home.bundles(context.project) / entry.bundle[:16], expected=entry.bundle)
    return ChampionRecord(
        number=number,
        bundle=entry.bundle,
        architecture=ArchitectureRecord.model_validate(bundle.extra["architecture_record"]),
        run=entry.run,
        promoted_at=entry.promoted_at,
        model=entry.model,
        error=None if quality is None else quality["error"],
        error_by_domain={} if quality is None else quality["error_by_domain"],
        measurement=measurements.get(entry.bundle),
    )


def _cost(context: Context) -> dict[str, Any]:
    context.account.save()
    steps = [_step(read_json(path)) for path in sorted((context.run_folder / "steps").glob("*.json"))]
    order = {d.name: i for i, d in enumerate(context.config.devices)}
    names = [
        "ingest",
        "validate",
        "supernet",
        "profile",
        "search",
        "finalists",
        "benchmark",
        "gate",
        "promote",
        "hold",
        "report",
    ]
    steps.sort(
        key=lambda s: (
            -1 if s.device is None and s.step != "report" else order.get(s.device or "", 99),
            names.index(s.step),
        )
    )
    return {
        "steps": steps,
        "seconds": round(sum(s.seconds for s in steps), 3),
        "cpu_seconds": round(sum(s.cpu_seconds for s in steps), 3),
    }


def _step(account: dict[str, Any]) -> StepRecord:
    attempts = account["attempts"]
    return StepRecord(
        step=account["step"],
        device=account["device"],
        key=account["ref"],
        reused=account["made"] != account["ref"],
        attempts=len(attempts),
        seconds=round(sum(a["seconds"] for a in attempts), 3),
        cpu_seconds=round(sum(a["cpu_seconds"] for a in attempts), 3),
    )


def _mlflow(context: Context) -> dict[str, str]:
    note = context.run_folder / "mlflow.json"
    found = read_json(note) if note.exists() else {}
    return {"tracking_uri": context.home.tracking_uri, **{k: v for k, v in found.items() if k != "tracking_uri"}}
