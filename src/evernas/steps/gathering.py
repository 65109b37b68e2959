"""Gathering what a run's steps left into the typed records of result.json; only the table of rankings is added to."""

from __future__ import annotations

from typing import Any

from evernas.config_cluster import DECIDING, STEPS
from evernas.registry.entries import Entry
from evernas.registry.tracking import read_note, without_password
from evernas.result import (
    ArchitectureRecord,
    ChampionRecord,
    DeviceResult,
    FinalistRecord,
    Point,
    ProbeRecord,
    RoundRecord,
    SnapshotRecord,
    StepRecord,
    SupernetRecord,
)
from evernas.state import Done
from evernas.state.files import read_json
from evernas.state.sharing import fetched, fetched_folder
from evernas.steps.accounting import record_path
from evernas.steps.architectures import architecture_record
from evernas.steps.context import Context
from evernas.steps.decision import read_decision
from evernas.steps.departing import LATENCY, departures_of, found_before
from evernas.steps.drift import record_of
from evernas.steps.launch import LAST_STEPS
from evernas.steps.loading import Champion
from evernas.steps.numbering import named
from evernas.steps.profile import costs_of
from evernas.steps.ranking import ranking_record
from evernas.steps.search import POINTS


def step_reference(context: Context, step: str, device: str) -> str:
    """The reference of a device's step in this run."""
    ref: str = read_json(fetched(context.home, record_path(context.run_folder, step, device)))["ref"]
    return ref


def searched_reference(context: Context, device: str) -> str:
    """The reference of a device's search in this run, after the last round that its pipeline had."""
    found: str = context.store.get(step_reference(context, "finalists", device)).facts["search"]
    return found


def snapshot_record(context: Context, ingested: Done, validated: Done) -> SnapshotRecord:
    """The data of the run, as validation left it."""
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
        rows_released=checked.get("rows_released", 0),
        quarantine=checked["quarantine"],
        quarantine_examples=checked["quarantine_examples"],
        kept=checked["kept_digest"],
        splits=checked["splits"],
        classes=checked["classes"],
        drift=record_of(context),
        domain_noun=context.config.data.domain_noun,
        split_by=context.config.data.splits.by,
        strata=checked.get("strata"),
    )


def supernet_record(context: Context, done: Done) -> SupernetRecord:
    """The supernet of the run, and what its finalists add to what is known of its ranking."""
    facts = done.facts
    names = [device.name for device in context.config.devices]
    finalists = [context.store.get(step_reference(context, "finalists", name)) for name in names]
    return SupernetRecord(
        digest=facts["digest"],
        parent=facts["parent"],
        steps=facts["steps"],
        curve=facts["curve"],
        space=context.space.id,
        space_size=str(context.space.size()),
        warm_starts=facts.get("warm_starts"),
        carried=facts.get("carried"),
        lost=facts.get("lost"),
        incomparable=facts.get("incomparable"),
        diverged=facts.get("diverged"),
        ranking=ranking_record(context, done, finalists),
    )


def device_result(context: Context, name: str, judges: list[str]) -> DeviceResult:
    """What the run found and decided for one device; `judges` are the gate split's domains."""
    store, device = context.store, context.config.device(name)
    search = store.get(searched_reference(context, name))
    finalists, benchmark, profile = (
        store.get(step_reference(context, step, name)) for step in ("finalists", "benchmark", "profile")
    )
    decision = read_decision(context, name)
    measurements = benchmark.facts["measurements"]
    pinned = context.manifest.journal.get(name, 0)
    number = context.journal.head_number(name)
    before = _champion(context, name, pinned, measurements, decision["champion_search"])
    candidate = next((f for f in finalists.facts["finalists"] if f["bundle"] == decision["candidate"]), None)
    after = before if number == pinned else _champion(context, name, number, measurements, candidate)
    gate = None if decision["ref"] is None else store.get(decision["ref"])
    promoted = decision["verdict"]["outcome"] == "promote"
    head = context.manifest.head
    earlier = None if head is None or name not in head.searches else store.find(head.searches[name])
    departures = {
        cost: departure.to_json()
        for cost, departure in departures_of(
            store,
            finalists,
            measurements,
            costs_of(context.config),
            None if head is None else head.departed.get(name),
            found_before(search, earlier, None if head is None else head.drifted.get(name)),
            device.searched_precision,
        ).items()
    }
    return DeviceResult(
        device=name,
        runtime=device.runtime,
        threads=device.threads,
        searched_precision=device.searched_precision,
        recorded=device.recorded is not None,
        predictor={k: v for k, v in profile.facts.items() if k not in ("latency_ms", "more", "remark")},
        more_predictors={
            cost: {name: value for name, value in found.items() if name != "measured"}
            for cost, found in profile.facts.get("more", {}).items()
        },
        second_round=_round(context, search),
        departure=departures.pop(LATENCY, None),
        more_departures=departures,
        evaluations=search.facts["evaluations"],
        translated=search.inputs["start"].get("translated"),
        front=[Point(**point) for point in search.facts["front"]],
        previous_front=[]
        if earlier is None or earlier.ref == search.ref
        else [Point(**p) for p in earlier.facts["front"]],
        points=[Point(**point) for point in read_json(search.file(POINTS))],
        hypervolume=search.facts["hypervolume"],
        hypervolume_random=search.facts["hypervolume_random"],
        finalists=[_finalist(context, f, measurements) for f in finalists.facts["finalists"]],
        max_robust_error=min(
            (c.max for c in context.config.constraints if c.metric == "robust_error" and c.device in (None, name)),
            default=None,
        ),
        candidate=decision["candidate"],
        champion_before=before,
        champion_after=after,
        # What was signed has numbers in their place.
        verdict=named(decision["verdict"], judges),
        incidents=decision["incidents"],
        gate_error_by_domain=gate.facts["gate_error_by_domain"] if gate is not None and promoted else {},
        gate_robustness=gate.facts.get("gate_robustness") if gate is not None and promoted else None,
    )


def _round(context: Context, search: Done) -> RoundRecord | None:
    """What the device was asked between the rounds; None where there was one."""
    if "probe" not in search.inputs:
        return None
    probe = context.store.get(search.inputs["probe"]).facts
    return RoundRecord(
        sentence=search.facts["round"]["sentence"],
        searched_on=search.facts["round"]["searched_on"],
        evaluations=search.facts["round"]["evaluations"],
        searched_by=probe["searched_by"],
        probes={cost: ProbeRecord(**found) for cost, found in probe["costs"].items()},
        predictors=probe["predictors"],
        nothing=probe["nothing"],
        unmeasured=probe["unmeasured"],
    )


def _finalist(context: Context, finalist: dict[str, Any], measurements: dict[str, Any]) -> FinalistRecord:
    record = architecture_record(
        context.space, context.space.architecture(finalist["architecture"]["genes"]), finalist["precision"]
    )
    return FinalistRecord(
        bundle=finalist["bundle"],
        architecture=record,
        error_inherited=finalist["error_inherited"],
        error=finalist["error"],
        error_by_domain=finalist["error_by_domain"],
        robustness=finalist["robustness"],
        predicted_latency_ms=finalist["predicted_latency_ms"],
        predicted=finalist.get("predicted", {}),
        measurement=measurements[finalist["bundle"]],
    )


def _champion(
    context: Context, device: str, number: int, measurements: dict[str, Any], quality: dict[str, Any] | None
) -> ChampionRecord | None:
    if number == 0:
        return None
    entry = context.journal.read(device, number)
    return ChampionRecord(
        number=number,
        bundle=entry.bundle,
        architecture=_architecture(context, entry),
        run=entry.run,
        promoted_at=entry.promoted_at,
        model=entry.model,
        error=None if quality is None else quality["error"],
        error_by_domain={} if quality is None else quality["error_by_domain"],
        robustness=None if quality is None else quality.get("robustness"),
        measurement=measurements.get(entry.bundle),
    )


def _architecture(context: Context, entry: Entry) -> ArchitectureRecord:
    """What is known of a champion's architecture; little where its files cannot be loaded."""
    holder = Champion(entry, context.home, context.project)
    if holder.fault is None:
        return ArchitectureRecord.model_validate(holder.bundle.extra["architecture_record"])
    return ArchitectureRecord(
        id=f"lost-{entry.bundle[:8]}", genes=[], choices={}, blocks=[], macs=None, parameters=None
    )


def run_cost(context: Context) -> dict[str, Any]:
    """What each step cost so far, and the sums."""
    records = fetched_folder(context.home, context.run_folder / "steps")
    steps = [_step(read_json(path)) for path in sorted(records.glob("*.json"))]
    order = {d.name: i for i, d in enumerate(context.config.devices)}
    steps.sort(
        key=lambda s: (
            -1 if s.device is None and s.step not in LAST_STEPS else order.get(s.device or "", 99),
            (*STEPS, *DECIDING).index(s.step),
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
        reused=account["made"] != account["ref"] and not account.get("stopped"),
        attempts=len(attempts),
        seconds=round(sum(a["seconds"] for a in attempts), 3),
        cpu_seconds=round(sum(a["cpu_seconds"] for a in attempts), 3),
        gpu_seconds=round(sum(a.get("gpu_seconds", 0.0) for a in attempts), 3),
        evaluations=sum(a.get("evaluations", 0) for a in attempts),
    )


def mlflow_record(context: Context) -> dict[str, str]:
    """Where MLflow has the run."""
    note = read_note(context.home, context.manifest.run) or {}
    return {
        "tracking_uri": without_password(context.home.tracking_uri),
        **{name: note[name] for name in ("run_id", "experiment_id") if name in note},
    }
