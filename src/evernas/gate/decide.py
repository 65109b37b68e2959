"""The decision: which rules a candidate must pass to become champion; pure, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.estimate import Estimate, cluster, clustered_mean, restart_mean
from evernas.gate.evidence import PER_RESTART, Evidence, Measured, gaps
from evernas.gate.policy import OBJECTIVES, Constraint, Policy
from evernas.gate.rules import Comparison, better, bounded, domains_hold, no_worse
from evernas.gate.spending import spent_alpha
from evernas.gate.student import upper_quantile
from evernas.gate.verdict import Reason, Verdict

POWER = 0.8


def decide(
    evidence: Evidence,
    policy: Policy,
    constraints: Sequence[Constraint] = (),
    *,
    decision: int = 1,
    objectives: Sequence[str] = OBJECTIVES,
    domain_noun: str = "people",
    seed: int = 0,
) -> Verdict:
    """Promote or hold, with a reason per rule. Every doubt holds.

    `decision` counts, from 1, the decisions that read this gate split: decision k is taken at alpha / (k (k + 1)).
    `constraints` are those of the device at hand. `domain_noun` names domains in the verdict's scope.
    UsageError only for an impossible alpha or decision number; whatever is wrong with the evidence is a hold.
    """
    level = spent_alpha(policy.alpha, decision)
    missing = list(gaps(evidence, objectives, [c.metric for c in constraints], policy.min_domains))
    if missing:
        refused = tuple(Reason("complete", False, None, None, None, sentence) for sentence in missing)
        return Verdict("hold", refused, decision, level, "Nothing was compared.")
    candidate, champion = evidence.candidate, evidence.champion
    domains, groups = _names(evidence.domains), _names(evidence.groups)
    wrong = cluster(1 - _floats(candidate.correct), domains, groups)
    error = clustered_mean(wrong, policy.min_domains, policy.resamples, seed)
    reasons = [Reason("complete", True, None, None, None, "Every figure that the rules need is there.")]
    if champion is None:
        reasons += _constraint_reasons(candidate, error, constraints, level)
        reasons.append(bounded("error", error, policy.max_error, level, "floor:error"))
        judged, detectable = error, _detectable(error, level, 0.0)
    else:
        worse = cluster(_floats(champion.correct) - _floats(candidate.correct), domains, groups)
        judged = clustered_mean(worse, policy.min_domains, policy.resamples, seed)
        comparisons = [_compare(name, candidate, champion, judged, policy) for name in _judged(objectives)]
        reasons.append(_different(candidate, champion))
        reasons += _constraint_reasons(candidate, error, constraints, level)
        reasons += [no_worse(comparison, level) for comparison in comparisons]
        reasons.append(domains_hold(worse, policy.domain_margin, policy.alpha))
        reasons.append(better(comparisons, level))
        noisy = sum(comparison.estimate is not None for comparison in comparisons)
        detectable = _detectable(judged, level / noisy, policy.effects.error)
    return Verdict(
        outcome="promote" if all(reason.passed for reason in reasons) else "hold",
        reasons=tuple(reasons),
        decision=decision,
        level=level,
        scope=_scope(judged, policy.min_domains, domain_noun),
        resolution=max(judged.reach(level, above=True), judged.reach(level, above=False)),
        detectable=detectable,
    )


def _judged(objectives: Sequence[str]) -> list[str]:
    """Error always, and the other objectives in the gate's order."""
    return [name for name in OBJECTIVES if name == "error" or name in objectives]


def _compare(name: str, candidate: Measured, champion: Measured, difference: Estimate, policy: Policy) -> Comparison:
    margin, effect = getattr(policy.margins, name), getattr(policy.effects, name)
    if name == "error":
        return Comparison(name, difference.value, difference, margin, effect)
    if name == "latency_ms":
        ratio = restart_mean(np.log(_floats(candidate.latency_ms)) - np.log(_floats(champion.latency_ms)))
        return Comparison(name, float(np.expm1(ratio.value)), ratio, margin, effect)
    ours, theirs = float(_floats(candidate.size_kb)), float(_floats(champion.size_kb))
    return Comparison(name, (ours - theirs) / theirs, None, margin, effect)


def _different(candidate: Measured, champion: Measured) -> Reason:
    if candidate.digest == champion.digest:
        return Reason(
            "different", False, None, None, None, "The candidate is the champion, byte for byte: nothing to promote."
        )
    return Reason("different", True, None, None, None, "The candidate and the champion are different files.")


def _constraint_reasons(
    candidate: Measured, error: Estimate, constraints: Sequence[Constraint], level: float
) -> list[Reason]:
    reasons = []
    for constraint in constraints:
        rule, metric = f"constraint:{constraint.metric}", constraint.metric
        if metric == "error":
            reasons.append(bounded(metric, error, constraint.max, level, rule))
        elif metric in PER_RESTART:
            logs = restart_mean(np.log(_floats(getattr(candidate, metric))))
            reasons.append(bounded(metric, logs, constraint.max, level, rule))
        else:
            reasons.append(bounded(metric, float(getattr(candidate, metric)), constraint.max, level, rule))
    return reasons


def _detectable(estimate: Estimate, level: float, effect: float) -> float:
    """The true gain whose bound passes the effect with the chance POWER."""
    return effect + estimate.reach(level, above=True) + upper_quantile(1 - POWER, estimate.df) * estimate.standard_error


def _scope(estimate: Estimate, min_domains: int, noun: str) -> str:
    if estimate.unit == "domains":
        return f"The bounds are over {estimate.units} {noun} and hold for {noun} like these."
    return (
        f"With fewer than {min_domains} {noun} in the gate split, the bounds are over {estimate.units} recordings and "
        f"hold for these {noun} only."
    )


def _floats(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _names(values: Sequence[str] | NDArray[Any]) -> NDArray[np.str_]:
    return np.asarray([str(value) for value in values], dtype=np.str_)
