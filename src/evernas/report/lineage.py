"""Where everything came from: digests of data, weights, space, config and networks, and the machine that measured."""

from __future__ import annotations

from typing import Any

from evernas.report.markup import Html, table, tag
from evernas.report.quantities import DASH, MISSING, counted, moment
from evernas.result import DeviceResult, Result


def lineage_section(result: Result) -> Html:
    """Digests, then the environment of each device."""
    rows: list[list[object]] = [
        ["Run", tag("code", result.run)],
        ["Began and ended", f"{moment(result.started_at)} {DASH} {moment(result.ended_at)}"],
        ["Config", tag("code", result.config)],
    ]
    if result.snapshot is not None:
        rows.append(["Snapshot", tag("code", result.snapshot.id)])
        rows.append(["Snapshot before", tag("code", result.snapshot.parent or "none")])
        rows.append(["Rows kept", tag("code", result.snapshot.kept)])
    if result.supernet is not None:
        rows.append(["Supernet", tag("code", result.supernet.digest)])
        rows.append(["Supernet before", tag("code", result.supernet.parent or "none")])
        rows.append(["Search space", tag("code", result.supernet.space)])
    for device in result.devices:
        rows.extend(_champions(device))
    rows.extend([f"MLflow {name}", tag("code", value)] for name, value in sorted(result.mlflow.items()))
    return tag(
        "div",
        table("Digests name exactly what this run read and made", ["What", "Digest or place"], rows),
        *(_environment(device) for device in result.devices),
    )


def _champions(device: DeviceResult) -> list[list[object]]:
    rows: list[list[object]] = []
    for name, record in (("before", device.champion_before), ("after", device.champion_after)):
        if record is None:
            rows.append([f"Champion {name}, {device.device}", "none"])
            continue
        said = [
            f"number {record.number}, {record.model}, promoted {moment(record.promoted_at)} by run {record.run}",
            tag("br"),
        ]
        rows.append([f"Champion {name}, {device.device}", tag("span", *said, tag("code", record.bundle))])
    if device.candidate:
        rows.append([f"Candidate, {device.device}", tag("code", device.candidate)])
    return rows


def _environment(device: DeviceResult) -> Html | None:
    measured = [f.measurement for f in device.finalists] + [
        device.champion_before.measurement if device.champion_before else None
    ]
    found: dict[str, Any] = next((m["environment"] for m in measured if m and m.get("environment")), {})
    if not found:
        return None
    rows: list[list[object]] = [
        [key.replace("_", " "), MISSING if value is None else str(value)] for key, value in found.items()
    ]
    return table(
        f"Environment of {device.device}, {device.runtime}, {counted(device.threads, 'thread')}",
        ["What", "Value"],
        rows,
    )
