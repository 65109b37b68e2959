"""The conclude step: ends a run that found nothing new and looked at champions again; says what they break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from evernas.bundle import Bundle
from evernas.data import open_snapshot
from evernas.state.notices import record as notice
from evernas.steps.context import Context, Setting
from evernas.steps.freshness import noted, refuse
from evernas.steps.incidents import champion_figures, incidents
from evernas.steps.loading import champion, samples
from evernas.steps.predictions import scores_of
from evernas.steps.recheck import is_due, record_of
from evernas.steps.report import nothing_new
from evernas.steps.robustness import robustness_of


def run(context: Context, rechecked: list[str]) -> str:
    """Reference of the result. `rechecked` are the references of the devices' rechecks, in the config's order.

    DataRefusedError where the data has become too old: what was found of the champions is then told all the same.
    """
    head = context.manifest.head
    assert head is not None, "without an earlier run everything is new"
    said, broken = [], []
    for device in context.config.devices:
        here = replace(context, device_name=device.name)
        record = record_of(here) if is_due(here) else None
        if record is not None:
            found = findings(here, record)
            for sentence in found:
                about = {"device": device.name, "run": context.manifest.run, "found": sentence}
                notice(context.home, context.project, "incident", device.name, sentence, about)
            said += [record["said"], *(sentence for sentence in found if sentence != record["said"])]
            broken += found
    told = " ".join(said)
    refuse(noted(context), told)
    snapshot = open_snapshot(context.snapshots, head.snapshot)
    nothing_new(context, snapshot, told + _tell(context, told, broken))
    return f"conclude/{context.manifest.run}"


def findings(here: Setting, record: dict[str, Any]) -> list[str]:
    """What is to be acted on: that the champion is lost, or what it breaks of its own constraints; a sentence each."""
    if record["fault"] is not None:
        return [record["fault"]]
    holder = champion(here)
    if record["measurement"] is None or holder is None:
        return []
    return incidents(here, holder.entry, record["measurement"], _searched(here, holder.bundle))


def _searched(here: Setting, bundle: Bundle) -> dict[str, float | None]:
    """The champion's figures of the search split of the last completed run, by the names of constraints.

    None of them where there is no such run; the error under the worst corruption only where it is bounded.
    """
    head = here.manifest.head
    validated = None if head is None or head.validated is None else here.store.find(head.validated)
    if validated is None:
        return {}
    search = samples(here, validated, "search")
    scores = scores_of(here, bundle, search.x)[0]
    classes, robustness = len(bundle.labels), None
    if any(constraint.metric == "robust_error" for constraint in here.constraints):
        robustness = robustness_of(here, search, [bundle], known=classes).get(bundle.digest)
    return champion_figures(here, search, classes, scores, robustness)


def _tell(context: Context, found: str, broken: list[str]) -> str:
    """Tell MLflow what the rechecks found; what to add if it cannot be reached, which is no reason to fail."""
    from mlflow.exceptions import MlflowException

    from evernas.registry.telling import tell
    from evernas.registry.tracking import parent_run, set_status

    home, run = context.home, context.manifest.run
    try:
        tell(home, context.project, run)
        tags = {"evernas.outcome": "nothing-new", "evernas.reason": found}
        tags |= {"evernas.incident": " ".join(broken)} if broken else {}
        parent_run(home, context.project, run).tags(tags)
        set_status(home, run, "FINISHED")
    except MlflowException as error:
        return f" MLflow could not be told: {error}"
    return ""
