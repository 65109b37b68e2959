"""A run that its budget ends: where it stopped, and what each of its later steps returns."""

from __future__ import annotations

from evernas.budget import BudgetSpentError
from evernas.state import Home
from evernas.state.files import read_json, write_json
from evernas.state.runs import STOPPED
from evernas.state.sharing import fetched, share
from evernas.steps.context import Context

# Steps that decide or end a run work on when the budget is spent: they cost next to nothing.
ENDING = ("promote", "hold", "report", "conclude")


def stop(context: Context, spent: BudgetSpentError) -> None:
    """Note that the run has stopped at this step, for the steps after it."""
    path = context.run_folder / f"{STOPPED}.json"
    document = {
        "version": 1,
        "sentence": str(spent),
        "step": context.step,
        "device": context.device_name,
        "of_month": spent.of_month,
    }
    context.account.stopped()
    with context.guard.publishing():
        write_json(path, document)
        share(context.home, path)
    context.progress.end(f"stopped: {spent}", reused=False)


def stopped(home: Home, run: str) -> BudgetSpentError | None:
    """Why the run has stopped; None if it has not."""
    path = fetched(home, home.run(run) / f"{STOPPED}.json")
    if not path.exists():
        return None
    document = read_json(path)
    return BudgetSpentError(document["sentence"], document["of_month"])


def passed(context: Context) -> str:
    """What a step returns to the pipeline once its run has stopped: nothing after it has anything to work on."""
    if context.step == "gate":
        return "hold"
    context.account.made(f"{STOPPED}/{context.manifest.run}")
    return f"{STOPPED}/{context.device_name or context.manifest.run}"
