"""The conclude step: ends a run that found nothing new and looked at champions again."""

from __future__ import annotations

from dataclasses import replace

from evernas.data import open_snapshot
from evernas.steps.context import Context
from evernas.steps.recheck import is_due, record_of
from evernas.steps.report import nothing_new


def run(context: Context, rechecked: list[str]) -> str:
    """Reference of the result. `rechecked` are the references of the devices' rechecks, in the config's order."""
    head = context.manifest.head
    assert head is not None, "without an earlier run everything is new"
    said = []
    for device in context.config.devices:
        here = replace(context, device_name=device.name)
        record = record_of(here) if is_due(here) else None
        if record is not None:
            said.append(record["said"])
    found = " ".join(said)
    snapshot = open_snapshot(context.snapshots, head.snapshot)
    nothing_new(context, snapshot, found + _tell(context, found))
    return f"conclude/{context.manifest.run}"


def _tell(context: Context, found: str) -> str:
    """Tell MLflow what the rechecks found; what to add if it cannot be reached, which is no reason to fail."""
    from mlflow.exceptions import MlflowException

    from evernas.registry.telling import tell
    from evernas.registry.tracking import parent_run, set_status

    home, run = context.home, context.manifest.run
    try:
        tell(home, context.project, run)
        tags = {"evernas.outcome": "nothing-new", "evernas.reason": found}
        parent_run(home, context.project, run).tags(tags)
        set_status(home, run, "FINISHED")
    except MlflowException as error:
        return f" MLflow could not be told: {error}"
    return ""
