"""Whether the supernet ranks networks as fine-tuning does: a sentence that every form of a run says, and a chart."""

from __future__ import annotations

from typing import Any

from evernas.report.drawing import Tips, draw, figure, marks, quantity
from evernas.report.markup import Html
from evernas.report.quantities import MINUS, counted, number, percent
from evernas.result import RankedPair, RankingRecord, SupernetRecord

DRAWN = 400


def ranking_of(supernet: SupernetRecord | None) -> RankingRecord | None:
    """What is known of its ranking; None where no finalists were fine-tuned, or the run is of an older version."""
    found = None if supernet is None else supernet.ranking
    return found if found is not None and found.pairs else None


def ranking_in_words(ranking: RankingRecord) -> str:
    """How far the supernet's order of finalists was that after fine-tuning, or how much is lacking to say so."""
    lacking = ranking.needed - ranking.compared
    if lacking > 0:
        return (
            "Whether the supernet ranks networks as fine-tuning does cannot be told yet: "
            f"{ranking.compared} of {ranking.needed} finalists are there to tell by, {lacking} are lacking. "
            "Each run that has two or more adds those that are new."
        )
    tau, low, high = (number(value) for value in (ranking.tau, ranking.low, ranking.high))
    if tau is None or low is None or high is None:
        return (
            "Whether the supernet ranks networks as fine-tuning does cannot be told: of "
            f"{ranking.compared} finalists those of one run have the same error, before fine-tuning or after it."
        )
    return (
        f"In {ranking.alike:,} of {counted(ranking.alike + ranking.otherwise, 'comparison')} of two finalists the one "
        f"that the supernet took for the better was the better after fine-tuning, too: tau {_tau(tau)}, 95 % interval "
        f"{_tau(low)} to {_tau(high)}, from {ranking.compared:,} finalists. {_meaning(low, high)}"
    )


def ranking_in_brief(ranking: RankingRecord) -> str:
    """The same in a line."""
    lacking = ranking.needed - ranking.compared
    tau, low, high = (number(value) for value in (ranking.tau, ranking.low, ranking.high))
    if lacking > 0:
        return f"The supernet's ranking: {lacking} of {ranking.needed} finalists are lacking to judge it."
    if tau is None or low is None or high is None:
        return "The supernet's ranking: finalists of one run do not differ, so it cannot be judged."
    return (
        f"The supernet's ranking of {ranking.compared} finalists: tau {_tau(tau)} "
        f"({_tau(low)} to {_tau(high)}); {_verdict(low, high)}."
    )


def ranking_figure(ranking: RankingRecord) -> Html:
    """Each finalist's two errors, this run's marked."""
    old = [pair for pair in ranking.pairs if not pair.new][-DRAWN:]
    new = [pair for pair in ranking.pairs if pair.new]
    tips = Tips()
    x = quantity("x", "Error before it in %, by the supernet's weights", domain=_span(old + new, "inherited"))
    y = quantity("y", "Error after fine-tuning in %", domain=_span(old + new, "tuned"))
    layers = [
        marks(
            _rows(old, tips),
            x,
            y,
            "var(--past)",
            filled=False,
            size=30,
            shape="circle",
            strokeWidth=1.3,
        ),
        marks(_rows(new, tips), x, y, "var(--blue)", shape="square", size=70, stroke="var(--paper)", strokeWidth=1.2),
    ]
    keys = [("blue", "finalists of this run"), *([("ring past", "of runs before")] if old else [])]
    caption = (
        "Both errors are on the same rows of the search split. Only finalists that share supernet, rows and "
        "fine-tuning are compared with one another; across runs the level of both errors differs. All are networks "
        "that the search had chosen, which are close to each other: others are ranked more easily."
    )
    chart = draw("Finalists' errors before and after fine-tuning", layers, tips, height=220)
    return figure("Finalists before and after fine-tuning", caption, chart, keys=keys, level=3)


def _tau(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "better than chance"
    return "worse than chance" if high < 0 else "not shown to be better than chance"


def _meaning(low: float, high: float) -> str:
    """What follows for whoever trusts the search."""
    if low > 0:
        return (
            "That is more than chance: which networks the search prefers can be trusted to that extent, and "
            "fine-tuning a few of them settles the rest."
        )
    if high < 0:
        return (
            "That is worse than chance: do not trust which networks the search prefers. Train the supernet for longer "
            "(supernet.steps), or have more networks fine-tuned (finalists.count)."
        )
    return (
        "That may be chance: among networks as good as these, trust fine-tuning and the gate, not the search's own "
        "errors. More finalists (finalists.count) make up for it, a longer training (supernet.steps) may mend it."
    )


def _rows(pairs: list[RankedPair], tips: Tips) -> list[dict[str, Any]]:
    return [
        {"x": 100 * pair.inherited, "y": 100 * pair.tuned, "tip": tips.add(_tip(pair), pair.arch)}
        for pair in pairs
        if number(pair.inherited) is not None and number(pair.tuned) is not None
    ]


def _tip(pair: RankedPair) -> str:
    whose = "finalist of this run" if pair.new else f"finalist of run {pair.run}"
    return (
        f"{pair.arch} · {whose}\nbefore fine-tuning {percent(pair.inherited)}\nafter it {percent(pair.tuned)}\n"
        f"compared with group {pair.group}"
    )


def _span(pairs: list[RankedPair], name: str) -> list[float]:
    values = [100 * value for pair in pairs if (value := number(getattr(pair, name))) is not None] or [0.0]
    room = 0.1 * (max(values) - min(values)) or 0.1 * max(values) or 1.0
    return [max(0.0, min(values) - room), max(values) + room]
