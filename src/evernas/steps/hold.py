"""The hold step: the champion stays, and MLflow is told why; the report step sees to its aliases."""

from __future__ import annotations

from evernas.steps.context import Context
from evernas.steps.decision import read_decision


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
    ref = f"hold/{device}-{number}"
    context.account.made(ref)
    context.progress.end(
        f"the champion of {device} stays" if number else f"{device} stays without a champion", reused=False
    )
    return ref
