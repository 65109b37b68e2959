"""Errors under corruptions of the search split, candidate beside champion and all finalists, the worst ones marked."""

from __future__ import annotations

from typing import Any

from evernas.report.architectures import Role, by_importance, previous, promoted, roles, winner
from evernas.report.drawing import Tips, draw, figure, joined, marks, names, quantity, words
from evernas.report.markup import Html, items, join, table, tag
from evernas.report.quantities import counted, number, percent
from evernas.result import CorruptionRecord, DeviceResult, RobustnessRecord

AS_IT_IS = "as it is"


def robustness_section(device: DeviceResult) -> Html | None:
    """The chart of candidate and champion, and the table of every network; None where no network was tried."""
    tried = [(role, role.robustness) for role in by_importance(device) if role.robustness is not None]
    if not tried:
        return None
    return tag("div", _chart(device), _every(device, tried), _on_gate(device), class_="figures")


def worst_in_words(device: DeviceResult) -> str | None:
    """One sentence on the candidate's worst corruption beside the champion's; None where it was not tried."""
    new, old = winner(device), previous(device)
    if new is None or new.robustness is None:
        return None
    ours = new.robustness
    said = f"Under its worst corruption ({_named(ours, ours.worst)}) the {_name(device)} has an error of "
    said += f"{percent(ours.robust_error)} on the search split, {percent(ours.error)} on the same rows as they are"
    if old is not None and old.robustness is not None:
        theirs = old.robustness
        said += f"; the champion{' before' if promoted(device) else ''} {percent(theirs.robust_error)}"
        said += f" under its worst ({_named(theirs, theirs.worst)})"
    if device.max_robust_error is not None:
        said += f"; the limit is {percent(device.max_robust_error)}"
    return f"{said}."


def _name(device: DeviceResult) -> str:
    return "new champion" if promoted(device) else "candidate"


def _named(robustness: RobustnessRecord, name: str) -> str:
    return next((_label(c) for c in robustness.corruptions if c.name == name), name)


def _label(corruption: CorruptionRecord) -> str:
    return f"{corruption.name} {corruption.severity:g}"


def _errors(role: Role | None) -> dict[str, float]:
    """Errors by label, on the rows as they are first; what is no number is left out."""
    if role is None or role.robustness is None:
        return {}
    found = {AS_IT_IS: role.robustness.error} | {_label(c): c.error for c in role.robustness.corruptions}
    return {label: error for label, error in found.items() if number(error) is not None}


def _chart(device: DeviceResult) -> Html | None:
    ours, theirs = _errors(winner(device)), _errors(previous(device))
    leading = ours or theirs
    if not leading:
        return None
    order = [AS_IT_IS, *sorted(leading.keys() - {AS_IT_IS}, key=lambda label: (-leading[label], label))]
    won, limit, tips = promoted(device), number(device.max_robust_error), Tips()
    before = "champion before" if won else "champion"
    y = names(order)
    x = quantity("x", "Error in %", zero=True)
    joins = [{"name": n, "x": 100 * theirs[n], "end": 100 * ours[n]} for n in order if n in ours and n in theirs]
    layers: list[dict[str, Any]] = [
        joined(joins, x, y),
        *_limit(limit, x),
        marks(_rows(theirs, order, before, tips), x, y, "var(--orange)", shape="diamond", size=80),
        marks(
            _rows(ours, order, _name(device), tips),
            x,
            y,
            "var(--green)" if won else "var(--purple)",
            shape="triangle-up",
            size=80,
        ),
        *_worst(order, ours, theirs, x, y),
    ]
    keys = [("triangle green" if won else "triangle purple", _name(device))] if ours else []
    keys += [("diamond orange", before)] if theirs else []
    keys += [("box red", "limit")] if limit is not None else []
    chart = draw(f"Error under corruptions on {device.device}", layers, tips, height=44 + 28 * len(order))
    return figure("Under corruptions", _caption(device), chart, keys=keys)


def _rows(errors: dict[str, float], order: list[str], who: str, tips: Tips) -> list[dict[str, Any]]:
    return [
        {"name": n, "x": 100 * errors[n], "tip": tips.add(f"{n}\n{who}: error {percent(errors[n])}")}
        for n in order
        if n in errors
    ]


def _limit(limit: float | None, x: dict[str, Any]) -> list[dict[str, Any]]:
    if limit is None:
        return []
    line = {"type": "rule", "color": "var(--red)", "strokeWidth": 1.4, "strokeDash": [4, 3], "aria": False}
    return [{"data": {"values": [{"x": 100 * limit}]}, "mark": line, "encoding": {"x": x}}]


def _worst(
    order: list[str], ours: dict[str, float], theirs: dict[str, float], x: dict[str, Any], y: dict[str, Any]
) -> list[dict[str, Any]]:
    """The word beside the worst corruption's marks, on the side where there is room."""
    if len(order) < 2:
        return []
    there = [errors[order[1]] for errors in (ours, theirs) if order[1] in errors]
    to_the_left = max(there) > 0.8 * max([*ours.values(), *theirs.values()])
    row = {"name": order[1], "x": 100 * (min(there) if to_the_left else max(there)), "text": "worst"}
    return [words([row], x, y, align="right" if to_the_left else "left", dx=-9 if to_the_left else 9)]


def _caption(device: DeviceResult) -> Html:
    rows = counted(max(role.robustness.rows for role in roles(device) if role.robustness is not None), "row")
    said, old = worst_in_words(device), previous(device)
    known = "" if old is None or old.robustness is None else "The champion's are of the classes that it knows. "
    how = (
        f"Wrong answers on {rows} of the search split, corrupted in the same way for every network; worst first. "
        f"{known}These rows guided the search: they tell which network bears more, not how many errors production will "
        "see."
    )
    return tag("span", f"{said} " if said else "", how)


def _every(device: DeviceResult, tried: list[tuple[Role, RobustnessRecord]]) -> Html:
    """Every network's error under every corruption; each one's worst is set in bold."""
    limit = number(device.max_robust_error)
    known = tried[0][1].corruptions
    labels = [_label(corruption) for corruption in known]
    rows: list[list[object]] = []
    for role, robustness in tried:
        errors = _errors(role)
        worst = _named(robustness, robustness.worst)
        cells: list[object] = [
            tag("strong", percent(errors.get(label))) if label == worst else percent(errors.get(label))
            for label in [AS_IT_IS, *labels]
        ]
        broken = limit is not None and not robustness.robust_error <= limit
        rows.append([f"{role.title} {role.architecture.id}" + (" (over the limit)" if broken else ""), *cells])
    heads = [join(corruption.name, tag("br"), f"{corruption.severity:g}") for corruption in known]
    header: list[object] = ["Network", AS_IT_IS.capitalize(), *heads]
    shown = table("Error by corruption, each network's worst in bold", header, rows, numeric=set(range(1, len(header))))
    meanings = tag(
        "details",
        tag("summary", "What the severities are"),
        items([f"{_label(corruption)}: {corruption.meaning}." for corruption in known]),
    )
    return tag("figure", tag("h4", "Every network"), shown, _over(device, tried, limit), meanings)


def _on_gate(device: DeviceResult) -> Html:
    """What candidate and champion do under corruptions of the gate split, where a promotion tells it."""
    found = device.gate_robustness
    if found is None:
        said = "What they do under corruptions of the gate split is told with a promotion only."
        return tag("figure", tag("h4", "On the gate split"), tag("p", said, class_="note"))
    header: list[object] = ["Corruption", "New champion", "Champion before"]
    rows: list[list[object]] = [[AS_IT_IS.capitalize(), percent(found.candidate), percent(found.champion)]]
    for corruption in sorted(found.corruptions, key=lambda c: (-c.candidate, c.name)):
        label = f"{corruption.name} {corruption.severity:g}"
        rows.append([label, percent(corruption.candidate), percent(corruption.champion)])
    if device.champion_before is None:
        header, rows = header[:-1], [row[:-1] for row in rows]
    shown = table("Error under corruptions of the gate split", header, rows, numeric=set(range(1, len(header))))
    said = (
        f"Wrong answers on {counted(found.rows, 'row')} of the gate split, read once, in multiples of the gate's "
        f"resolution ({percent(found.resolution)}): these rows guided nothing."
    )
    return tag("figure", tag("h4", "On the gate split"), shown, tag("p", said, class_="note"))


def _over(device: DeviceResult, tried: list[tuple[Role, RobustnessRecord]], limit: float | None) -> Html | None:
    """Which finalists the limit on robust_error kept from becoming champion."""
    if limit is None:
        return None
    finalists = {finalist.bundle for finalist in device.finalists}
    candidates = [(role, robustness) for role, robustness in tried if role.bundle in finalists]
    broken = [role.architecture.id for role, robustness in candidates if not robustness.robust_error <= limit]
    if not broken:
        said = f"Every finalist keeps robust_error below the limit of {percent(limit)}."
    elif len(broken) == len(candidates):
        said = f"No finalist keeps robust_error below the limit of {percent(limit)}, so none could be promoted."
    else:
        said = f"Over the limit of {percent(limit)} on robust_error, and so no candidates: {', '.join(broken)}."
    return tag("p", said, class_="note")
