"""What the errors of searched and designed networks amount to; nothing is trained or timed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from trainings import written_between_marks

from evernas.gate.student import upper_quantile

FASTER, FLOOR, WITHIN, LEVEL = 3.0, 5.0, 0.5, 0.05
"""Times as fast; times an empty call; points of error; of the one-sided bound."""

Where = tuple[int, int]
"""A choice of domains, and a seed."""


@dataclass(frozen=True)
class Ours:
    """One of our networks: its genes, its error on the search split, and which unseen rows it got wrong."""

    genes: tuple[int, ...]
    search: float
    missed: Sequence[int]


@dataclass(frozen=True)
class Theirs:
    """A designed network: which unseen rows it got wrong, and how it was trained."""

    name: str
    missed: Mapping[Where, Sequence[int]]
    rate: float
    steps: int
    taught: bool


@dataclass(frozen=True)
class Row:
    """A designed network beside ours. Errors in points, latencies in ms; `excess` is ours less theirs."""

    name: str
    latency_ms: float
    error: float
    our_latency_ms: float
    our_error: float
    excess: float
    bound: float
    units: int
    seeds: int
    at_equal_latency: bool

    @property
    def reached(self) -> bool:
        """Whether ours is faster as asked, and surely not worse by more than asked."""
        return self.bound <= WITHIN


@dataclass(frozen=True)
class Compared:
    """One set. `units` names, by choice, the domain of each unseen row; `latency` is by genes as JSON, or by name."""

    name: str
    noun: str
    ours: Mapping[Where, Sequence[Ours]]
    theirs: Sequence[Theirs]
    latency: Mapping[str, float]
    units: Mapping[int, Any]

    def row(self, of: Theirs) -> Row | None:
        """The designed network beside those of ours that the search split chooses; None where none is fast enough."""
        there, empty = self.latency.get(of.name), self.latency.get("nothing")
        if there is None or empty is None:
            return None
        equal = there < FLOOR * empty
        limit = there if equal else there / FASTER
        both = sorted(where for where in of.missed if where in self.ours)
        differences: dict[str, list[float]] = {}
        ours, theirs, times = [], [], []
        for choice in sorted({choice for choice, _ in both}):
            place = self._chosen(choice, limit)
            if place is None:
                return None
            for seed in (seed for c, seed in both if c == choice):
                network = self.ours[choice, seed][place]
                mine, yours = (self._errors(choice, missed) for missed in (network.missed, of.missed[choice, seed]))
                times.append(self._latency(network))
                ours.append(np.mean(list(mine.values())))
                theirs.append(np.mean(list(yours.values())))
                for unit, error in mine.items():
                    differences.setdefault(f"{choice}/{unit}", []).append(error - yours[unit])
        if not differences:
            return None
        each = 100 * np.array([np.mean(values) for values in differences.values()])
        return Row(
            of.name, there, 100 * float(np.mean(theirs)), float(np.max(times)), 100 * float(np.mean(ours)),
            float(each.mean()), _upper(each), len(each), len({seed for _, seed in both}), equal,
        )  # fmt: skip

    def _chosen(self, choice: int, limit: float) -> int | None:
        """Which of a choice's networks is best on the search split, the mean over seeds, of those within the limit."""
        seeds = [networks for (c, _), networks in self.ours.items() if c == choice]
        fast = [place for place, network in enumerate(seeds[0]) if self._latency(network) <= limit]
        errors = {place: float(np.mean([networks[place].search for networks in seeds])) for place in fast}
        return min(errors, key=lambda place: (errors[place], place)) if errors else None

    def _latency(self, network: Ours) -> float:
        return self.latency.get(str(list(network.genes)), float("inf"))

    def _errors(self, choice: int, missed: Sequence[int]) -> dict[str, float]:
        """Share of wrong answers by unit."""
        names = np.asarray(self.units[choice])
        wrong = np.zeros(len(names))
        wrong[list(missed)] = 1
        found, place = np.unique(names, return_inverse=True)
        shares = np.bincount(place, wrong) / np.bincount(place)
        return {str(name): float(share) for name, share in zip(found, shares, strict=True)}

    def rows(self) -> list[Row]:
        """The designed networks, slowest first."""
        found = [row for of in self.theirs if (row := self.row(of)) is not None]
        return sorted(found, key=lambda row: -row.latency_ms)

    def figures(self) -> dict[str, Any]:
        """Every figure by name."""
        found: dict[str, Any] = {f"{self.name}_nothing_ms": self.latency.get("nothing")}
        for row in self.rows():
            found |= {f"{self.name}_{row.name}_{key}": value for key, value in vars(row).items() if key != "name"}
            found[f"{self.name}_{row.name}_reached"] = row.reached
        return found


def _upper(values: npt.NDArray[np.float64]) -> float:
    """Student's one-sided upper bound of a mean; infinite for a single value."""
    count = len(values)
    if count < 2:
        return float("inf")
    return float(values.mean() + upper_quantile(LEVEL, count - 1) * values.std(ddof=1) / np.sqrt(count))


def table(found: Compared) -> str:
    """A set's figures as Markdown."""
    rows = found.rows()
    seeds = min((row.seeds for row in rows), default=0)
    lines = [
        f"**{found.name}**: errors on {rows[0].units if rows else 0} unseen {found.noun}, the mean over {seeds} seeds. "
        f"An empty call takes {found.latency.get('nothing', float('nan')):.4f} ms.",
        "",
        "| designed | ms | error | ours, ms | times as fast | error | excess, points | surely below | reached |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [
            row.name, f"{row.latency_ms:.4f}", f"{row.error:.1f} %", f"{row.our_latency_ms:.4f}",
            f"{row.latency_ms / row.our_latency_ms:.1f}" + (" (no slower is asked)" if row.at_equal_latency else ""),
            f"{row.our_error:.1f} %", f"{row.excess:+.2f}", f"{row.bound:+.2f}", "yes" if row.reached else "no",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    known = {row.name for row in rows}
    for of in found.theirs:
        taught = ", taught as ours are" if of.taught else ""
        how = f"{of.name} was trained best with a rate of {of.rate:g} for {of.steps:,} steps{taught}."
        lines += [
            "",
            how if of.name in known else f"{how} None of ours is fast enough to be compared, or it was not timed.",
        ]
    return "\n".join(lines) + "\n"


def page(path: Path, found: Sequence[Compared]) -> None:
    """Write the tables between the marks of a page."""
    written_between_marks(path, "\n".join(table(one) for one in found))
