"""What serving costs beside latency at batch 1: cold start in its parts, and concurrent load, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernas.report.architectures import Role, by_importance
from evernas.report.markup import Html, table
from evernas.report.quantities import MISSING, counted, milliseconds, number, thousands
from evernas.result import DeviceResult

PARTS = {
    "total_ms": "In all",
    "interpreter_ms": "Python",
    "import_ms": "Import",
    "load_ms": "Load",
    "first_ms": "First answer",
}


def cold_start_table(device: DeviceResult) -> Html | None:
    """From the start of a process to its first answer, median and spread; None where it was not measured."""
    measured = _having(device, "cold_start")
    if not measured:
        return None
    starts = len(measured[0][1]["total_ms"]["takes"])
    return table(
        f"Cold start on {device.device}: median over {counted(starts, 'fresh process', 'fresh processes')} ± median "
        "absolute deviation",
        ["Network", *PARTS.values()],
        [[_name(role), *(_spread(found.get(part)) for part in PARTS)] for role, found in measured],
        numeric=set(range(1, len(PARTS) + 1)),
    )


def load_table(device: DeviceResult) -> Html | None:
    """Answers a second and 95th percentile by number of clients on one session; None where it was not measured."""
    measured = _having(device, "load")
    if not measured:
        return None
    clients = [figures["clients"] for figures in measured[0][1]]
    header = [counted(count, "client") for count in clients]
    return table(
        f"Concurrent load on {device.device}: answers a second on one session (95th percentile)",
        ["Network", *header],
        [[_name(role), *(_sustained(figures) for figures in found)] for role, found in measured],
        numeric=set(range(1, len(header) + 1)),
    )


def _having(device: DeviceResult, part: str) -> list[tuple[Role, Any]]:
    found = [(role, (role.measurement or {}).get(part)) for role in by_importance(device)]
    return [(role, figures) for role, figures in found if figures]


def _name(role: Role) -> str:
    return f"{role.architecture.id} ({role.title})"


def _spread(spread: Mapping[str, Any] | None) -> str:
    median, mad = number((spread or {}).get("median")), number((spread or {}).get("mad"))
    return MISSING if median is None or mad is None else f"{milliseconds(median)} ± {milliseconds(mad)}"


def _sustained(figures: Mapping[str, Any]) -> str:
    answers = number(figures["throughput"]["median"])
    if answers is None:
        return MISSING
    return f"{thousands(round(answers))} ({milliseconds(number(figures['p95_ms']['median']))})"
