"""A device's verdict: the sentence, figures before and after, every reason, how far each bound is from its limit."""

from __future__ import annotations

from typing import Any

from evernas.report.architectures import Role, previous, promoted, winner
from evernas.report.drawing import Tips, draw, figure, marks, quantity, words
from evernas.report.markup import Html, tag
from evernas.report.quantities import change, kilobytes, megabytes, milliseconds, number, percent, points, significant
from evernas.result import DeviceResult

ROOM = 1.15
METRICS = {
    "error": "error",
    "latency_ms": "latency",
    "latency_p95_ms": "p95 latency",
    "cold_start_ms": "cold start",
    "energy_mj": "energy",
    "size_kb": "size",
    "peak_memory_mb": "memory",
    "robust_error": "worst corruption",
    "worst_domain_error": "worst domain",
}


def verdict_section(device: DeviceResult) -> Html:
    """The card that opens the report."""
    won = device.verdict.get("outcome") == "promote"
    sentence = spoken(device.verdict.get("sentence") or "No verdict was recorded, so nothing was promoted.")
    state = "promote" if won else "hold"
    head = tag(
        "h2",
        tag("span", "✓" if won else "‖", class_="badge", aria_hidden="true"),
        f" {device.device}: {'promoted' if won else 'held'}",
    )
    note = "Measurements were read from a recorded file, not taken in this run." if device.recorded else None
    reasons = _reasons(device)
    return tag(
        "section",
        head,
        tag("p", _unbroken(sentence), class_="lead"),
        _figures(device),
        tag("p", note, class_="note") if note else None,
        tag("div", _reason_list(device, reasons), _intervals(device, reasons), class_="figures reasons"),
        class_=f"verdict {state}",
        id=f"verdict-{device.device}",
    )


def _unbroken(sentence: str) -> str:
    """No line ends between a number and its per cent."""
    return sentence.replace(" %", "\u00a0%")


def spoken(sentence: str) -> str:
    """The sentence without the outcome that the heading says already."""
    for outcome in ("Promote: ", "Hold: "):
        if sentence.startswith(outcome):
            rest = sentence.removeprefix(outcome)
            return rest[:1].upper() + rest[1:]
    return sentence


def headline(device: DeviceResult) -> str:
    """The verdict in a few words, for a list of devices."""
    return "promoted" if promoted(device) else "held"


def _reasons(device: DeviceResult) -> list[dict[str, Any]]:
    """Failed rules first, else in the gate's order."""
    found = [reason for reason in device.verdict.get("reasons") or [] if isinstance(reason, dict)]
    return sorted(found, key=lambda reason: reason.get("passed") is True)


def _figures(device: DeviceResult) -> Html | None:
    old, new = previous(device), winner(device)
    if old is None and new is None:
        return None
    won = promoted(device)
    shown = []
    for name, key, write in (
        # What the gate saw is another split, and only the verdict tells of it.
        ("Error, search split", "error", percent),
        ("Latency", "latency_ms", milliseconds),
        ("Size", "size_kb", kilobytes),
    ):
        before = old.values[key] if old else None
        after = new.values[key] if new else None
        shown.append(tag("div", tag("dt", name), tag("dd", _before_after(write, old, new, before, after, key, won))))
    memory = [(role.measurement or {}).get("peak_memory_mb") if role else None for role in (old, new)]
    shown.append(
        tag(
            "div",
            tag("dt", "Peak memory"),
            tag("dd", _before_after(megabytes, old, new, memory[0], memory[1], "memory", won)),
        )
    )
    return tag("dl", *shown, class_="tiles")


def _before_after(write: Any, old: Role | None, new: Role | None, before: Any, after: Any, key: str, won: bool) -> Html:
    if old is None:
        return tag("strong", write(after))
    if new is None:
        return tag("strong", write(before))
    if key == "error":
        gap = points(after - before) if before is not None and after is not None else ""
    else:
        gap = change(before, after)
    if not won:
        said = f"candidate {write(after)}" + (f", {gap}" if gap else "")
        return tag("span", tag("strong", write(before)), tag("small", said))
    return Html(
        tag("span", write(before), class_="was")
        + tag("span", " → ", class_="to")
        + tag("strong", write(after))
        + (tag("small", gap) if gap else "")
    )


def _reason_list(device: DeviceResult, reasons: list[dict[str, Any]]) -> Html:
    entries = [
        tag(
            "li",
            tag(
                "b",
                "✓" if reason.get("passed") is True else "✗",
                class_="ok" if reason.get("passed") is True else "no",
                role="img",
                aria_label="passed" if reason.get("passed") is True else "failed",
            ),
            tag("span", _unbroken(str(reason.get("sentence") or reason.get("rule") or "a reason without a sentence"))),
        )
        for reason in reasons
    ]
    facts = []
    level, decision = number(device.verdict.get("level")), number(device.verdict.get("decision"))
    if device.verdict.get("scope"):
        facts.append(str(device.verdict["scope"]))
    if decision:
        spent = f", at level {significant(level, 2)}" if level is not None else ""
        left = number(device.verdict.get("left"))
        more = f"; {left:.0f} are left" if left is not None else ""
        facts.append(f"Decision {decision:.0f} on this gate split{spent}{more}.")
    resolution, detectable = number(device.verdict.get("resolution")), number(device.verdict.get("detectable"))
    if resolution is not None:
        facts.append(f"The gate can tell errors apart to ±{100 * resolution:.1f} points.")
    if detectable is not None:
        facts.append(f"It would show a gain of {100 * detectable:.1f} points four times in five.")
    return tag(
        "div",
        tag("h3", "Why"),
        tag("ul", *entries, class_="why") if entries else tag("p", "The gate gave no reasons."),
        tag("p", " ".join(facts), class_="note") if facts else None,
    )


def _intervals(device: DeviceResult, reasons: list[dict[str, Any]]) -> Html | None:
    """One row a rule, each on its own scale, all aligned on the limit: what crosses the line fails."""
    tips = Tips()
    rows: list[dict[str, Any]] = []
    for reason in reasons:
        limit, value, bound = (number(reason.get(name)) for name in ("limit", "value", "bound"))
        end = bound if bound is not None else value
        if limit is None or end is None:
            continue
        start = value if value is not None else end
        passed = reason.get("passed") is True
        reach = max(abs(start - limit), abs(end - limit)) or 1.0
        toward = 1.0 if (end <= limit) == passed else -1.0
        rows.append(
            {
                "rule": _label(str(reason.get("rule", "rule"))),
                "start": toward * (start - limit) / reach,
                "end": toward * (end - limit) / reach,
                "passed": passed,
                "tip": tips.add(str(reason.get("sentence") or reason.get("rule"))),
                "order": len(rows),
            }
        )
    if not rows:
        return None
    _tell_apart(rows)
    y = {
        "field": "rule",
        "type": "nominal",
        "sort": None,
        "title": None,
        "scale": {"domain": [row["rule"] for row in rows]},
        "axis": {"domain": False, "ticks": False, "labelLimit": 150, "labelColor": "var(--ink)"},
    }
    x = quantity("start", None, domain=[-ROOM, ROOM], nice=False, axis=None)
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"a": 0, "b": ROOM}]},
            "mark": {"type": "rect", "color": "var(--beyond)", "aria": False},
            "encoding": {"x": {**x, "field": "a"}, "x2": {"field": "b"}},
        },
        {
            "data": {"values": [{"a": 0}]},
            "mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 1.4, "aria": False},
            "encoding": {"x": {**x, "field": "a"}},
        },
    ]
    for passed, color in ((True, "var(--green)"), (False, "var(--red)")):
        chosen = [row for row in rows if row["passed"] is passed]
        if not chosen:
            continue
        layers.append(
            {
                "data": {"values": chosen},
                "mark": {"type": "rule", "color": color, "strokeWidth": 2.4, "aria": False},
                "encoding": {"y": y, "x": x, "x2": {"field": "end"}},
            }
        )
        layers.append(marks(chosen, {**x, "field": "end"}, y, color, type="tick", thickness=2.4, size=14))
        layers.append(marks(chosen, x, y, color, shape="circle" if passed else "square", size=70))
    sides = [{"start": -ROOM, "text": "allowed"}, {"start": ROOM, "text": "too far"}]
    top = {"value": -8}
    layers.append(words(sides[:1], x, top, dx=0, color="var(--soft)"))
    layers.append(words(sides[1:], x, top, dx=0, align="right", color="var(--soft)"))
    layers.append(words([{"start": 0, "text": "limit"}], x, top, dx=0, align="center", color="var(--soft)"))
    caption = (
        "Each rule on its own scale, aligned on its limit: the dot is what was measured, the line runs to its "
        "confidence bound, and only a bound left of the limit passes."
        + (" Rules without a limit are in the list only." if len(rows) < len(reasons) else "")
    )
    chart = draw(f"Bounds against limits on {device.device}", layers, tips, height=24 + 34 * len(rows))
    return figure("Bounds and limits", caption, chart, keys=[("dot green", "passed"), ("box red", "failed")])


def _label(rule: str) -> str:
    """A rule of the gate in two or three words; one that is not known by its own name."""
    kind, _, metric = rule.partition(":")
    if kind == "better":
        return "better in one"
    if kind == "domains":
        return "worst domain"
    if kind in ("no_worse", "constraint", "floor") and metric:
        said = METRICS.get(metric, metric.replace("_", " "))
        return f"{said} no worse" if kind == "no_worse" else f"{said} limit"
    return rule.replace("_", " ")


def _tell_apart(rows: list[dict[str, Any]]) -> None:
    """Two rules of one name keep two rows."""
    seen: dict[str, int] = {}
    for row in rows:
        seen[row["rule"]] = seen.get(row["rule"], 0) + 1
        if seen[row["rule"]] > 1:
            row["rule"] = f"{row['rule']} ({seen[row['rule']]})"
