"""What a decision tells of the gate split: everything with a promotion, next to nothing with a hold; pure.

A hold tells figures that need no gate split as they are. Of the rules that read it, it tells news only: that the
measured figures would have passed them all, and which one the confidence did not suffice for. Each rule is news once
between two promotions on a device. Anything else would be a thermometer to be read every night, and a candidate can be
built from such readings (Blum & Hardt 2015); what is news is paid for (see `spending`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from evernas.gate.rules import CONDITIONS
from evernas.gate.trading import UTILITY
from evernas.gate.verdict import Reason, Verdict
from evernas.gate.wording import amount, number

# A rule that failed on the split, in the order in which the first is told.
_TOLD = ("better", UTILITY, "no_worse:error", "anchor", "constraint:error", "floor:error", "floor:classes", "domains")
# A rule that reads the split and is never news: that it failed is told of no hold, so that nobody has to pay for it.
_SILENT = (CONDITIONS,)
QUALITY = "quality"


def reads_split(rule: str) -> bool:
    """Whether a rule's outcome depends on the gate split."""
    return rule in _TOLD or rule in _SILENT


def news(verdict: Verdict) -> str | None:
    """What an exact verdict could tell of the split: `promotion`, the one rule that was near to pass, or None."""
    if verdict.outcome == "promote":
        return "promotion"
    missed = {reason.rule: reason for reason in verdict.failed if reads_split(reason.rule)}
    if not missed or missed.keys() & set(_SILENT) or not all(_near(reason) for reason in missed.values()):
        return None
    return next(rule for rule in _TOLD if rule in missed)


def publish(
    exact: Verdict,
    told: Collection[str],
    resolution: float | None = None,
    detectable: float | None = None,
    of_worth: float | None = None,
    *,
    near_misses: bool = True,
) -> tuple[Verdict, str | None]:
    """The verdict that may be seen, and what it tells (None: nothing new).

    `told` is what holds on this split and device told since the last promotion. `resolution` and `detectable` are those
    foreseen without the gate split: the exact ones are computed from its outcomes, and come with a promotion only.
    `of_worth` is the resolution of worth, foreseen too, where the policy is a trade-off. Without `near_misses` a hold
    tells nothing of the split.
    """
    kind = news(exact)
    if kind == "promotion":
        return exact, kind
    if not any(reads_split(reason.rule) for reason in exact.reasons):
        return exact, None
    open_reasons = tuple(reason for reason in exact.reasons if not reads_split(reason.rule))
    if not near_misses:
        kind, shown = None, _silent()
    elif kind is None or kind in told:
        kind, shown = None, _nothing_new(told)
    else:
        missed = next(reason for reason in exact.failed if reason.rule == kind)
        by_worth = kind in (UTILITY, "anchor") and any(reason.rule == UTILITY for reason in exact.reasons)
        shown = _near_miss(missed, of_worth if by_worth else resolution, by_worth)
    return replace(exact, reasons=(*open_reasons, shown), resolution=resolution, detectable=detectable), kind


def coarse(share: float, resolution: float) -> float:
    """A share of the gate split's rows as a promotion tells it: the nearest multiple of the gate's resolution."""
    return min(1.0, round(share / resolution) * resolution)


def _near(reason: Reason) -> bool:
    """Whether the measured figure meets the limit that its bound does not; a domain's veto is one of figures too."""
    return reason.rule == "domains" or (
        reason.value is not None and reason.limit is not None and reason.value <= reason.limit
    )


def _near_miss(reason: Reason, resolution: float | None, by_worth: bool) -> Reason:
    if reason.rule == "domains":
        sentence = (
            "A domain is shown to be harmed by the candidate, which passes every other rule as measured: failed. Which "
            "domain and by how much is not told of a hold."
        )
        return Reason("domains", False, None, None, reason.limit, sentence)
    if resolution is None:
        rounded = ""
    else:
        rounded = f" of {amount(resolution)} in worth" if by_worth else f" of {number(100 * resolution)} points"
    sentence = (
        f"As measured, the candidate passes the rule '{reason.rule}'; by its bound it does not, though it is within "
        f"the gate's resolution{rounded}, so that more gate data could decide it: failed."
    )
    limit = reason.limit
    bound = None if limit is None or resolution is None else limit + resolution
    return Reason(reason.rule, False, None, bound, limit, sentence)


def _silent() -> Reason:
    sentence = (
        "The candidate is not shown to be good enough on the gate split. By gate.near_misses a hold tells no more of "
        "it, so that later decisions pay for nothing: failed."
    )
    return Reason(QUALITY, False, None, None, None, sentence)


def _nothing_new(told: Collection[str]) -> Reason:
    before = f" Told before: {', '.join(sorted(told))} was near to pass." if told else ""
    sentence = (
        "The candidate is not shown to be good enough on the gate split. More is told only of a candidate that passes "
        f"as measured, once for each rule, since later decisions pay for it: failed.{before}"
    )
    return Reason(QUALITY, False, None, None, None, sentence)
