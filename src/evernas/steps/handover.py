"""The handover step: where a run ends that does not decide itself; and what it leaves for whoever does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from evernas.errors import UsageError
from evernas.state import Home
from evernas.state.sharing import storage_of
from evernas.steps.context import Context
from evernas.steps.gathering import step_reference
from evernas.storage import Storage

HANDOVER_VERSION = 1


@dataclass(frozen=True)
class HandOver:
    """References of what a run has made, the finalists and their measurements by device."""

    ingested: str
    validated: str
    trained: str
    finalists: dict[str, str]
    measured: dict[str, str]


def run(context: Context, ingested: str, validated: str, trained: str, measured: Sequence[str]) -> str:
    """Reference of what was handed over. `measured` are the references of the devices, in the config's order."""
    names = [device.name for device in context.config.devices]
    finalists = {name: step_reference(context, "finalists", name) for name in names}
    made = HandOver(ingested, validated, trained, finalists, dict(zip(names, measured, strict=True)))
    document = {"version": HANDOVER_VERSION, "run": context.manifest.run, **asdict(made)}
    # Before the document: once it is there, whoever decides may begin.
    context.account.made(f"handover/{context.manifest.run}")
    context.account.save()
    with context.guard.publishing():
        _storage(context.home, context.project).write(_key(context.manifest.run), json.dumps(document).encode())
    context.progress.end(f"handed over: {', '.join(names)}", reused=False)
    return f"handover/{context.manifest.run}"


def handed_over(home: Home, project: str, run: str) -> HandOver:
    """What a run has handed over. UsageError if there is nothing of it that waits, or another evernas wrote it."""
    try:
        document = json.loads(_storage(home, project).read(_key(run)))
    except KeyError:
        raise UsageError(
            f"Run {run} has handed nothing over that waits: it is decided already, or it has not come so far."
        ) from None
    if document.pop("version", None) != HANDOVER_VERSION or document.pop("run", None) != run:
        raise UsageError(f"What run {run} has handed over was written by another version of evernas: run again.")
    return HandOver(**document)


def forget(home: Home, project: str, run: str) -> None:
    """Take away what a run has handed over: it is decided, or void."""
    _storage(home, project).delete(_key(run))


def _storage(home: Home, project: str) -> Storage:
    return storage_of(home, home.handed_over(project), kept=False)


def _key(run: str) -> str:
    return f"{run}.json"
