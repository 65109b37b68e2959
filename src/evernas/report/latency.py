"""Latency as measured on a device: every restart's median, the p95, and the table of finalists and champions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from evernas.report.architectures import by_importance, latency, measured_table_row
from evernas.report.costs import ENERGY, LATENCY, MEMORY, Cost
from evernas.report.drawing import Tips, draw, figure, marks, quantity, words
from evernas.report.markup import Html, items, table, tag
from evernas.report.quantities import MISSING, counted, milliseconds, number, percent, significant, thousands
from evernas.report.serving import cold_start_table, load_table
from evernas.result import DeviceResult

PREDICTOR: dict[str, Callable[[Any], str]] = {
    "networks": lambda value: counted(int(value), "network"),
    "median_abs_error": lambda value: f"half of them within {percent(value)}",
    "spearman": lambda value: f"rank correlation {significant(float(value))}",
    "spearman_macs": lambda value: f"with MACs alone {significant(float(value))}",
}


def latency_section(device: DeviceResult) -> Html:
    """The distribution, what was refused, how well the predictor did, and all figures as a table."""
    shown = by_importance(device)
    refused = [
        f"{role.architecture.id} ({role.title}): {(role.measurement or {})['refused']}"
        for role in shown
        if (role.measurement or {}).get("refused")
    ]
    unmeasured = {reason for role in shown if (reason := (role.measurement or {}).get("energy_missing"))}
    if not shown:
        return tag("p", "Nothing was measured in this run.")
    header: list[object] = [
        "Network",
        "Error",
        "Median",
        "p95",
        "Predicted",
        "Size",
        "Peak memory",
        "Energy",
        "MACs",
    ]
    every = table(
        f"Finalists and champion on {device.device}, error on the search split",
        header,
        [measured_table_row(role) for role in shown],
        numeric=set(range(1, len(header))),
    )
    return tag(
        "div",
        tag(
            "div",
            _strip(device),
            *(_predictor(device, cost, _fitted(device, cost)) for cost in (LATENCY, MEMORY, ENERGY)),
            class_="figures",
        ),
        tag("div", tag("p", "Refused measurements:"), items(refused)) if refused else None,
        every,
        *[tag("p", f"No energy was measured. {reason}") for reason in sorted(unmeasured)],
        cold_start_table(device),
        load_table(device),
    )


def _fitted(device: DeviceResult, cost: Cost) -> dict[str, Any]:
    """The predictor that foresaw the finalists: the probe's, or where nothing was probed the profile's."""
    of_profile = {LATENCY.key: device.predictor, **device.more_predictors}
    of_probe = {} if device.second_round is None else device.second_round.predictors
    return dict(of_probe.get(cost.key) or of_profile.get(cost.key) or {})


def _strip(device: DeviceResult) -> Html:
    tips = Tips()
    rows: list[dict[str, Any]] = []
    dots: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for role in by_importance(device):
        median, p95 = latency(role.measurement, "median_ms"), latency(role.measurement, "p95_ms")
        if median is None:
            continue
        name = f"{role.short or role.title} {role.architecture.id[:6]}"
        tip = tips.add(
            f"{role.architecture.id} · {role.title}\nmedian {milliseconds(median)}\np95 {milliseconds(p95)}\n"
            f"p99 {milliseconds(latency(role.measurement, 'p99_ms'))}\n"
            f"variation over restarts {percent(latency(role.measurement, 'cv'))}",
            role.architecture.id,
        )
        rows.append(
            {"name": name, "x": median, "end": p95 if p95 is not None else median, "tip": tip, "look": role.look}
        )
        if p95 is not None:
            ends.append({"name": name, "x": p95, "tip": tip})
        for restart, value in enumerate(_restarts(role.measurement), start=1):
            said = tips.add(
                f"{role.architecture.id}\nrestart {restart}: median {milliseconds(value)}", role.architecture.id
            )
            dots.append({"name": name, "x": value, "tip": said})
    if not rows:
        return tag("p", f"Latency: {MISSING} for any of them.")
    y = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "title": None,
        "axis": {"domain": False, "ticks": False, "labelLimit": 150, "labelColor": "var(--ink)"},
    }
    x = quantity("x", "Latency at batch 1 in ms", nice=True)
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{k: v for k, v in row.items() if k != "look"} for row in rows]},
            "mark": {"type": "rule", "color": "var(--line)", "strokeWidth": 2, "aria": False},
            "encoding": {"y": y, "x": x, "x2": {"field": "end"}},
        },
        marks(ends, x, y, "var(--soft)", type="tick", thickness=2, size=12),
        marks(dots, x, y, "var(--blue)", shape="circle", size=34, opacity=0.55),
        *(
            marks(
                [{k: v for k, v in row.items() if k != "look"}],
                x,
                y,
                row["look"].color,
                shape=row["look"].shape,
                size=90,
                stroke="var(--paper)",
                strokeWidth=1.2,
            )
            for row in rows
        ),
    ]
    restarts = max((len(_restarts(role.measurement)) for role in by_importance(device)), default=0)
    caption = (
        f"{counted(restarts, 'process restart').capitalize()}, all networks interleaved in each. Small dots are the "
        "medians of single restarts, the large mark is their median, the end of the line is the p95."
    )
    return figure(
        "Latency on the device", caption, draw(f"Latency on {device.device}", layers, tips, height=40 + 34 * len(rows))
    )


def _restarts(measurement: dict[str, Any] | None) -> list[float]:
    figures = (measurement or {}).get("latency") or {}
    values = (number(value) for value in figures.get("per_restart_median_ms") or [])
    return [value for value in values if value is not None]


_VERBS = {LATENCY: "take", MEMORY: "need", ENERGY: "use"}


def _departed(device: DeviceResult, cost: Cost) -> str:
    """What became of the predictor's band, where it was left."""
    found = (device.departure if cost is LATENCY else device.more_departures.get(cost.key)) or {}
    ratio, band = number(found.get("ratio")), number(found.get("band"))
    whole = number(found.get("since_profile")) or ratio
    if ratio is None or band is None or whole is None:
        return ""
    if not (found.get("stale") or found.get("departed")):
        if not found.get("misled"):
            return ""
        return (
            f" In the median the finalists {_VERBS[cost]} {whole:.2f} times what the profile foresees, and {ratio:.2f} "
            "times what the probes let predict of it: the device was another while it was probed, and the second "
            "round went by that."
        )
    what = f"{whole:.2f} times what was predicted"
    if not math.isclose(whole, ratio):
        what = f"{whole:.2f} times what the profile foresees and {ratio:.2f} times what the probes let predict of it"
    return (
        f" In the median the finalists {_VERBS[cost]} {what}, more than the predictor's own errors "
        f"explain ({100 * band:.0f} %): {_to_do(device, found)}."
    )


def _to_do(device: DeviceResult, departure: dict[str, Any]) -> str:
    """What follows from a departure."""
    if device.recorded:
        return "the recorded measurements are not of the device that the recorded profile is of, or of another time"
    if not departure.get("stale"):
        return "it may be this day's; where the next run finds the same, the device is profiled again"
    before = number(departure.get("before"))
    if departure.get("lasting") and before is not None:
        return (
            f"it was {before:.2f} times before the device was last profiled again, which did not help and is not done "
            "once more. The predictor does not fit these networks, or the device is busier at one of the two times"
        )
    return "the device is not what it was when it was profiled, and the next run profiles it again"


def _predictor(device: DeviceResult, cost: Cost, known: dict[str, Any]) -> Html | None:
    """Predicted against measured figures of the finalists; None where there are none."""
    tips = Tips()
    rows: list[dict[str, Any]] = []
    for finalist in device.finalists:
        if cost is LATENCY:
            measured, predicted = latency(finalist.measurement, "median_ms"), number(finalist.predicted_latency_ms)
        else:
            measured, predicted = number(finalist.measurement.get(cost.key)), number(finalist.predicted.get(cost.key))
        # The predictor knows the networks of the profile, which are of one precision.
        if measured is None or predicted is None or finalist.architecture.precision != device.searched_precision:
            continue
        said = (
            f"{finalist.architecture.id}\npredicted {cost.write(predicted)}\nmeasured {cost.write(measured)}\n"
            f"{thousands(finalist.architecture.macs)} MACs"
        )
        rows.append({"x": predicted, "y": measured, "tip": tips.add(said, finalist.architecture.id)})
    if not rows:
        return None
    ends = [min(min(r["x"], r["y"]) for r in rows), max(max(r["x"], r["y"]) for r in rows)]
    room = 0.1 * (ends[1] - ends[0]) or 0.1 * ends[1]
    domain = [max(0.0, ends[0] - room), ends[1] + room]
    x = quantity("x", f"Predicted {cost.name} in {cost.unit}", domain=domain, nice=False)
    y = quantity("y", f"Measured {cost.name} in {cost.unit}", domain=domain, nice=False)
    layers = [
        {
            "data": {"values": [{"x": v, "y": v} for v in domain]},
            "mark": {"type": "line", "color": "var(--line)", "strokeWidth": 1.4, "aria": False},
            "encoding": {"x": x, "y": y},
        },
        words(
            [{"x": domain[1], "y": domain[1], "text": "as predicted"}],
            x,
            y,
            align="right",
            dx=-14,
            dy=2,
            color="var(--soft)",
        ),
        marks(rows, x, y, "var(--blue)", shape="square", size=70),
    ]
    facts = [say(known[key]) for key, say in PREDICTOR.items() if known.get(key) is not None]
    caption = "On the line the predictor was right." + (
        f" The predictor's own check, on networks left out: {', '.join(facts)}." if facts else ""
    )
    caption += _departed(device, cost)
    title = f"Predicted and measured{'' if cost is LATENCY else f' {cost.name}'}"
    return figure(title, caption, draw(f"Predicted against measured {cost.name}", layers, tips, height=230))
