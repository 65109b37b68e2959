"""What warm and cold trainings amount to: how soon, how good, and how sure that is; nothing is trained here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from trainings import written_between_marks

WITHIN = 0.5
"""Points of error that count as the same quality."""
TIMES = 3
"""So many times as long is the cold run that a length is measured by."""
BAR_SHARE, BAR_EXCESS = 1 / 3, 1.0
"""Of cold's CPU seconds, and points of the bound of the excess error."""
SMOOTHED, FULL = 3, 5
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Reading:
    """Quality at a checkpoint."""

    step: int
    cpu_s: float
    """Of training until then."""
    error: float
    """In points."""


def smoothed(readings: Sequence[Reading]) -> list[Reading]:
    """Each the mean of the errors of three readings in a row, at the last of them."""
    rows = [readings[last - SMOOTHED : last] for last in range(SMOOTHED, len(readings) + 1)]
    return [Reading(row[-1].step, row[-1].cpu_s, float(np.mean([one.error for one in row]))) for row in rows]


@dataclass(frozen=True)
class Pair:
    """A cold and a warm training on the same people."""

    choice: int
    seed: int
    people: int
    """Who train."""
    cold: Sequence[Reading]
    warm: Sequence[Reading]

    @property
    def ends(self) -> tuple[float, float]:
        """Errors of cold and warm."""
        return smoothed(self.cold)[-1].error, smoothed(self.warm)[-1].error

    @property
    def excess(self) -> float:
        """By how many points warm ends worse."""
        cold, warm = self.ends
        return warm - cold

    @property
    def share(self) -> float:
        """Of cold's CPU seconds, when warm is first as good as cold's end; infinite if it never is."""
        cold, _ = self.ends
        reached = [one.cpu_s for one in smoothed(self.warm) if one.error <= cold + WITHIN]
        return reached[0] / self.cold[-1].cpu_s if reached else math.inf

    @property
    def whole(self) -> float:
        """Of cold's CPU seconds, all that warm took."""
        return self.warm[-1].cpu_s / self.cold[-1].cpu_s


@dataclass(frozen=True)
class Lengths:
    """By how many points cold runs of each length end worse than others three times as long."""

    excess: Mapping[int, Sequence[float]]

    def enough(self, length: int) -> bool:
        """Whether that is no more than half a point in the mean."""
        return bool(np.mean(self.excess[length]) <= WITHIN)

    @property
    def shortest(self) -> int:
        """The shortest length that is enough; the longest that was trained where none is known to be."""
        return next((length for length in sorted(self.excess) if self.enough(length)), TIMES * max(self.excess))

    @property
    def found(self) -> bool:
        """Whether a length is known to be enough."""
        return any(self.enough(length) for length in self.excess)


@dataclass(frozen=True)
class Measured:
    """Everything that is known at one cold length."""

    length: int
    lengths: Lengths
    pairs: Sequence[Pair]

    @cached_property
    def choices(self) -> list[int]:
        return sorted({pair.choice for pair in self.pairs})

    @property
    def seeds(self) -> int:
        """The most of any choice."""
        return max(len({pair.seed for pair in self.pairs if pair.choice == choice}) for choice in self.choices)

    @property
    def whole(self) -> bool:
        """Whether it is of as many choices and seeds as the bars are for."""
        return len(self.choices) >= FULL and self.seeds >= FULL

    @cached_property
    def by_choice(self) -> list[float]:
        """Mean excess of each choice of people, whose trainings share their judges and are not independent."""
        return [float(np.mean([p.excess for p in self.pairs if p.choice == choice])) for choice in self.choices]

    @property
    def excess(self) -> float:
        """Mean over the choices."""
        return float(np.mean(self.by_choice))

    @property
    def bound(self) -> float | None:
        """One-sided 95 % upper bound of the mean excess, by Student's t over choices; None of a single choice."""
        count = len(self.by_choice)
        if count < 2:
            return None
        return self.excess + float(
            stats.t.ppf(CONFIDENCE, count - 1) * np.std(self.by_choice, ddof=1) / math.sqrt(count)
        )

    @property
    def share(self) -> float:
        """Median over all pairs of the share of cold's CPU seconds; infinite where half of them never get there."""
        return float(np.median([pair.share for pair in self.pairs]))

    @property
    def arrived(self) -> float:
        """Share of the pairs in which warm gets as good as cold's end at all."""
        return float(np.mean([math.isfinite(pair.share) for pair in self.pairs]))

    def of(self, people: int) -> list[Pair]:
        """Pairs with so many who train."""
        return [pair for pair in self.pairs if pair.people == people]

    @property
    def people(self) -> list[int]:
        return sorted({pair.people for pair in self.pairs})

    def figures(self) -> dict[str, Any]:
        """Every figure by name; None where a share is infinite or there is no bound."""
        found: dict[str, Any] = {
            "choices": len(self.choices), "seeds": self.seeds, "pairs": len(self.pairs),
            "cold_steps": self.length, "cold_steps_enough": self.lengths.found,
            "cpu_share": _finite(self.share), "cpu_share_within_bar": self.share <= BAR_SHARE,
            "arrived": self.arrived, "excess": self.excess, "excess_bound": self.bound,
            "excess_within_bar": self.bound is not None and self.bound < BAR_EXCESS,
            "whole_cpu_share": float(np.median([pair.whole for pair in self.pairs])),
        }  # fmt: skip
        for length, excess in sorted(self.lengths.excess.items()):
            found[f"cold_{length}_worse_than_{TIMES * length}"] = float(np.mean(excess))
        for people in self.people:
            ends = np.array([pair.ends for pair in self.of(people)])
            found |= {f"cold_error_{people}": ends[:, 0].mean(), f"warm_error_{people}": ends[:, 1].mean()}
        return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _met(found: bool, whole: bool) -> str:
    return f"**{'met' if found else 'missed'}{'' if whole else ' so far'}**"


def _share(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "never"


def table(found: Measured) -> str:
    """The figures as Markdown."""
    lines = [
        f"Of {_plural(len(found.choices), 'choice')} of people with {_plural(found.seeds, 'seed')}: "
        f"{_plural(len(found.pairs), 'warm start')}, each beside a cold one."
        + ("" if found.whole else f" The bars are for {FULL} choices and {FULL} seeds, so this says little yet."),
        "",
        "| steps of a cold run | ends worse than one of three times as many, points (mean) | standard error | runs |",
        "| --- | --- | --- | --- |",
    ]
    for length, excess in sorted(found.lengths.excess.items()):
        error = f"{np.std(excess, ddof=1) / math.sqrt(len(excess)):.2f}" if len(excess) > 1 else ""
        lines.append(f"| {length} | {np.mean(excess):.2f} | {error} | {len(excess)} |")
    enough = "" if found.lengths.found else ", the longest that was trained; whether it is enough is not known"
    lines += [
        "",
        f"The cold length is {found.length} steps{enough}.",
        "",
        "| people who train | cold ends at, % | warm ends at, % | excess, points | share of CPU seconds (median) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for people in found.people:
        pairs = found.of(people)
        cold, warm = np.mean([pair.ends for pair in pairs], 0)
        lines.append(
            f"| {people} | {cold:.1f} | {warm:.1f} | {warm - cold:+.2f} "
            f"| {_share(float(np.median([pair.share for pair in pairs])))} |"
        )
    soon = "never within its own length" if math.isinf(found.share) else f"after {found.share:.2f} of its CPU seconds"
    bound = "none, of a single choice of people" if found.bound is None else f"{found.bound:.2f} points"
    figures = found.figures()
    lines += [
        "",
        f"- **As good as cold's end**, within {WITHIN} points, warm is {soon} (median), "
        f"and in {100 * found.arrived:.0f} % of the pairs at all. The bar is a third: "
        f"{_met(figures['cpu_share_within_bar'], found.whole)}.",
        f"- **At its own end**, after {figures['whole_cpu_share']:.2f} of cold's CPU seconds, warm is worse by "
        f"{found.excess:.2f} points in the mean. The one-sided 95 % bound over choices of people: {bound}. The bar is "
        f"{BAR_EXCESS:g} point: {_met(figures['excess_within_bar'], found.whole)}.",
    ]
    return "\n".join(lines)


def page(path: Path, found: Measured) -> None:
    """Write the table between the marks of a page, and the plot beside it."""
    shown = f"![Error as training goes on, warm and cold]({path.with_suffix('.svg').name})"
    written_between_marks(path, f"{table(found)}\n\n{shown}")
    path.with_suffix(".svg").write_text(plot(found) + "\n", encoding="utf-8")


def plot(found: Measured) -> str:
    """Mean error by steps, and at the end by people, as SVG."""
    import vl_convert

    curves = []
    for way in ("cold", "warm"):
        errors: dict[int, list[float]] = {}
        for pair in found.pairs:
            for reading in getattr(pair, way):
                errors.setdefault(reading.step, []).append(reading.error)
        curves += [{"start": way, "step": step, "error": float(np.mean(each))} for step, each in errors.items()]
    ends = [
        {"start": way, "people": people, "error": float(np.mean([pair.ends[number] for pair in found.of(people)]))}
        for people in found.people
        for number, way in enumerate(("cold", "warm"))
    ]

    def panel(title: str, field: str, label: str, values: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "title": title, "width": 280, "height": 220, "data": {"values": values},
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": field, "type": "quantitative", "title": label, "axis": {"tickMinStep": 1}},
                "y": {"field": "error", "type": "quantitative", "title": "error, %", "scale": {"zero": False}},
                "color": {"field": "start", "type": "nominal", "title": None},
            },
        }  # fmt: skip

    panels = [panel("As training goes on", "step", "steps", curves)]
    panels.append(panel("At the end", "people", "people who train", ends))
    panels[1]["encoding"]["x"]["scale"] = {"zero": False}
    return str(vl_convert.vegalite_to_svg({"hconcat": panels, "background": "white"}, vl_version="5.21"))
