"""The decision: which rules a candidate must pass to become champion; pure, without I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evernas.gate.agreement import SHARE, Agreement
from evernas.gate.comparing import Split, compare_measured
from evernas.gate.estimate import Estimate, restart_mean
from evernas.gate.evidence import PER_RESTART, Evidence, Measured
from evernas.gate.gaps import measured_gaps, split_gaps
from evernas.gate.planning import shift
from evernas.gate.policy import USUAL, Constraint, Policy
from evernas.gate.quality import BY_ANSWER, NAMES
from evernas.gate.rules import agrees, better, bounded, classes_meet_floor, domains_hold, no_worse
from evernas.gate.spending import Claim, claim
from evernas.gate.student import upper_quantile
from evernas.gate.verdict import Reason, Verdict

UNREAD = "The gate split was not read."


def decide(
    evidence: Evidence,
    policy: Policy,
    constraints: Sequence[Constraint] = (),
    *,
    claimed: Claim | None = None,
    objectives: Sequence[str] = USUAL,
    domain_noun: str = "people",
    seed: int = 0,
) -> Verdict:
    """Promote or hold, with a reason per rule. Every doubt holds.

    `claimed` is the decision's number and level on this gate split; a first decision if not given. `constraints` are
    those of the device at hand. `domain_noun` names domains in the verdict's scope.
    UsageError only for an impossible policy; whatever is wrong with the evidence is a hold. A promotion is false only
    if one of its rules passed falsely, and each does so with the level's probability at most: together they spend the
    level once (an intersection-union test, Berger 1982).
    """
    claimed = claimed or claim(policy.alpha, policy.decisions)
    candidate, champion = evidence.candidate, evidence.champion
    early = before_reading(
        candidate, champion, policy, constraints, claimed=claimed, objectives=objectives, anchor=evidence.anchor
    )
    if early.failed:
        return early
    missing = list(split_gaps(evidence, policy.quality, policy.min_domains))
    if missing:
        return held("complete", missing, claimed, "Nothing was compared.")
    anchor, agreements = evidence.anchor, _agreements(candidate, champion, evidence.anchor)
    level = _rules_level(claimed.level, agreements)
    differing = agrees(agreements, policy.max_disagreement, SHARE * claimed.level)[1] if agreements else {}
    split = Split(evidence, policy, seed)
    moves = split.of_one * BY_ANSWER.get(policy.quality.metric, math.inf)
    off = {name: share and share * moves for name, share in differing.items()}
    ours = off.get("candidate", 0.0)
    reasons = list(early.reasons)
    for constraint in constraints:
        if constraint.metric == "error":
            reasons.append(bounded("error", split.error, constraint.max, level, "constraint:error", ours, split.called))
    fresh = split.errors_of_new_classes()
    if fresh:
        reasons.append(classes_meet_floor(fresh, policy.max_error, level))
    if champion is None:
        reasons.append(bounded("error", split.error, policy.max_error, level, "floor:error", ours, split.called))
        judged, at, effect = split.error, level, 0.0
    else:
        judged = split.difference(champion)
        against_champion = split.against("champion", judged, ours + off.get("champion", 0.0))
        comparisons = [against_champion, *compare_measured(candidate, champion, objectives, policy)]
        reasons.append(no_worse(against_champion, level))
        if anchor is not None:
            below = split.against("anchor", split.difference(anchor), ours + off.get("anchor", 0.0))
            reasons.append(no_worse(below, level))
        reasons.append(
            domains_hold(split.worse(champion), policy.domain_margin, policy.alpha, split.called, split.of_one)
        )
        reasons.append(better(comparisons, level))
        noisy = sum(comparison.estimate is not None for comparison in comparisons)
        at, effect = level / noisy, policy.effects.error
    return Verdict(
        outcome="promote" if all(reason.passed for reason in reasons) else "hold",
        reasons=tuple(reasons),
        decision=claimed.decision,
        level=claimed.level,
        scope=_scope(judged, policy, domain_noun, (candidate, champion, anchor)),
        resolution=max(judged.reach(level, above=True), judged.reach(level, above=False)),
        detectable=_detectable(judged, at, effect),
        left=claimed.left,
        quality=policy.quality.metric,
    )


def before_reading(
    candidate: Measured,
    champion: Measured | None,
    policy: Policy,
    constraints: Sequence[Constraint] = (),
    *,
    claimed: Claim,
    objectives: Sequence[str] = USUAL,
    anchor: Measured | None = None,
) -> Verdict:
    """What the decision is without the gate split: a hold if a rule fails already, and then the split need not be read.

    The outcome is `promote` where all of these rules passed, which promotes nothing: `decide` goes on from there.
    """
    if claimed.spent:
        sentence = (
            f"This gate split has been decided on {claimed.decision - 1} times and its error budget is spent: "
            "bring gate data that was never read, or raise gate.decisions for splits to come."
        )
        return held("budget", [sentence], claimed)
    missing = list(measured_gaps(candidate, champion, objectives, [c.metric for c in constraints]))
    if missing:
        return held("complete", missing, claimed, "Nothing was compared.")
    reasons = [Reason("complete", True, None, None, None, "Every figure that the rules need is there.")]
    agreements = _agreements(candidate, champion, anchor)
    level = _rules_level(claimed.level, agreements)
    if champion is not None:
        reasons.append(_different(candidate, champion))
    if agreements:
        of_scores = NAMES["auroc"] if policy.quality.metric == "auroc" else None
        reasons.append(agrees(agreements, policy.max_disagreement, SHARE * claimed.level, of_scores)[0])
    for constraint in constraints:
        if constraint.metric != "error":
            reasons.append(_constraint(candidate, constraint, level))
    if champion is not None:
        reasons += [no_worse(c, level) for c in compare_measured(candidate, champion, objectives, policy)]
    passed = all(reason.passed for reason in reasons)
    return Verdict(
        "promote" if passed else "hold", tuple(reasons), claimed.decision, claimed.level, UNREAD, left=claimed.left
    )


def held(rule: str, sentences: Sequence[str], claimed: Claim | None = None, scope: str = UNREAD) -> Verdict:
    """A hold for reasons that are no figures."""
    refused = tuple(Reason(rule, False, None, None, None, sentence) for sentence in sentences)
    if claimed is None:
        return Verdict("hold", refused, 0, 0.0, scope)
    return Verdict("hold", refused, claimed.decision, claimed.level, scope, left=claimed.left)


def moves_anchor(verdict: Verdict) -> bool:
    """Whether a promotion also makes its model the anchor: its error is shown lower than the anchor's.

    Not merely measured lower: an anchor that follows luck would drift.
    """
    bounds = {reason.rule: reason.bound for reason in verdict.reasons}
    if verdict.outcome != "promote":
        return False
    if "no_worse:error" not in bounds:
        return True
    bound = bounds.get("anchor", bounds["no_worse:error"])
    return bound is not None and bound < 0


def _agreements(*models: Measured | None) -> dict[str, Agreement]:
    """What is known of candidate, champion and anchor, in this order."""
    names = zip(("candidate", "champion", "anchor"), models, strict=True)
    return {name: model.agreement for name, model in names if model is not None and model.agreement is not None}


def _rules_level(level: float, agreements: Mapping[str, Agreement]) -> float:
    """What is left for the rules where a part of the level bounds the disagreement."""
    certain = all(agreement.same_scores for agreement in agreements.values())
    return level if certain else (1 - SHARE) * level


def _different(candidate: Measured, champion: Measured) -> Reason:
    if candidate.digest == champion.digest:
        return Reason(
            "different", False, None, None, None, "The candidate is the champion, byte for byte: nothing to promote."
        )
    return Reason("different", True, None, None, None, "The candidate and the champion are different files.")


def _constraint(candidate: Measured, constraint: Constraint, level: float) -> Reason:
    metric, rule = constraint.metric, f"constraint:{constraint.metric}"
    figure = getattr(candidate, metric)
    if metric in PER_RESTART:
        logs = restart_mean(np.log(np.asarray(figure, dtype=np.float64)))
        return bounded(metric, logs, constraint.max, level, rule)
    return bounded(metric, float(figure), constraint.max, level, rule)


def _detectable(estimate: Estimate, level: float, effect: float) -> float:
    """The true gain whose bound passes the effect four times in five."""
    widened = estimate.reach(level, above=True) / upper_quantile(level, estimate.df)
    return effect + shift(level, estimate.df) * widened


def _scope(estimate: Estimate, policy: Policy, noun: str, models: Sequence[Measured | None]) -> str:
    """What the bounds hold for."""
    if estimate.unit == "domains":
        scope = f"The bounds are over {estimate.units} {noun} and hold for {noun} like these."
    else:
        scope = (
            f"With fewer than {policy.min_domains} {noun} in the gate split, the bounds are over {estimate.units} "
            f"recordings and hold for these {noun} only."
        )
    if any(model is not None and model.agreement is None for model in models):
        scope += " The device's own answers were not compared: the errors are those of the gate's machine."
    return scope
