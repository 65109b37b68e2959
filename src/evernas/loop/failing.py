"""The notice of a run that failed: which step and exit code, never its words, which may name people in the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernas.state import Home
from evernas.state.notices import record


def note_failure(home: Home, project: str, run: str, failure: Mapping[str, Any] | None, **about: Any) -> None:
    """Leave word that a run failed. `failure` is what the failed step has left, None where none has said why."""
    if failure is None:
        record(home, project, "run.failed", run, f"Run {run} failed, and no step said why.", {"run": run, **about})
        return
    step, device, code = failure["step"], failure["device"], failure["exit_code"]
    where = "failure.json" if home.bucket is None else "failures/"
    sentence = (
        f"Run {run} failed in {step}{'' if device is None else f' of {device}'} with exit code {code}: {where} of the "
        "run's folder has the step's words, which may name people and are not told here."
    )
    record(home, project, "run.failed", run, sentence, {"run": run, "step": step, "device": device, **about})
