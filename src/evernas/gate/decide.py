"""The decision: which rules a candidate must pass to become champion; pure, without I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from evernas.gate.agreement import SHARE, Agreement
from evernas.gate.comparing import Split, compare_measured
from evernas.gate.estimate import Estimate, restart_mean
from evernas.gate.evidence import PER_RESTART, Evidence, Measured
from evernas.gate.gaps import corrupted_gaps, measured_gaps, split_gaps
from evernas.gate.planning import shift
from evernas.gate.policy import USUAL, Constraint, Policy, least_domains
from evernas.gate.quality import BY_ANSWER, NAMES
from evernas.gate.rules import Comparison, agrees, bears, better, bounded, classes_meet_floor, domains_hold, no_worse
from evernas.gate.spending import Claim, claim
from evernas.gate.student import upper_quantile
from evernas.gate.trading import (
    UTILITY,
    Part,
    each_level,
    gain_in_error,
    margin_of,
    measured_parts,
    part_of_error,
    price_gaps,
    priced,
    worth_more,
    worth_no_less,
)
from evernas.gate.verdict import Reason, Verdict

UNREAD = "The gate split was not read."
TRAINED_ON = "The gate split has other recordings of the {noun} that models are trained on:"


def decide(
    evidence: Evidence,
    policy: Policy,
    constraints: Sequence[Constraint] = (),
    *,
    claimed: Claim | None = None,
    objectives: Sequence[str] = USUAL,
    domain_noun: str = "people",
    seed: int = 0,
    within: bool = False,
) -> Verdict:
    """Promote or hold, with a reason per rule. Every doubt holds.

    `claimed` is the decision's number and level on this gate split; a first decision if not given. `constraints` are
    those of the device at hand. `domain_noun` names domains in the verdict's scope. `within` is whether models were
    trained on other recordings of the same domains: then recordings are the unit however many domains there are, and
    the scope says that nothing is shown about others.
    UsageError only for an impossible policy; whatever is wrong with the evidence is a hold. A promotion is false only
    if one of its rules passed falsely, and each does so with the level's probability at most: together they spend the
    level once (an intersection-union test, Berger 1982).
    """
    claimed = claimed or claim(policy.alpha, policy.decisions)
    candidate, champion = evidence.candidate, evidence.champion
    early = before_reading(
        candidate,
        champion,
        policy,
        constraints,
        claimed=claimed,
        objectives=objectives,
        anchor=evidence.anchor,
        within=within,
    )
    if early.failed:
        return scoped(early, domain_noun) if within else early
    missing = list(split_gaps(evidence, policy.quality, least_domains(policy, within)))
    asked = champion is not None and policy.conditions_margin is not None
    if asked:
        missing += corrupted_gaps(evidence)
    if policy.trade_off is not None:
        missing += price_gaps(policy.trade_off, objectives)
    if missing:
        incomplete = held("complete", missing, claimed, "Nothing was compared.")
        return scoped(incomplete, domain_noun) if within else incomplete
    anchor, agreements = evidence.anchor, _agreements(candidate, champion, evidence.anchor)
    level = _rules_level(claimed.level, agreements)
    differing = agrees(agreements, policy.max_disagreement, SHARE * claimed.level)[1] if agreements else {}
    split = Split(evidence, policy, seed, within)
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
        above = split.against("champion", judged, ours + off.get("champion", 0.0))
        below = None
        if anchor is not None:
            below = split.against("anchor", split.difference(anchor), ours + off.get("anchor", 0.0))
        veto = domains_hold(split.worse(champion), policy.domain_margin, policy.alpha, split.called, split.of_one)
        judge = _by_margins if policy.trade_off is None else _by_worth
        found, at, effect = judge(evidence, policy, objectives, above, below, veto, level)
        if policy.conditions_margin is not None:
            either = differing.get("candidate", 0.0) + differing.get("champion", 0.0)
            reasons.append(bears(split.under(), policy.conditions_margin, level, either))
        reasons += found
    return Verdict(
        outcome="promote" if all(reason.passed for reason in reasons) else "hold",
        reasons=tuple(reasons),
        decision=claimed.decision,
        level=claimed.level,
        scope=_scope(judged, policy, domain_noun, (candidate, champion, anchor), within),
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
    within: bool = False,
) -> Verdict:
    """What the decision is without the gate split: a hold if a rule fails already, and then the split need not be read.

    The outcome is `promote` where all of these rules passed, which promotes nothing: `decide` goes on from there.
    """
    if claimed.spent:
        sentence = (
            f"This gate split has been decided on {claimed.decision - 1} times and its error budget is spent: "
            + (
                "it is of all domains that are trained on, so that a project with others has to follow."
                if within
                else "bring gate data that was never read, or raise gate.decisions for splits to come."
            )
        )
        return held("budget", [sentence], claimed)
    traded = [] if policy.trade_off is None else priced(policy.trade_off.prices, objectives)
    missing = list(measured_gaps(candidate, champion, objectives, [c.metric for c in constraints], anchor, traded))
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
        kept = [name for name in objectives if name not in traded]
        reasons += [no_worse(c, level) for c in compare_measured(candidate, champion, kept, policy)]
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


def scoped(verdict: Verdict, noun: str) -> Verdict:
    """The same of a split in which every domain is one that models are trained on: whatever it tells holds for these.

    For verdicts that compared nothing on it.
    """
    said = f"{TRAINED_ON.format(noun=noun)} what it shows holds for these {noun} only."
    return replace(verdict, scope=f"{verdict.scope} {said}")


def moves_anchor(verdict: Verdict) -> bool:
    """Whether a promotion also makes its model the anchor: shown to have a lower error than it, or to be worth more.

    Not merely measured so: an anchor that follows luck would drift.
    """
    bounds = {reason.rule: reason.bound for reason in verdict.reasons}
    if verdict.outcome != "promote":
        return False
    against = next((rule for rule in ("anchor", UTILITY, "no_worse:error") if rule in bounds), None)
    if against is None:
        return True
    bound = bounds[against]
    return bound is not None and bound < 0


def _by_margins(
    evidence: Evidence,
    policy: Policy,
    objectives: Sequence[str],
    above: Comparison,
    below: Comparison | None,
    veto: Reason,
    level: float,
) -> tuple[list[Reason], float, float]:
    """Dominance: no worse in error, better in something; with the level and the effect that error is shown better at.

    `above` and `below` compare the error with the champion's and the anchor's.
    """
    assert evidence.champion is not None
    comparisons = [above, *compare_measured(evidence.candidate, evidence.champion, objectives, policy)]
    kept = [no_worse(above, level), *([] if below is None else [no_worse(below, level)])]
    noisy = sum(comparison.estimate is not None for comparison in comparisons)
    return [*kept, veto, better(comparisons, level)], level / noisy, policy.effects.error


def _by_worth(
    evidence: Evidence,
    policy: Policy,
    objectives: Sequence[str],
    above: Comparison,
    below: Comparison | None,
    veto: Reason,
    level: float,
) -> tuple[list[Reason], float, float]:
    """A declared trade-off: worth more than the champion, and no less than the anchor; as for `_by_margins`."""
    trade_off, candidate = policy.trade_off, evidence.candidate
    assert trade_off is not None
    assert evidence.champion is not None

    def parts(error: Comparison, other: Measured) -> list[Part]:
        measured = measured_parts(candidate, other, trade_off.prices, objectives)
        return [part_of_error(error, trade_off.prices), *measured]

    beside = parts(above, evidence.champion)
    gained = worth_more(beside, level, trade_off.effect)
    kept = []
    if below is not None:
        assert evidence.anchor is not None
        kept.append(worth_no_less(parts(below, evidence.anchor), level, margin_of(trade_off)))
    at = each_level(beside, level)
    return [*kept, veto, gained], at, gain_in_error(beside, trade_off, at)


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


def _scope(estimate: Estimate, policy: Policy, noun: str, models: Sequence[Measured | None], within: bool) -> str:
    """What the bounds hold for."""
    if within:
        bounds = f"the bounds are over {estimate.units} recordings and hold for these {noun} only."
        scope = f"{TRAINED_ON.format(noun=noun)} {bounds}"
    elif estimate.unit == "domains":
        scope = f"The bounds are over {estimate.units} {noun} and hold for {noun} like these."
    else:
        scope = (
            f"With fewer than {policy.min_domains} {noun} in the gate split, the bounds are over {estimate.units} "
            f"recordings and hold for these {noun} only."
        )
    if any(model is not None and model.agreement is None for model in models):
        scope += " The device's own answers were not compared: the errors are those of the gate's machine."
    return scope
