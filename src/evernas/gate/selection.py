"""Which finalist is sent to the gate, by figures of the search split alone; the gate split is never seen here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evernas.errors import UsageError
from evernas.gate.evidence import SEARCHED
from evernas.gate.policy import USUAL, Constraint, PerObjective, TradeOff
from evernas.gate.trading import POINTS, priced


@dataclass(frozen=True, eq=False)
class Finalist:
    """A model as measured before the gate: its loss on the search split, and its figures by the names of constraints.

    A figure that is None or absent was not measured; it meets no constraint and no margin.
    """

    id: str
    search_error: float | None
    figures: Mapping[str, float | None]

    def figure(self, metric: str) -> float:
        """The figure; infinite if it was not measured."""
        value = self.search_error if metric == "error" else self.figures.get(metric)
        return math.inf if value is None or math.isnan(value) else float(value)


def select_candidate(
    finalists: Sequence[Finalist],
    champion: Finalist | None = None,
    *,
    constraints: Sequence[Constraint] = (),
    objectives: Sequence[str] = USUAL,
    margins: PerObjective,
    effects: PerObjective,
    trade_off: TradeOff | None = None,
) -> Finalist:
    """The finalist with the best chance at the gate.

    One that breaks a constraint on a figure of the search split comes behind all that do not. Of these, those that meet
    the other constraints come first; of these, with a champion, those within its margins of all objectives but error;
    of these, those whose error is within the minimum effect of the lowest; of these, the fastest, then the smallest.
    With a trade-off margins are those of what has no price, and of these the one that is worth most is taken.
    """
    if not finalists:
        raise UsageError("There is no finalist to choose from: fine-tune at least one (finalists.count).")
    left = list(finalists)
    for searched in (True, False):
        some = [constraint for constraint in constraints if (constraint.metric in SEARCHED) is searched]
        left = _least(left, [_broken(finalist, some) for finalist in left])
    traded = (
        {} if trade_off is None else {n: getattr(trade_off.prices, n) for n in priced(trade_off.prices, objectives)}
    )
    if champion is not None:
        kept = [name for name in objectives if name not in traded]
        left = _least(left, [_outside(finalist, champion, kept, margins) for finalist in left])
    if traded:
        return min(left, key=lambda f: (_loss(f, traded), f.figure("error"), f.id))
    errors = [finalist.figure("error") for finalist in left]
    lowest = min(errors)
    close = [f for f, error in zip(left, errors, strict=True) if error <= lowest + effects.error]
    return min(close, key=lambda f: (f.figure("latency_ms"), f.figure("size_kb"), f.figure("error"), f.id))


def _least(finalists: Sequence[Finalist], counts: Sequence[int]) -> list[Finalist]:
    fewest = min(counts)
    return [finalist for finalist, count in zip(finalists, counts, strict=True) if count == fewest]


def _broken(finalist: Finalist, constraints: Sequence[Constraint]) -> int:
    return sum(not finalist.figure(c.metric) <= c.max for c in constraints)


def _loss(finalist: Finalist, prices: Mapping[str, float]) -> float:
    """What is taken from its worth; infinite if a priced figure was not measured."""
    return sum(p * (POINTS if name == "error" else 1) * finalist.figure(name) for name, p in prices.items())


def _outside(finalist: Finalist, champion: Finalist, objectives: Sequence[str], margins: PerObjective) -> int:
    return sum(
        not finalist.figure(name) <= (1 + getattr(margins, name)) * champion.figure(name)
        for name in objectives
        if name != "error"
    )
