"""The hold step: the champion stays, and MLflow and the outbox are told why; the report step sees to its aliases."""

from __future__ import annotations

from typing import Any

from evernas.state.notices import record
from evernas.steps.context import Context
from evernas.steps.decision import read_decision
from evernas.steps.gate import fresh_judges


def run(context: Context) -> str:
    """Reference of the decision."""
    device = context.device.name
    decision = read_decision(context)
    incident = " ".join(decision["incidents"])
    with context.tracked() as tracked:
        tracked.tags(
            {"evernas.reason": decision["verdict"]["sentence"], **({"evernas.incident": incident} if incident else {})}
        )
    number = context.journal.head_number(device)
    _notice(context, decision, number)
    ref = f"hold/{device}-{number}"
    context.account.made(ref)
    context.progress.end(
        f"the champion of {device} stays" if number else f"{device} stays without a champion", reused=False
    )
    return ref


def _notice(context: Context, decision: dict[str, Any], number: int) -> None:
    """Leave word of the hold, of what the champion breaks, and once for a champion that no decision is left."""
    device, verdict, run = context.device.name, decision["verdict"], context.manifest.run
    about = {"device": device, "run": run}
    record(context.home, context.project, "hold", device, verdict["sentence"], about)
    for sentence in decision["incidents"]:
        record(context.home, context.project, "incident", device, sentence, {**about, "found": sentence})
    if verdict["left"] == 0:
        sentence = f"No decision is left on the gate data of {device}: {fresh_judges(context.config)}."
        record(
            context.home, context.project, "gate-budget.spent", device, sentence, {"device": device, "entry": number}
        )
