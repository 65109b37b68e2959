"""The result of a run that its budget ended: said in result.json, in the report, to MLflow and to the outbox."""

from __future__ import annotations

from evernas.budget import BudgetSpentError
from evernas.result import Result
from evernas.state.files import read_json, write_bytes, write_json
from evernas.state.notices import record
from evernas.state.runs import STOPPED, completed_runs, note_end, now
from evernas.state.sharing import fetched, share
from evernas.steps.context import Context
from evernas.steps.gathering import mlflow_record, run_cost
from evernas.steps.pointing import point_latest


def conclude(context: Context, spent: BudgetSpentError) -> None:
    """Leave the result of a run that has stopped. What was taken in counts as not taken in: the next run goes on."""
    promoted = [
        device.name
        for device in context.config.devices
        if (head := context.journal.head(device.name)) is not None and head.run == context.manifest.run
    ]
    stay = f"{', '.join(promoted)} had been promoted before; all other" if promoted else "The"
    run = context.manifest.run
    context.account.made(f"{STOPPED}/{run}")
    context.account.save()
    result = Result(
        run=run,
        project=context.project,
        outcome="stopped",
        reason=f"{spent} The run stopped there. {stay} champions stay.",
        started_at=context.manifest.started_at,
        ended_at=now(),
        config=context.manifest.config_digest,
        snapshot=None,
        supernet=None,
        devices=[],
        **run_cost(context),
        mlflow=mlflow_record(context),
    )
    more = _tell(context, result)
    # Before the result, which ends the run for good: a run that is killed between the two says it again, under one id.
    record(context.home, context.project, "budget.spent", run, result.reason, {"run": run, "of_month": spent.of_month})
    _publish(context, result, more)


def _tell(context: Context, result: Result) -> str:
    """Tell MLflow; what to add to the remark if it cannot be reached, which is no reason to fail."""
    from mlflow.exceptions import MlflowException

    from evernas.registry.telling import fetch_untold, tell
    from evernas.registry.tracking import parent_run, set_status

    try:
        fetch_untold(context.home, result.run)
        tell(context.home, context.project, result.run)
        tracked = parent_run(context.home, context.project, result.run)
        tracked.metrics({"seconds": result.seconds, "cpu_seconds": result.cpu_seconds})
        tracked.tags({"evernas.outcome": result.outcome, "evernas.reason": result.reason, "evernas.budget": "spent"})
        set_status(context.home, result.run, "FINISHED")
    except MlflowException as error:
        return f"; MLflow could not be told: {error}"
    return ""


def _publish(context: Context, result: Result, more: str) -> None:
    from evernas.report import render_report

    home, folder = context.home, context.run_folder
    earlier = [
        Result.model_validate(read_json(fetched(home, home.run(run) / "result.json")))
        for run in completed_runs(home, context.project)
        if run != result.run
    ]
    html = render_report(result, [one for one in earlier if one.outcome in ("promoted", "held")])
    write_bytes(folder / "report.html", html.encode())
    share(home, folder / "report.html")
    with context.guard.publishing():
        write_json(folder / "result.json", result.model_dump(mode="json"))
        share(home, folder / "result.json")
        note_end(home, context.project, context.manifest, result.outcome)
        point_latest(home, result.run)
    context.progress.end(f"stopped{more}", reused=False)
