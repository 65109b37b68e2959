"""Quality per domain, worst first: on the search split always, on the gate split only after a promotion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernas.report.architectures import previous, promoted, winner
from evernas.report.drawing import Tips, draw, figure, joined, marks, names, quantity
from evernas.report.markup import Html, table, tag
from evernas.report.quantities import MISSING, counted, number, percent, points, singular
from evernas.result import DeviceResult, SnapshotRecord

DRAWN = 16

KEPT_BACK = (
    "The {noun} of the gate are not shown after a hold. Each look at them would teach the next candidate something "
    "about them, and the gate could no longer tell a better network from one that was fitted to its judges."
)


def quality_section(device: DeviceResult, snapshot: SnapshotRecord | None) -> Html:
    """The search split's domains, and the gate's as far as they may be seen."""
    new, old = winner(device), previous(device)
    noun = snapshot.domain_noun if snapshot is not None else "domains"
    one = singular(noun)
    sizes = snapshot.splits if snapshot is not None else {}
    search = _errors(new.error_by_domain if new else {}, old.error_by_domain if old else {})
    parts = [
        _domains("Search split", search, sizes.get("search", {}), new is not None and old is not None, device, one)
    ]
    if promoted(device):
        gate = {
            domain: (number(both.get("candidate")), number(both.get("champion")))
            for domain, both in device.gate_error_by_domain.items()
        }
        if gate:
            compared = any(champion is not None for _, champion in gate.values())
            parts.append(_domains("Gate split", gate, sizes.get("gate", {}), compared, device, one))
        else:
            parts.append(_aside("Gate split", f"The gate recorded no errors per {one}."))
    else:
        parts.append(_aside("Gate split", KEPT_BACK.format(noun=noun)))
    return tag("div", *parts, class_="figures")


def _errors(new: Mapping[str, float], old: Mapping[str, float]) -> dict[str, tuple[float | None, float | None]]:
    return {domain: (number(new.get(domain)), number(old.get(domain))) for domain in {**new, **old}}


def _aside(title: str, text: str) -> Html:
    return tag("figure", tag("h4", title), tag("p", text, class_="note"), class_="aside")


def _domains(
    title: str,
    errors: dict[str, tuple[float | None, float | None]],
    sizes: Mapping[str, int],
    compared: bool,
    device: DeviceResult,
    one: str,
) -> Html:
    if not errors:
        return _aside(title, f"Errors per {one}: {MISSING}.")
    won = promoted(device)

    def badness(entry: tuple[str, tuple[float | None, float | None]]) -> tuple[bool, float, str]:
        domain, (new, old) = entry
        worst = new if new is not None else old
        return worst is not None, -(worst or 0.0), domain

    ranked = sorted(errors.items(), key=badness)
    name = "new champion" if won else "candidate" if winner(device) is not None else "champion"
    tips = Tips()
    now, was, joins = [], [], []
    for domain, (new, old) in ranked[:DRAWN]:
        rows = f", {counted(sizes[domain], 'row')}" if domain in sizes else ""
        if new is not None:
            now.append(
                {"name": domain, "x": 100 * new, "tip": tips.add(f"{domain}{rows}\n{name}: error {percent(new)}")}
            )
        if old is not None:
            was.append(
                {
                    "name": domain,
                    "x": 100 * old,
                    "tip": tips.add(f"{domain}{rows}\nchampion before: error {percent(old)}"),
                }
            )
        if new is not None and old is not None:
            joins.append({"name": domain, "x": 100 * old, "end": 100 * new})
    order = [domain for domain, _ in ranked[:DRAWN]]
    y = names(order)
    x = quantity("x", "Error in %", zero=True)
    layers: list[dict[str, Any]] = [
        joined(joins, x, y),
        marks(was, x, y, "var(--orange)", shape="diamond", size=80),
        marks(now, x, y, "var(--green)" if won else "var(--purple)", shape="triangle-up", size=80),
    ]
    keys = [("triangle green" if won else "triangle purple", name)] if now else []
    if was:
        keys.append(("diamond orange", "champion before" if won else "champion"))
    chart = draw(f"Error per {one}, {title}, {device.device}", layers, tips, height=44 + 28 * len(order))
    caption = "Worst first." + (f" The worst {DRAWN} of {len(ranked)} are drawn." if len(ranked) > DRAWN else "")
    every = _table(title, ranked, sizes, name, one) if len(ranked) > DRAWN or compared else None
    folded = tag("details", tag("summary", "As a table"), every) if every is not None else None
    return figure(title, caption, chart, keys=keys, after=folded)


def _table(
    title: str,
    ranked: list[tuple[str, tuple[float | None, float | None]]],
    sizes: Mapping[str, int],
    name: str,
    one: str,
) -> Html:
    rows: list[list[object]] = [
        [
            domain,
            f"{sizes[domain]:,}" if domain in sizes else MISSING,
            percent(new),
            percent(old),
            points(new - old) if new is not None and old is not None else "",
        ]
        for domain, (new, old) in ranked
    ]
    header: list[object] = [one.capitalize(), "Rows", name.capitalize(), "Champion before", "Change"]
    return table(f"Error per {one}, {title.lower()}", header, rows, numeric={1, 2, 3, 4})
