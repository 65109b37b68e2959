"""The decision of one device in one run, as the gate left it for promote, hold and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.config import DeviceConfig
from evernas.state.files import read_json
from evernas.steps.context import Context

MEASURED = "measured"


def is_open(device: DeviceConfig, verdict: dict[str, Any]) -> bool:
    """Whether a verdict waits for a better measurement: the device could not be measured this time.

    Recorded measurements are as they are: what the file lacks today it lacks until it is another file.
    """
    unmeasured = any(reason["rule"] == MEASURED and not reason["passed"] for reason in verdict["reasons"])
    return unmeasured and device.recorded is None


def decision_path(context: Context, device: str | None = None) -> Path:
    """Where the run keeps what the gate decided for a device; this branch's if none is named."""
    return context.run_folder / "decisions" / f"{device or context.device.name}.json"


def read_decision(context: Context, device: str | None = None) -> dict[str, Any]:
    """Candidate, verdict and reference of a device's gate step."""
    decision: dict[str, Any] = read_json(decision_path(context, device))
    return decision
