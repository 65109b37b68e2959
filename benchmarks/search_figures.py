"""What a set of runs amounts to: medians, tests between methods, the table and the plot; nothing is run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from search_peers import PEERS
from search_tables import Table
from search_traces import BUDGET, TARGET, Trace, shares

CHECKS = (50, 100, 200)
BEHIND = 0.003
"""A median share of hypervolume lower by more than this counts as behind, if a paired test agrees."""
SIGNIFICANT = 0.05
OURS = {"evernas surrogate": False, "evernas surrogate, told": True}
"""Ours that is compared, and whether it is told the formulas of cost."""


@dataclass(frozen=True)
class Row:
    """One method on one table: every figure by seed."""

    table: str
    method: str
    seeds: list[int]
    to_target: list[int]
    """Evaluations to TARGET of the true front's hypervolume; the budget where it was not reached."""
    reached: int
    """Seeds that reached it."""
    at: Mapping[int, list[float]]
    """Share of the hypervolume after so many evaluations."""
    milliseconds: float
    """Median overhead of the search itself, an evaluation."""
    curve: np.ndarray
    """Median share after each evaluation."""

    @property
    def median(self) -> float:
        """Median of the evaluations to the target."""
        return float(np.median(self.to_target))


def row(table: Table, method: str, traces: Sequence[Trace]) -> Row:
    """The figures of some runs. A run that was stopped at the target stays where it was."""
    budget = min(PEERS[method].budget if method in PEERS else BUDGET, len(table.values))
    curves = [shares(table, trace.rows[:budget]) for trace in traces]
    full = np.array([np.concatenate([c, np.full(budget - len(c), c[-1])]) for c in curves])
    hit = [int(np.argmax(c >= TARGET)) + 1 if c[-1] >= TARGET else budget for c in curves]
    return Row(
        table.name,
        method,
        [trace.seed for trace in traces],
        hit,
        sum(bool(c[-1] >= TARGET) for c in curves),
        {n: [float(c[min(n, budget) - 1]) for c in full] for n in (*CHECKS, BUDGET) if n <= budget},
        float(np.median([1000 * trace.seconds / len(trace.rows) for trace in traces])),
        np.median(full, axis=0),
    )


def blind_peers(rows: Sequence[Row]) -> list[str]:
    """The recorded searches that are told nothing."""
    return [name for name in dict.fromkeys(r.method for r in rows) if name in PEERS and not name.endswith("told")]


def ratio(rows: Sequence[Row], ours: str, peers: Sequence[str]) -> dict[str, tuple[float, str]]:
    """For each table that somebody finishes: our median over the best peer's, and which that is."""
    found = {}
    for name in dict.fromkeys(r.table for r in rows):
        mine = _of(rows, name, ours)
        theirs = [r for r in rows if r.table == name and r.method in peers]
        # Finished is what half of the seeds of some method have: a median below its budget.
        if mine is None or not theirs or not any(2 * r.reached > len(r.seeds) for r in (mine, *theirs)):
            continue
        best = min(theirs, key=lambda r: r.median)
        found[name] = (mine.median / best.median, best.method)
    return found


def behind(rows: Sequence[Row], ours: str, peers: Sequence[str]) -> list[str]:
    """Where ours is behind a peer: a lower median by more than BEHIND, and a paired Wilcoxon test after Holm."""
    from scipy.stats import wilcoxon

    compared = []
    for mine in (r for r in rows if r.method == ours):
        for theirs in (r for r in rows if r.table == mine.table and r.method in peers):
            for n in CHECKS:
                both = sorted(set(mine.seeds) & set(theirs.seeds))
                if n not in mine.at or n not in theirs.at or len(both) < 2:
                    continue
                a = np.array([mine.at[n][mine.seeds.index(seed)] for seed in both])
                b = np.array([theirs.at[n][theirs.seeds.index(seed)] for seed in both])
                chance = float(wilcoxon(a, b, alternative="less").pvalue) if np.any(a != b) else 1.0
                gap = float(np.median(theirs.at[n]) - np.median(mine.at[n]))
                compared.append((chance, gap, f"{mine.table} at {n}: {theirs.method} by {100 * gap:.2f} points"))
    found, rejected = [], True
    for i, (chance, gap, text) in enumerate(sorted(compared)):
        rejected = rejected and chance * (len(compared) - i) < SIGNIFICANT
        if rejected and gap > BEHIND:
            found.append(f"{text} (p = {chance:.2g})")
    return found


def table_text(rows: Sequence[Row]) -> str:
    """Every row for a person, a median with its quartiles where there are seeds enough."""
    lines = [
        "| table | method | seeds | to 99 % (quartiles) | reached | at 50 | at 100 | at 200 | ms each |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        low, high = np.quantile(r.to_target, [0.25, 0.75])
        cells = [f"{100 * np.median(r.at[n]):.2f}" if n in r.at else "" for n in CHECKS]
        lines.append(
            f"| {r.table} | {r.method} | {len(r.seeds)} | {r.median:.0f} ({low:.0f}-{high:.0f}) | "
            f"{r.reached}/{len(r.seeds)} | {' | '.join(cells)} | {r.milliseconds:.0f} |"
        )
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Curves of the median share over evaluations, a panel a table, as SVG."""
    import vl_convert

    shown = [
        {"table": r.table, "method": r.method, "evaluations": n + 1, "share": 100 * float(r.curve[n])}
        for r in rows
        for n in range(9, len(r.curve), 5)
    ]
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": shown},
        "facet": {"field": "table", "title": None},
        "columns": 4,
        "spec": {
            "width": 210,
            "height": 150,
            "mark": {"type": "line", "strokeWidth": 1.5, "clip": True},
            "encoding": {
                "x": {"field": "evaluations", "type": "quantitative"},
                "y": {
                    "field": "share",
                    "type": "quantitative",
                    "title": "hypervolume, %",
                    "scale": {"domain": [80, 100]},
                },
                "color": {
                    "field": "method",
                    "scale": {"scheme": "dark2"},
                    "legend": {"orient": "bottom", "columns": 4},
                },
            },
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(vl_convert.vegalite_to_svg(spec, vl_version="5.21"), encoding="utf-8")


def _of(rows: Sequence[Row], table: str, method: str) -> Row | None:
    return next((r for r in rows if (r.table, r.method) == (table, method)), None)
