"""How the champion of a device moved over the last runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evernas.report.architectures import latency, promoted
from evernas.report.drawing import Tips, draw, figure, line, marks, quantity
from evernas.report.markup import Html, table, tag
from evernas.report.quantities import kilobytes, milliseconds, moment, number, percent
from evernas.result import ChampionRecord, DeviceResult, Result

DRAWN = 30


def history_section(device: DeviceResult, result: Result, earlier: Sequence[Result]) -> Html:
    """Error, latency and size of the champion after each run that decided, oldest first."""
    past = _past(device.device, [*earlier, result])
    if len(past) < 2:
        return tag(
            "p",
            "This is the first run that decided for this device; the next one will show how the champion moved.",
        )
    shown = past[-DRAWN:]
    charts = [
        chart
        for title, write, pick, unit, scale in (
            ("Champion's error", percent, _error, "Error in %", 100.0),
            ("Champion's latency", milliseconds, champion_latency, "Latency in ms", 1.0),
            ("Champion's size", kilobytes, champion_size, "Size in kB", 1.0),
        )
        if (chart := _metric(title, shown, write, pick, unit, scale, device.device)) is not None
    ]
    rows: list[list[object]] = []
    for run, entry in reversed(shown):
        after = entry.champion_after
        rows.append(
            [
                moment(run.started_at),
                "promoted" if promoted(entry) else "held",
                after.architecture.id if after else "none",
                percent(_error(entry)),
                milliseconds(champion_latency(entry)),
                kilobytes(champion_size(entry)),
            ]
        )
    header: list[object] = ["Run", "Decision", "Champion after it", "Error", "Latency", "Size"]
    every = table(f"The last {len(shown)} decisions for {device.device}", header, rows, numeric={3, 4, 5})
    return tag("div", tag("div", *charts, class_="figures three"), tag("details", tag("summary", "As a table"), every))


def last_decision(name: str, runs: Sequence[Result]) -> tuple[Result, DeviceResult] | None:
    """The newest run that decided for a device; None if there is none."""
    past = _past(name, runs)
    return past[-1] if past else None


def _past(name: str, runs: Sequence[Result]) -> list[tuple[Result, DeviceResult]]:
    return [
        (run, entry) for run in runs if run.outcome != "nothing-new" for entry in run.devices if entry.device == name
    ]


def _figures(entry: DeviceResult) -> tuple[ChampionRecord | None, dict[str, Any] | None]:
    """The champion after the run, measured in that run's session: as candidate if it was promoted then."""
    after = entry.champion_after
    if after is None:
        return None, None
    if after.measurement is not None:
        return after, after.measurement
    same = (finalist.measurement for finalist in entry.finalists if finalist.bundle == after.bundle)
    return after, next(same, None)


def _error(entry: DeviceResult) -> float | None:
    after, _ = _figures(entry)
    return number(after.error) if after else None


def champion_latency(entry: DeviceResult) -> float | None:
    """Median latency of the champion after a run, in ms, if that run measured it."""
    return latency(_figures(entry)[1], "median_ms")


def champion_size(entry: DeviceResult) -> float | None:
    """Size of the champion after a run, in KB, if that run measured it."""
    return number((_figures(entry)[1] or {}).get("size_kb"))


def _metric(
    title: str,
    past: list[tuple[Result, DeviceResult]],
    write: Any,
    pick: Any,
    unit: str,
    scale: float,
    device: str,
) -> Html | None:
    tips = Tips()
    rows: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    for place, (run, entry) in enumerate(past, start=1):
        value = pick(entry)
        if value is None:
            continue
        after = entry.champion_after
        arch = after.architecture.id if after else ""
        said = f"{moment(run.started_at)}\n{'promoted' if promoted(entry) else 'held'}: {arch}\n{write(value)}"
        row = {"x": place, "y": scale * value, "order": place, "tip": tips.add(said, arch)}
        rows.append(row)
        (new if promoted(entry) else kept).append(row)
    if not rows:
        return None
    last = len(past)
    x = quantity(
        "x",
        "Decision, newest last",
        domain=[0.7, last + 0.3],
        nice=False,
        axis={"values": list(range(1, last + 1)), "format": "d"},
    )
    low, high = min(row["y"] for row in rows), max(row["y"] for row in rows)
    room = max(0.15 * (high - low), 0.05 * abs(high)) or 1.0
    y = quantity("y", unit, domain=[max(0.0, low - room), high + room])
    layers = [
        line([{k: r[k] for k in ("x", "y", "order")} for r in rows], x, y, "var(--line)", interpolate="step-after"),
        marks(kept, x, y, "var(--orange)", shape="diamond", size=90),
        marks(new, x, y, "var(--green)", shape="triangle-up", size=90),
    ]
    chart = draw(f"{title} over the last {last} runs on {device}", layers, tips, width=300, height=190)
    return figure(title, None, chart, keys=[("triangle green", "newly promoted"), ("diamond orange", "kept")])
