"""The rules of the gate, each from estimates to a reason; which rules apply is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evernas.gate.agreement import Agreement
from evernas.gate.estimate import Clusters, Estimate, domain_mean
from evernas.gate.verdict import Reason
from evernas.gate.wording import METRIC_NAMES, SHARES, UNITS, compared, confidence, digits, joined, number, outcome

CONDITIONS = "conditions"
"""The rule on what the candidate does under corruptions of the gate split."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """How one objective of the candidate compares to the champion's; `change` below 0 is better.

    `estimate` is of the difference of errors, or of the log of a ratio; None where the figure is exact. `called` is
    what the error is called.
    """

    objective: str
    change: float
    estimate: Estimate | None
    margin: float
    effect: float
    allowance: float = 0.0
    against: str = "champion"
    called: str = "error"

    @property
    def name(self) -> str:
        """What the objective is called."""
        return self.called if self.objective == "error" else METRIC_NAMES[self.objective]

    def upper(self, level: float) -> float:
        """The largest change that the evidence leaves possible at this level, and what is allowed for besides."""
        if self.estimate is None:
            return self.change
        return self._scaled(self.estimate.upper(level)) + self.allowance

    def better(self, level: float) -> bool:
        """Whether the candidate is shown better by the minimum effect, and by more than nothing."""
        return self.upper(level) <= -self.effect and self.upper(level) < 0

    @property
    def measured_better(self) -> bool:
        """Whether the measured figure is better by the minimum effect, whatever the confidence."""
        return self.change <= -self.effect

    @property
    def unit(self) -> str:
        """What a hundredth of the change is called."""
        return "points" if self.objective == "error" else "%"

    def _scaled(self, value: float) -> float:
        return value if self.objective == "error" else float(np.expm1(value))


def no_worse(comparison: Comparison, level: float) -> Reason:
    """The change is shown to be within the margin."""
    bound = comparison.upper(level)
    passed = bool(bound <= comparison.margin)
    decimals = digits(100 * bound, 100 * comparison.margin)
    margin = f"the margin is {number(100 * comparison.margin, decimals)} {comparison.unit}"
    head = f"The {comparison.name} is {compared(100 * comparison.change, comparison.unit, decimals)}"
    if comparison.estimate is None:
        sentence = f"{head} than the {comparison.against}'s ({margin}): {outcome(passed)}."
    else:
        most = "at most" if bound >= 0 else "at least"
        sentence = (
            f"{head} than the {comparison.against}'s ({most} {compared(100 * bound, comparison.unit, decimals)} with "
            f"{confidence(level)} confidence; {margin}): {outcome(passed)}."
        )
    rule = f"no_worse:{comparison.objective}" if comparison.against == "champion" else comparison.against
    return Reason(rule, passed, comparison.change, bound, comparison.margin, sentence)


def better(comparisons: Sequence[Comparison], level: float) -> Reason:
    """At least one objective is shown better by its minimum effect (Holm 1979 over those measured with noise)."""
    levels = _holm({c.objective: c for c in comparisons if c.estimate is not None}, level)
    shown = [c for c in comparisons if c.better(levels.get(c.objective, level))]
    parts = []
    for c in comparisons:
        at = levels.get(c.objective, level)
        bound = c.upper(at)
        decimals = digits(100 * bound, -100 * c.effect)
        change = compared(100 * bound, c.unit, decimals)
        if c.estimate is not None:
            change = f"{'at least' if bound < 0 else 'at most'} {change} with {confidence(at)} confidence"
        parts.append(f"{c.name} {change} (the minimum effect is {number(100 * c.effect, decimals)} {c.unit})")
    best = min(
        comparisons,
        key=lambda c: (c not in shown, not c.measured_better, c.upper(levels.get(c.objective, level)) + c.effect),
    )
    if shown:
        names = joined([c.name for c in shown])
        sentence = f"The candidate is shown better in {names}: {'; '.join(parts)}: passed."
    else:
        sentence = f"The candidate is not shown better than the champion in any objective: {'; '.join(parts)}: failed."
    return Reason(
        "better", bool(shown), best.change, best.upper(levels.get(best.objective, level)), -best.effect, sentence
    )


def _holm(noisy: Mapping[str, Comparison], level: float) -> dict[str, float]:
    """The level at which Holm's step-down judges each objective: those still open share the level."""
    levels: dict[str, float] = {}
    open_names = list(noisy)
    while open_names:
        share = level / len(open_names)
        rejected = [name for name in open_names if noisy[name].better(share)]
        for name in rejected or open_names:
            levels[name] = share
        if not rejected:
            break
        open_names = [name for name in open_names if name not in rejected]
    return levels


def bears(under: Mapping[str, Estimate], margin: float, level: float, allowance: float = 0.0) -> Reason:
    """Under every corruption the candidate is shown no worse than the champion, but for the margin.

    All have to be shown, so that each is at the whole level (an intersection-union test).
    """
    bounds = {name: estimate.upper(level) + allowance for name, estimate in under.items()}
    worst = max(bounds, key=lambda name: bounds[name])
    value, bound = under[worst].value, bounds[worst]
    passed = bool(bound <= margin)
    decimals = digits(100 * bound, 100 * margin)
    most = "at most" if bound >= 0 else "at least"
    sentence = (
        f"Under {worst}, the corruption of the gate split that it bears worst, the candidate's error is "
        f"{compared(100 * value, 'points', decimals)} than the champion's ({most} "
        f"{compared(100 * bound, 'points', decimals)} with {confidence(level)} confidence; the margin is "
        f"{number(100 * margin, decimals)} points): {outcome(passed)}."
    )
    return Reason(CONDITIONS, passed, value, bound, margin, sentence)


def domains_hold(clusters: Clusters, margin: float, alpha: float, called: str = "error", of_one: float = 1.0) -> Reason:
    """No domain is shown worse than its margin (Holm over domains).

    A veto promotes nothing, so it spends nothing and keeps the whole alpha however often the split was read. `called`
    is what the error is called, `of_one` how much a share of samples weighs in it.
    """
    measured = [d for d in range(len(clusters.names)) if len(clusters.recordings[d]) > 1]
    means = clusters.means
    worst = int(np.argmax(means))
    estimates = {d: domain_mean(clusters, d, of_one) for d in measured}
    # Holm rejects something exactly if the smallest p-value is below alpha / m.
    share = alpha / max(len(measured), 1)
    shown = [d for d in measured if not estimates[d].lower(share) <= margin]
    named = max(shown, key=lambda d: (means[d], -d)) if shown else worst
    bound = estimates[named].lower(share) if named in estimates else None
    change = compared(100 * float(means[named]), "points")
    article = "an" if called[0] in "aeiouAEIOU" else "a"
    head = f"The worst domain, {clusters.names[named]}, has {article} {called} {change} than with the champion"
    if bound is None:
        tail = "too few recordings to show anything"
    else:
        most = "at least" if bound > 0 else "at best"
        tail = f"{most} {compared(100 * bound, 'points')} with {confidence(share)} confidence"
    verb = "vetoes" if shown else "does not veto"
    sentence = f"{head} ({tail}; a domain vetoes when shown more than {number(100 * margin)} points higher): it {verb}."
    return Reason("domains", not shown, float(means[named]), bound, margin, sentence)


def bounded(
    metric: str,
    estimate: Estimate | float,
    limit: float,
    level: float,
    rule: str,
    allowance: float = 0.0,
    called: str | None = None,
) -> Reason:
    """The metric is at most its limit by its upper bound and the allowance; an exact figure is its own bound."""
    if isinstance(estimate, Estimate):
        value, bound = estimate.value, estimate.upper(level)
        if metric != "error":
            value, bound = float(np.exp(value)), float(np.exp(bound))
        bound += allowance
    else:
        value = bound = float(estimate)
    passed = bool(bound <= limit)
    scale, unit = (100.0, "%") if metric in SHARES else (1.0, UNITS[metric])
    decimals = digits(scale * bound, scale * limit)
    if metric in ("latency_ms", "latency_p95_ms", "load_p95_ms"):
        decimals = max(decimals, 2 if limit >= 1 else 3)
    most = (
        f"at most {number(scale * bound, decimals)} {unit} with {confidence(level)} confidence; "
        if isinstance(estimate, Estimate)
        else ""
    )
    sentence = (
        f"The {called or METRIC_NAMES[metric]} is {number(scale * value, decimals)} {unit} ({most}the limit is "
        f"{number(scale * limit, decimals)} {unit}): {outcome(passed)}."
    )
    return Reason(rule, passed, value, bound, limit, sentence)


def agrees(
    agreements: Mapping[str, Agreement], limit: float, level: float, of_scores: str | None = None
) -> tuple[Reason, dict[str, float]]:
    """The gate's answers are the device's but for a small share; with the bound of that share for each model.

    `of_scores` names a metric that is of scores: then every score must be the same.
    """
    share = level / len(agreements)
    bounds = {name: agreement.upper(share) for name, agreement in agreements.items()}
    worst = max(bounds, key=lambda name: bounds[name])
    found, bound = agreements[worst], bounds[worst]
    passed = bool(bound <= limit)
    value = found.differing / found.compared if found.compared else 1.0
    decimals = max(2, digits(100 * bound, 100 * limit))
    if of_scores is not None and not all(agreement.same_scores for agreement in agreements.values()):
        sentence = (
            f"The {of_scores} is of scores, and those of the device are not the gate's bit for bit: by how much it is "
            "another on the device is not bounded: failed."
        )
        return Reason("agreement", False, value, bound, limit, sentence), bounds
    if all(agreement.same_scores for agreement in agreements.values()):
        sentence = f"The device gave the very scores that the gate computed, on {found.compared} samples: passed."
    else:
        sentence = (
            f"Of {found.compared} answers of the {worst}, {found.differing} are others on the device than in the gate "
            f"(at most {number(100 * bound, decimals)} % with {confidence(share)} confidence; the limit is "
            f"{number(100 * limit, decimals)} %): {outcome(passed)}."
        )
    return Reason("agreement", passed, value, bound, limit, sentence), bounds


def classes_meet_floor(errors: Mapping[str, Estimate | None], limit: float, level: float) -> Reason:
    """Each class that the champion does not know has an error below the floor; None is too few units for a bound."""
    thin = sorted(name for name, estimate in errors.items() if estimate is None)
    if thin:
        sentence = f"The new class {thin[0]} is in too few recordings of the gate split for a bound: failed."
        return Reason("floor:classes", False, None, None, limit, sentence)
    reasons = {
        name: bounded("error", estimate, limit, level, "floor:classes")
        for name, estimate in errors.items()
        if estimate is not None
    }
    worst = max(sorted(reasons), key=lambda name: reasons[name].bound or 0.0)
    return replace(reasons[worst], sentence=f"On the new class {worst}: {reasons[worst].sentence}")
