"""The report step: gathers what the run found and decided into result.json and the report, and leaves the head."""

from __future__ import annotations

from evernas.data import Snapshot, open_snapshot
from evernas.registry.models import project_alias
from evernas.result import DeviceResult, Result
from evernas.state import Head
from evernas.state.files import read_json, write_bytes, write_json
from evernas.state.runs import completed_runs, note_end, now
from evernas.state.sharing import fetched, share
from evernas.steps.context import Context
from evernas.steps.decision import is_open, read_decision
from evernas.steps.departing import drifting, of_device, standing, to_profile_again
from evernas.steps.gathering import (
    device_result,
    mlflow_record,
    run_cost,
    searched_reference,
    snapshot_record,
    step_reference,
    supernet_record,
)
from evernas.steps.ingest import releases, run_key
from evernas.steps.pointing import point_latest


def run(context: Context, ingested: str, validated: str, trained: str, decisions: list[str]) -> str:
    """Reference of the report. `decisions` are those of the devices, in the config's order."""
    from evernas.registry.tracking import parent_run

    # First of all: result.json says where MLflow has the run.
    parent_run(context.home, context.project, context.manifest.run)
    store = context.store
    data = store.get(validated)
    supernet = store.get(trained)
    judges = sorted(data.facts["splits"]["gate"])
    devices = [device_result(context, name.name, judges) for name in context.config.devices]
    promoted = [d.device for d, decision in zip(devices, decisions, strict=True) if decision.startswith("promote/")]
    context.account.made(f"report/{context.manifest.run}")
    context.account.save()
    result = Result(
        run=context.manifest.run,
        project=context.project,
        outcome="promoted" if promoted else "held",
        reason=" ".join(_said(d, decision) for d, decision in zip(devices, decisions, strict=True)),
        started_at=context.manifest.started_at,
        ended_at=now(),
        config=context.manifest.config_digest,
        snapshot=snapshot_record(context, store.get(ingested), data),
        supernet=supernet_record(context, supernet),
        devices=devices,
        **run_cost(context),
        mlflow=mlflow_record(context),
    )
    snapshot = open_snapshot(context.snapshots, data.facts["snapshot"])
    head = context.manifest.head
    _publish(
        context,
        result,
        snapshot,
        Head(
            run=context.manifest.run,
            key=_head_key(context, snapshot),
            snapshot=snapshot.id,
            supernet=trained,
            validated=validated,
            searches={d.name: searched_reference(context, d.name) for d in context.config.devices},
            measured=_measured(context, devices),
            stale=to_profile_again(devices),
            departed=standing(devices, {} if head is None else head.departed),
            drifted=drifting(devices),
        ),
    )
    context.progress.end(str(context.run_folder / "report.html"), reused=False)
    return f"report/{context.manifest.run}"


def _measured(context: Context, devices: list[DeviceResult]) -> dict[str, str]:
    """When the champion of each device was measured; devices where it was not, or was refused, are left out."""
    found = {}
    for device in devices:
        measurement = None if device.champion_after is None else device.champion_after.measurement
        if measurement is not None and measurement["refused"] is None:
            benchmark = context.store.get(step_reference(context, "benchmark", device.device))
            found[device.device] = benchmark.facts["measured_at"]
    return found


def _said(device: DeviceResult, decision: str) -> str:
    awaits = "it awaits approval, `evernas promote` spends it. " if decision.startswith("awaiting/") else ""
    # A champion that is lost is the verdict's own sentence.
    broken = [incident for incident in device.incidents if incident not in str(device.verdict["reasons"])]
    return " ".join([f"{device.device}: {awaits}{device.verdict['sentence']}", *broken])


def _head_key(context: Context, snapshot: Snapshot) -> str:
    """What the next run must have in common with this one to have nothing to do; empty if it always has.

    A device that could not be measured leaves its decision open, and the next run takes it up.
    """
    if any(is_open(device, read_decision(context, device.name)["verdict"]) for device in context.config.devices):
        return ""
    return run_key(context.config, snapshot.id, _journal_after(context), releases(context))


def _journal_after(context: Context) -> dict[str, int]:
    """The journal's numbers that this run knows of: what it began with, and its own promotions.

    An entry of somebody else is left out, so that the next run has something to do: to compare with it.
    """
    pinned = context.manifest.journal
    after = dict(pinned)
    for name in pinned:
        newest = context.journal.head(name)
        if newest is not None and newest.run == context.manifest.run:
            after[name] = newest.number
    return after


def nothing_new(
    context: Context, snapshot: Snapshot, more: str = "", because: str = "the same data, config and steps"
) -> None:
    """The short result of a run that had nothing to do, and why; `more` is what it did all the same."""
    head = context.manifest.head
    assert head is not None, "without an earlier run everything is new"
    context.account.made(f"{context.step}/{head.snapshot[:16]}")
    context.account.save()
    done = more or "Nothing was done; the champions stay."
    sentence = f"Nothing new since run {head.run}: {because.removesuffix('.')}. {done}"
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
        **run_cost(context),
        mlflow=mlflow_record(context),
    )
    _publish(context, result, snapshot, None)
    context.progress.end(f"nothing new{_repair_aliases(context)}", reused=False)


def _repair_aliases(context: Context) -> str:
    """Put MLflow's aliases right; what to add to the remark if it cannot be reached, which is no reason to fail.

    Where the run does not decide itself it may not move them either: the next decision puts them right.
    """
    if context.home.bucket is not None or not any(
        context.journal.heads(device.name for device in context.config.devices).values()
    ):
        return ""
    from mlflow.exceptions import MlflowException

    try:
        for device in context.config.devices:
            project_alias(context.home, context.project, device.name, context.journal)
    except MlflowException as error:
        return f"; MLflow's aliases could not be looked at: {error}"
    return ""


def _publish(context: Context, result: Result, snapshot: Snapshot, head: Head | None) -> None:
    """Everything that makes the run count, under the ownership of this run.

    In this order: what result.json speaks of, result.json, what points to it, and last the record of what was
    consumed; until that is there the run is unfinished, and is gone on with.
    """
    from evernas.report import render_report

    earlier = [
        Result.model_validate(read_json(fetched(context.home, context.home.run(run) / "result.json")))
        for run in completed_runs(context.home, context.project)
        if run != context.manifest.run
    ]
    html = render_report(result, [r for r in earlier if r.outcome in ("promoted", "held")])
    home, project = context.home, context.project
    write_bytes(context.run_folder / "report.html", html.encode())
    share(home, context.run_folder / "report.html")
    if head is not None:
        _log(context, result)
    consumed = {"version": 1, "run": context.manifest.run, "objects": snapshot.manifest.digests}
    with context.guard.publishing():
        if head is not None:
            head.write(home, project)
        write_json(context.run_folder / "result.json", result.model_dump(mode="json"))
        share(home, context.run_folder / "result.json")
        note_end(home, project, context.manifest, result.outcome)
        point_latest(home, context.manifest.run)
        write_json(home.consumed(project), consumed)
        share(home, home.consumed(project))


def _log(context: Context, result: Result) -> None:
    from evernas.registry.telling import fetch_untold, tell
    from evernas.registry.tracking import parent_run, set_status, step_run

    fetch_untold(context.home, context.manifest.run)
    tell(context.home, context.project, context.manifest.run)
    for name in [device.name for device in context.config.devices]:
        # Here, and not in each step that held: it is spared the seconds that MLflow takes to start.
        project_alias(context.home, context.project, name, context.journal)
    tracked = parent_run(context.home, context.project, context.manifest.run)
    tracked.metrics({"seconds": result.seconds, "cpu_seconds": result.cpu_seconds})
    tracked.tags(
        {
            "evernas.config": result.config,
            "evernas.snapshot": "" if result.snapshot is None else result.snapshot.id,
            "evernas.supernet": "" if result.supernet is None else result.supernet.digest,
        }
    )
    if result.supernet is not None and result.supernet.ranking is not None:
        ranking = result.supernet.ranking
        known = {"pairs": float(ranking.compared), "tau": ranking.tau, "low": ranking.low, "high": ranking.high}
        tracked.metrics({f"ranking.{name}": value for name, value in known.items()})
    for device in result.devices:
        best = min((f.error for f in device.finalists), default=None)
        tracked.metrics({f"{device.device}.front": float(len(device.front)), f"{device.device}.lowest_error": best})
        departures = of_device(device)
        tracked.metrics(
            {f"{device.device}.departure.{cost}": each["since_profile"] for cost, each in departures.items()}
        )
        stale = [cost for cost, each in departures.items() if each["stale"]]
        if stale:
            tracked.tags({f"evernas.stale.{device.device}": ", ".join(stale)})
        if device.second_round is not None:
            tracked.tags({f"evernas.second_round.{device.device}": device.second_round.sentence})
        tracked.value([point.model_dump() for point in device.front], f"front-{device.device}.json")
    for step in result.steps:
        name = step.step if step.device is None else f"{step.step}-{step.device}"
        tracked.tags({f"evernas.step.{name}": step.key + (" (re-used)" if step.reused else "")})
        if step.reused:
            # Here and not in the step, which is spared the seconds that MLflow takes to start.
            run = context.manifest.run
            with step_run(context.home, context.project, run, step.step, step.device, step.key) as reused:
                reused.tags({"evernas.reused_from": context.store.get(step.key).run})
    tracked.tags({"evernas.outcome": result.outcome, "evernas.reason": result.reason})
    tracked.value(result.model_dump(mode="json"), "result.json")
    tracked.file(context.run_folder / "report.html")
    tracked.value(context.config.model_dump(mode="json"), "config.json")
    set_status(context.home, context.manifest.run, "FINISHED")
