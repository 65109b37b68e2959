"""Two runs beside one another as one page: what differed going in, and what came out; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernas.report.architectures import by_importance, latency, promoted
from evernas.report.costs import LATENCY, SIZE, Cost, also_known
from evernas.report.decision import spoken
from evernas.report.drawing import Tips, draw, figure, line, marks, quantity
from evernas.report.front import beaten_by_none, sound
from evernas.report.markup import Html, join, table, tag
from evernas.report.page import OUTCOMES, document
from evernas.report.quantities import (
    DASH,
    change,
    counted,
    kilobytes,
    milliseconds,
    moment,
    percent,
    seconds,
    shortened,
)
from evernas.result import DeviceResult, Point, Result

MISSING = object()
LOOKS = (("var(--past)", False, "ring past"), ("var(--blue)", True, "dot blue"))


def render_comparison(one: Result, other: Result, configs: tuple[Mapping[str, Any], Mapping[str, Any]]) -> str:
    """The page of two runs, the earlier first, as HTML that needs nothing else; `configs` are what they ran with."""
    if other.started_at < one.started_at:
        one, other, configs = other, one, (configs[1], configs[0])
    names = [device.device for device in one.devices]
    names += [device.device for device in other.devices if device.device not in names]
    body = join(
        tag(
            "header",
            tag("p", tag("b", other.project), " · evernas", class_="eyebrow"),
            tag("h1", "Two runs beside one another."),
            tag(
                "p", f"{one.run} · {moment(one.started_at)} and {other.run} · {moment(other.started_at)}", class_="note"
            ),
        ),
        tag("section", tag("h2", "The runs"), _runs(one, other), id="runs"),
        tag("section", tag("h2", "Settings"), _settings(*configs), id="settings"),
        *(_device(name, one, other) for name in names),
    )
    return document(f"{one.run} and {other.run} · evernas", body, skip="To the runs")


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The keys of two documents whose values differ, dotted and sorted, with both values; None where there is none."""
    before, after = _flat(one), _flat(other)
    return [
        (key, before.get(key), after.get(key))
        for key in sorted({*before, *after})
        if before.get(key, MISSING) != after.get(key, MISSING)
    ]


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def _runs(one: Result, other: Result) -> Html:
    def of(result: Result) -> list[str]:
        data, supernet = result.snapshot, result.supernet
        again = sum(step.reused for step in result.steps)
        return [
            OUTCOMES[result.outcome],
            DASH if data is None else shortened(data.id),
            DASH if data is None else f"{data.rows_kept:,}",
            DASH if data is None else f"{data.rows_quarantined:,}",
            DASH if supernet is None else shortened(supernet.digest),
            DASH if supernet is None else ("warm" if supernet.parent else "cold"),
            seconds(result.seconds),
            seconds(result.cpu_seconds),
            f"{again} of {len(result.steps)}",
        ]

    names = ["Outcome", "Snapshot", "Rows kept", "Rows in quarantine", "Supernet", "Its start"]
    names += ["On the clock", "Processor", "Steps re-used"]
    rows: list[list[object]] = [list(row) for row in zip(names, of(one), of(other), strict=True)]
    return table("What each run was", ["", one.run, other.run], rows)


def _settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> Html:
    found = differences(one, other)
    if not found:
        return tag("p", "Both runs had the same config.")
    rows: list[list[object]] = [[tag("code", key), _said(a), _said(b)] for key, a, b in found]
    return table(f"{counted(len(found), 'setting')} differed".capitalize(), ["Key", "Earlier", "Later"], rows)


def _said(value: Any) -> str:
    return DASH if value is None else str(value)


def _device(name: str, one: Result, other: Result) -> Html:
    found = [next((d for d in result.devices if d.device == name), None) for result in (one, other)]
    parts: list[Html] = []
    for result, device in zip((one, other), found, strict=True):
        if device is None:
            parts.append(tag("p", tag("b", result.run), ": not a device of this run."))
            continue
        sentence = device.verdict.get("sentence") or "No verdict was recorded, so nothing was promoted."
        outcome = "promoted. " if promoted(device) else "held. "
        parts.append(tag("p", tag("b", result.run), ": ", outcome, spoken(sentence)))
    known = [(result.run, device) for result, device in zip((one, other), found, strict=True) if device is not None]
    more = also_known([point for _, device in known for point in device.front])
    charts = [_fronts(name, known, cost) for cost in (LATENCY, SIZE, *more)]
    return tag(
        "section",
        tag("h2", f"On {name}"),
        *parts,
        tag("div", *charts, class_="figures"),
        _networks(known),
        id=f"device-{name}",
        class_="device",
    )


def _fronts(name: str, known: list[tuple[str, DeviceResult]], cost: Cost) -> Html:
    """Both fronts in one plane; each is what its own run's supernet and predictor said."""
    what, metric = cost.name, cost.key
    tips = Tips()
    x = quantity("x", cost.axis, nice=False)
    y = quantity("y", "Error in %", nice=False)
    layers: list[dict[str, Any]] = []
    keys: list[tuple[str, str]] = []
    for (run, device), (color, filled, key) in zip(known, LOOKS[-len(known) :], strict=True):
        front = sound(device.front)
        path = beaten_by_none(front, metric)
        rows = [{"x": getattr(p, metric), "y": 100 * p.error, "order": i} for i, p in enumerate(path)]
        layers.append(line(rows, x, y, color, interpolate="step-after"))
        dots = [{"x": getattr(p, metric), "y": 100 * p.error, "tip": tips.add(_tip(p, run), p.arch)} for p in front]
        layers.append(marks(dots, x, y, color, shape="circle", size=36, filled=filled))
        keys.append((key, f"front of {run}"))
    caption = "Errors by inherited weights on each run's own search split; costs as each run predicted them."
    label = f"Error against {what} on {name}, both fronts"
    return figure(f"Error against {what}", caption, draw(label, layers, tips, height=300), keys=keys)


def _tip(point: Point, run: str) -> str:
    return (
        f"{point.arch} · {run}\nerror {percent(point.error)}\nlatency {milliseconds(point.latency_ms)} (predicted)\n"
        f"size {kilobytes(point.size_kb)}"
    )


def _networks(known: list[tuple[str, DeviceResult]]) -> Html:
    """Champion and candidate of each run as measured, and the change of the later run's to the earlier's."""
    rows: list[list[object]] = []
    for run, device in known:
        for role in by_importance(device):
            if role.named:
                figures = [percent(role.error), milliseconds(latency(role.measurement, "median_ms"))]
                rows.append(
                    [run, role.title, tag("code", role.architecture.id), *figures, kilobytes(role.values["size_kb"])]
                )
    note = None
    if len(known) == 2:
        before, after = (_candidate(device) for _, device in known)
        if before is not None and after is not None:
            told = [
                ("error", change(before[0], after[0])),
                ("latency", change(before[1], after[1])),
                ("size", change(before[2], after[2])),
            ]
            note = tag("p", "The later candidate to the earlier: ", ", ".join(f"{n} {c}" for n, c in told if c), ".")
    header: list[object] = ["Run", "", "Architecture", "Error", "Latency", "Size"]
    shown = table("Champions and candidates, error on the search split", header, rows, numeric={3, 4, 5})
    return tag("div", shown, note)


def _candidate(device: DeviceResult) -> tuple[Any, Any, Any] | None:
    found = next((f for f in device.finalists if f.bundle == device.candidate), None)
    if found is None:
        return None
    return found.error, latency(found.measurement, "median_ms"), found.measurement.get("size_kb")
