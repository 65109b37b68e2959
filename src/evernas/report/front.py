"""The Pareto front of a device: what was evaluated, what is not beaten, and where the champion stood and stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evernas.report.architectures import Role, roles
from evernas.report.costs import Cost, also_known, searched_for
from evernas.report.drawing import Tips, draw, figure, line, marks, quantity, words
from evernas.report.markup import Html, table, tag
from evernas.report.quantities import count, counted, kilobytes, milliseconds, number, percent, thousands
from evernas.result import DeviceResult, Point

FAINT_LIMIT = 1200
LISTED = 9
FRAME_QUANTILE = 0.8


def front_section(device: DeviceResult) -> Html:
    """Error against each cost that was searched for, and how far the search came beside random search."""
    device = device.model_copy(
        update={name: sound(getattr(device, name)) for name in ("points", "front", "previous_front")}
    )
    if not device.points and not device.front:
        return tag("p", "No architecture was evaluated for this device in this run.")
    charts = [*(_plane(device, cost) for cost in searched_for(device)), _progress(device), _listing(device)]
    figures = tag("div", *charts, class_="figures")
    said = [words for words in (start_in_words(device), round_in_words(device)) if words is not None]
    return tag("div", *(tag("p", words) for words in said), figures) if said else figures


def start_in_words(device: DeviceResult) -> str | None:
    """Where the search began in a space that has changed; None of one that has not."""
    found = device.translated
    return None if found is None else found.sentence[:1].upper() + found.sentence[1:] + "."


def round_in_words(device: DeviceResult) -> str | None:
    """What was measured between the rounds of the search, and what followed; None of a search of one round."""
    found = device.second_round
    return None if found is None else found.sentence[:1].upper() + found.sentence[1:] + "."


def sound(points: Sequence[Point]) -> list[Point]:
    """The points that can be drawn: those with the figures that all have."""
    return [p for p in points if None not in (number(p.error), number(p.latency_ms), number(p.size_kb))]


def beaten_by_none(points: Sequence[Point], metric: str) -> list[Point]:
    """The points that no other beats in error and the metric together, by rising metric."""
    best = float("inf")
    kept = []
    for point in sorted(points, key=lambda p: (getattr(p, metric), p.error, p.arch)):
        if point.error < best:
            kept.append(point)
            best = point.error
    return kept


def _plane(device: DeviceResult, cost: Cost) -> Html:
    metric = cost.key
    title = f"Error against {cost.name}"
    tips = Tips()
    placed = [role for role in roles(device) if None not in (role.values[metric], role.values["error"])]
    previous = [p for p in device.previous_front if getattr(p, metric) is not None]
    key_points = [*device.front, *previous]
    frame, outside = _frame(device, metric, [(r.values[metric], r.values["error"]) for r in placed], key_points)
    x = quantity("x", cost.axis, domain=frame["x"], nice=False)
    y = quantity("y", "Error in %", domain=frame["y"], nice=False)
    clip = {"clip": True}
    on_front = {p.arch for p in device.front}
    faint = _thinned([p for p in device.points if p.arch not in on_front])

    def rows(points: Sequence[Point], what: str) -> list[dict[str, Any]]:
        return [
            {"x": getattr(p, metric), "y": 100 * p.error, "order": i, "tip": tips.add(_say(p, what), p.arch)}
            for i, p in enumerate(points)
        ]

    def path(points: Sequence[Point]) -> list[dict[str, Any]]:
        return [{"x": getattr(p, metric), "y": 100 * p.error, "order": i} for i, p in enumerate(points)]

    layers = [
        marks(rows(faint, "evaluated"), x, y, "var(--faint)", size=16, shape="circle", **clip),
        line(
            path(beaten_by_none(previous, metric)),
            x,
            y,
            "var(--past)",
            interpolate="step-after",
            strokeDash=[4, 3],
            strokeWidth=1.4,
            **clip,
        ),
        marks(
            rows(previous, "front of the run before"),
            x,
            y,
            "var(--past)",
            filled=False,
            size=26,
            shape="circle",
            strokeWidth=1.3,
            **clip,
        ),
        line(path(beaten_by_none(device.front, metric)), x, y, "var(--blue)", interpolate="step-after", **clip),
        marks(rows(device.front, "on the front"), x, y, "var(--blue)", shape="circle", size=42, **clip),
        *_roles(placed, metric, x, y, frame, tips),
    ]
    foreseen = f"The same architectures by {cost.name}: dots as predicted, larger marks as measured."
    by_files = metric == "size_kb" and device.searched_precision != "fp32"
    what = foreseen if by_files else _CAPTIONS.get(metric, foreseen)
    caption = what + (f" {counted(outside, 'worse point').capitalize()} outside the frame." if outside else "")
    label = (
        f"{title} on {device.device}: {counted(len(device.points), 'architecture')}, {len(device.front)} on the front"
    )
    return figure(title, caption, draw(label, layers, tips, height=300), keys=_keys(device, placed))


_CAPTIONS = {
    "latency_ms": "Dots are the search's own figures (inherited weights, predicted latency); larger marks are "
    "finalists and champions as tuned, exported and measured. Down and to the left is better.",
    "size_kb": "The same architectures by size: dots by their weights, larger marks by their exported file.",
}


def _roles(
    placed: list[Role], metric: str, x: dict[str, Any], y: dict[str, Any], frame: dict[str, list[float]], tips: Tips
) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = []
    left_most, right_most = frame["x"]
    named = [role for role in placed if role.named]
    leftmost = min(named, key=lambda role: float(role.values[metric]), default=None)
    upper = max(named, key=lambda role: float(role.values["error"]), default=None)
    for role in placed:
        row = {
            "x": role.values[metric],
            "y": 100 * role.values["error"],
            "tip": tips.add(role.tip, role.architecture.id),
            "text": role.short,
        }
        look = role.look
        layers.append(
            marks([row], x, y, look.color, shape=look.shape, size=look.size, stroke="var(--paper)", strokeWidth=1.2)
        )
        if role.named:
            along = (float(row["x"]) - left_most) / (right_most - left_most)
            alone = len(named) == 1
            outward = "right" if (role is leftmost and not alone and along > 0.3) or along > 0.7 else "left"
            layers.append(
                words(
                    [row],
                    x,
                    y,
                    align=outward,
                    dx=-9 if outward == "right" else 9,
                    dy=-10 if role is upper and not alone else 11,
                )
            )
    return layers


def _keys(device: DeviceResult, placed: list[Role]) -> list[tuple[str, str]]:
    keys = [("dot blue", "front")]
    if device.previous_front:
        keys.append(("ring past", "front of the run before"))
    keys.append(("dot faint", "evaluated"))
    seen = {role.kind: role for role in placed}
    keys.extend((role.look.key, kind) for kind, role in seen.items())
    return keys


def _frame(
    device: DeviceResult, metric: str, measured: list[tuple[float, float]], key_points: Sequence[Point]
) -> tuple[dict[str, list[float]], int]:
    """Axes that hold everything that matters; the worst evaluated points may fall outside, and are counted."""
    by_error = sorted(p.error for p in key_points)
    good = by_error[int(FRAME_QUANTILE * (len(by_error) - 1))] if by_error else 0.0
    important = [(getattr(p, metric), p.error) for p in key_points if p.error <= good] + measured
    everything = [(getattr(p, metric), p.error) for p in device.points]
    frame = {}
    for axis, name, scale in ((0, "x", 1.0), (1, "y", 100.0)):
        must = [entry[axis] for entry in important] or [entry[axis] for entry in everything]
        ranked = sorted(entry[axis] for entry in everything) or must
        low = min([*must, ranked[0]])
        high = max([*must, ranked[int(FRAME_QUANTILE * (len(ranked) - 1))]])
        room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        frame[name] = [max(0.0, scale * (low - room)), scale * (high + room)]
    outside = sum(
        not (frame["x"][0] <= px <= frame["x"][1] and frame["y"][0] <= 100 * py <= frame["y"][1])
        for px, py in everything
    )
    return frame, outside


def _thinned(points: list[Point]) -> list[Point]:
    """At most so many faint points, evenly chosen: more would only be a blot."""
    if len(points) <= FAINT_LIMIT:
        return points
    return [points[i * len(points) // FAINT_LIMIT] for i in range(FAINT_LIMIT)]


def _say(point: Point, what: str) -> str:
    lines = [
        f"{point.arch} · {what}",
        f"error {percent(point.error)}",
        f"latency {milliseconds(point.latency_ms)} (predicted)",
        f"size {kilobytes(point.size_kb)}",
        *(f"{cost.name} {cost.write(getattr(point, cost.key))} (predicted)" for cost in also_known([point])),
        f"{thousands(point.macs)} MACs",
    ]
    return "\n".join(lines)


def _listing(device: DeviceResult) -> Html | None:
    """The front in error and latency as a table, fastest first."""
    shown = beaten_by_none(device.front, "latency_ms")
    if not shown:
        return None
    step = max(1, math.ceil(len(shown) / LISTED))
    more = also_known(shown)
    # Half a page has room for five columns.
    rows: list[list[object]] = [
        [
            tag("code", p.arch), percent(p.error), milliseconds(p.latency_ms), kilobytes(p.size_kb),
            *(cost.write(getattr(p, cost.key)) for cost in more), *([] if more else [thousands(p.macs)]),
        ]
        for p in shown[::step]
    ]  # fmt: skip
    which = (
        "every one" if step == 1 else f"every {step}th of {len(shown)}" if step > 3 else f"1 in {step} of {len(shown)}"
    )
    foreseen = ", ".join(["latency", *(cost.name for cost in more)])
    caption = f"Error against latency, fastest first ({which}); predicted: {foreseen}"
    last = [cost.name.capitalize() for cost in more] or ["MACs"]
    header: list[object] = ["Architecture", "Error", "Latency", "Size", *last]
    numeric = set(range(1, len(header)))
    return tag("figure", tag("h4", "Along the front"), table(caption, header, rows, numeric=numeric))


def _progress(device: DeviceResult) -> Html | None:
    """Hypervolume over evaluations beside random search."""
    if not device.hypervolume:
        return None
    tips = Tips()
    x = quantity("x", "Evaluations", nice=False)
    y = quantity("y", "Hypervolume in % of the best front", nice=True)
    layers: list[dict[str, Any]] = []
    curves = [
        (device.hypervolume_random, "random", "var(--past)", [4, 3]),
        (device.hypervolume, "search", "var(--blue)", []),
    ]
    for values, name, color, dash in curves:
        kept = [(i + 1, v) for i, v in enumerate(values) if number(v) is not None]
        if not kept:
            continue
        step = max(1, len(kept) // 200)
        shown = [pair for i, pair in enumerate(kept) if i % step == 0 or i == len(kept) - 1]
        rows = [{"x": n, "y": 100 * v, "order": n} for n, v in shown]
        layers.append(line(rows, x, y, color, strokeDash=dash, interpolate="step-after"))
        spoken = [*kept[:: max(1, len(kept) // 12)], kept[-1]]
        dots = [
            {"x": n, "y": 100 * v, "tip": tips.add(f"{name} after {counted(n, 'evaluation')}: {percent(v)}")}
            for n, v in spoken
        ]
        layers.append(marks(dots, x, y, color, size=14, shape="circle"))
        rest = {"align": "right", "dx": -2, "dy": -9 if name == "search" else 14}
        layers.append(words([{"x": kept[-1][0], "y": 100 * kept[-1][1], "text": name}], x, y, **rest))
    beside = (
        f"After the same {count(len(device.hypervolume_random))} evaluations random search had "
        f"{percent(device.hypervolume_random[-1])}, "
        f"the search {percent(_at(device.hypervolume, len(device.hypervolume_random)))}."
        if device.hypervolume_random
        else "Random search was not run beside it."
    )
    caption = f"How much of the reachable trade-off the search had found after each evaluation. {beside}"
    return figure(
        "The search beside random", caption, draw(f"Hypervolume on {device.device}", layers, tips, height=300)
    )


def _at(curve: list[float], evaluations: int) -> float:
    return curve[min(evaluations, len(curve)) - 1]
