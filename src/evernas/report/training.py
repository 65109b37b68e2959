"""How the supernet was trained in this run."""

from __future__ import annotations

from typing import Any

from evernas.report.drawing import Tips, draw, figure, line, marks, quantity
from evernas.report.markup import Html, tag
from evernas.report.quantities import count, number, shortened, significant
from evernas.report.ranking import ranking_figure, ranking_in_words, ranking_of
from evernas.result import SupernetRecord

DRAWN = 300
COLORS = ("var(--blue)", "var(--orange)", "var(--green)", "var(--purple)")


def supernet_section(supernet: SupernetRecord | None) -> Html:
    """The training curve, where the weights came from, and whether they rank networks as fine-tuning does."""
    if supernet is None:
        return tag("p", "No supernet was trained or read in this run.")
    said = tag(
        "p",
        f"Trained for {count(supernet.steps)} steps, {start_in_words(supernet)} "
        f"The space has {count(supernet.space_size)} distinct architectures.",
    )
    losses, others = _series(supernet)
    charts = [_curves("Loss over training", "Loss", losses), _curves("Other figures over training", "Value", others)]
    ranking = ranking_of(supernet)
    if ranking is None:
        return tag("div", said, tag("div", *charts, class_="figures"))
    ranks = tag("p", ranking_in_words(ranking))
    return tag("div", said, ranks, tag("div", *charts, ranking_figure(ranking), class_="figures"))


def start_in_words(supernet: SupernetRecord) -> str:
    """Where the training began, and what of the last supernet's knowledge is left; sentences."""
    said = "started cold."
    if supernet.parent:
        said = f"started warm, from the weights {shortened(supernet.parent)}."
        if supernet.carried is not None and supernet.carried < 1:
            said += (
                f" Space or classes are others than before: {supernet.carried:.0%} of the weights had a place to go on."
            )
    if supernet.diverged is not None:
        said += f" A warm start {supernet.diverged.sentence}, and was given up."
    lost = supernet.lost
    if lost is None:
        why = supernet.incomparable
        return said if why is None else f"{said} It cannot be compared with the last supernet: {why}."
    of = f"of {count(lost.samples)} samples that both know{lost.terms}"
    both = f"{of} {lost.before:.1%} were wrong before and {lost.after:.1%} "
    if lost.fell_back:
        return f"{said} A warm start had forgotten too much: {both}after it."
    return f"{said} Against the last supernet, {both}are now."


def _series(
    supernet: SupernetRecord,
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, list[tuple[float, float]]]]:
    losses: dict[str, list[tuple[float, float]]] = {}
    others: dict[str, list[tuple[float, float]]] = {}
    for place, entry in enumerate(supernet.curve):
        step = number(entry.get("step"))
        for key, value in entry.items():
            real = number(value)
            if key == "step" or real is None:
                continue
            series = losses if "loss" in key else others if "error" in key or "accuracy" in key else None
            if series is not None:
                series.setdefault(key, []).append((step if step is not None else place, real))
    return losses, others


def _curves(title: str, unit: str, series: dict[str, list[tuple[float, float]]]) -> Html | None:
    if not series:
        return None
    tips = Tips()
    x = quantity("x", "Step", nice=False)
    y = quantity("y", unit)
    layers: list[dict[str, Any]] = []
    keys: list[tuple[str, str]] = []
    for (name, values), color in zip(sorted(series.items()), COLORS, strict=False):
        thin = max(1, len(values) // DRAWN)
        shown = values[::thin]
        said = name.replace("_", " ")
        layers.append(
            line([{"x": s, "y": v, "order": i} for i, (s, v) in enumerate(shown)], x, y, color, strokeWidth=1.4)
        )
        spoken = shown[:: max(1, len(shown) // 12)] + shown[-1:]
        dots = [{"x": s, "y": v, "tip": tips.add(f"{said} at step {s:,.0f}: {significant(v)}")} for s, v in spoken]
        layers.append(marks(dots, x, y, color, size=16, shape="circle"))
        keys.append((f"dot {color[6:-1]}", said))
    return figure(title, None, draw(title, layers, tips, height=220), keys=keys if len(keys) > 1 else None, level=3)
