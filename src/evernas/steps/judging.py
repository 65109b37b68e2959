"""One decision of the gate in a run: claimed in the ledger, then the split is read, then what may be told is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.config import ConstraintConfig
from evernas.data import Samples
from evernas.digest import digest_value
from evernas.gate import (
    Agreement,
    Claim,
    Evidence,
    Measured,
    Verdict,
    before_reading,
    decide,
    held,
    moves_anchor,
    publish,
    scoped,
)
from evernas.gate.evidence import EXACT, SEARCHED
from evernas.gate.trading import UTILITY, Part, measured_parts
from evernas.hardware.figures import TAKES, takes
from evernas.state import Done
from evernas.steps import ledger
from evernas.steps.context import Context, Setting, objectives_of
from evernas.steps.decision import MEASURED
from evernas.steps.evidence import EVIDENCE, keep_evidence
from evernas.steps.foreseen import agreement_of, figures_foreseen, gaps_foreseen
from evernas.steps.loading import Champion, samples
from evernas.steps.numbering import numbered
from evernas.steps.predictions import errors_by_domain, scores_of
from evernas.steps.robustness import Beside, beside_under, figures_beside, searched_figures


@dataclass(frozen=True)
class Judged:
    """The candidate and all that it is judged beside. `ref` is the gate step's own."""

    context: Context
    ref: str
    validated: Done
    finalists: Done
    benchmarked: Done
    bundle: Bundle
    holder: Champion | None
    anchor: Bundle | None

    @property
    def models(self) -> dict[str, Bundle]:
        """Candidate, champion and anchor, where there are any."""
        holder = None if self.holder is None else self.holder.bundle
        found = {"candidate": self.bundle, "champion": holder, "anchor": self.anchor}
        return {name: bundle for name, bundle in found.items() if bundle is not None}

    @cached_property
    def agreements(self) -> dict[str, Agreement | None]:
        """How far the answers of each here are the device's; None where it gave none."""
        return {
            name: agreement_of(self.context, self.finalists, self.benchmarked, bundle)
            for name, bundle in self.models.items()
        }

    @property
    def people(self) -> list[str]:
        """Whom the gate split is of."""
        return sorted(self.validated.facts["splits"]["gate"])

    @property
    def known_labels(self) -> int:
        """How many of the labels all models know: those that the candidate adds are the last."""
        return min(len(bundle.labels) for bundle in self.models.values())


def decide_once(judged: Judged, search: Samples, champion_scores: npt.NDArray[np.float32] | None) -> dict[str, Any]:
    """What is told: verdict, gate_error_by_domain and gate_robustness. What holds in any case neither claims nor reads
    anything.

    `champion_scores` is what the champion answers to the search split. The same decision, taken up again after a kill,
    tells what it told.
    """
    context = judged.context
    certain = _certain_hold(judged)
    if certain is not None:
        shown = speaking(context, certain)
        return {"verdict": shown.to_json(), "gate_error_by_domain": {}, "gate_robustness": None}
    gate, home, project = context.config.gate, context.home, context.project
    holder = judged.holder
    what = {
        "token": digest_value(judged.ref),
        "run": context.manifest.run,
        "device": context.device.name,
        "candidate": judged.bundle.digest,
        "champion": None if holder is None else holder.bundle.digest,
        "anchor": None if judged.anchor is None else judged.anchor.digest,
        "journal": context.manifest.journal.get(context.device.name, 0),
        "people": judged.people,
    }
    decision = ledger.claim_decision(home, project, context.guard, what, gate.alpha, gate.decisions)
    if decision.told is not None:
        return decision.told
    exact, domains, beside = _exact(judged, decision.claim)
    told_before = ledger.told_since_promotion(home, project, decision)
    known, traded = judged.known_labels, _traded(judged, exact)
    foreseen = figures_foreseen(
        context, judged.validated, judged.bundle, decision.claim, search, champion_scores, known, traded
    )
    shown, kind = publish(exact, told_before, *foreseen, near_misses=gate.near_misses)
    facts = {
        "told": kind,
        "verdict": shown.to_json(),
        "moves_anchor": moves_anchor(exact),
        # Of a hold no figure of the gate split is told, to later steps neither.
        "gate_error_by_domain": domains if kind == "promotion" else {},
        "gate_robustness": _told_beside(context, exact, beside) if kind == "promotion" else None,
    }
    sealed = exact.to_json() | {"robustness": None if beside is None else figures_beside(context, beside)}
    # An attempt after this one is told what this one told, and has to have shown the same.
    context.store.keep(judged.ref, EVIDENCE)
    return ledger.record_told(home, project, context.guard, decision, sealed, facts)


def _certain_hold(judged: Judged) -> Verdict | None:
    """A hold that no measurement's luck could turn: nothing of the budget is spent on it."""
    context, models = judged.context, judged.models
    holder = models.get("champion")
    if holder is not None and judged.bundle.model_digest == holder.model_digest:
        return held("different", ["The candidate is the champion, byte for byte: nothing to promote."])
    measurements = judged.benchmarked.facts["measurements"]
    for name in _measured_names(context):
        refused = None if name not in models else measurements[models[name].digest]["refused"]
        if refused is not None:
            return held(MEASURED, [f"The {name} could not be measured on {context.device.name}: {refused}"])
    silent = [n for n, bundle in models.items() if bundle.digest not in judged.benchmarked.facts["answers"]]
    if silent and context.device.recorded is None:
        return held("agreement", [f"{context.device.name} gave no answers of the {silent[0]}: measure it again."])
    exact = [constraint for constraint in context.constraints if constraint.metric in (*EXACT, *SEARCHED)]
    objectives = [name for name in objectives_of(context.config) if name in EXACT]
    verdict = _before(judged, Claim(0, context.config.gate.alpha, 0), exact, objectives, agreements=False)
    if verdict.failed:
        return replace(verdict, left=None, level=0.0)
    missing = gaps_foreseen(context, judged.validated, judged.people, judged.known_labels)
    return held("complete", missing) if missing else None


def speaking(setting: Setting, verdict: Verdict) -> Verdict:
    """A verdict that compared nothing on the gate split, with whom the split speaks of where that has to be said."""
    data = setting.config.data
    return scoped(verdict, data.domain_noun) if data.splits.by_recording else verdict


def _traded(judged: Judged, exact: Verdict) -> list[Part]:
    """What was measured and has a price, beside the champion; nothing where no worth was judged."""
    trade_off = judged.context.config.gate.trade_off
    if trade_off is None or not any(reason.rule == UTILITY for reason in exact.reasons):
        return []
    candidate, champion = (_measured(judged, name, None, False) for name in ("candidate", "champion"))
    return measured_parts(candidate, champion, trade_off.prices, objectives_of(judged.context.config))


def _measured_names(context: Context) -> tuple[str, ...]:
    return ("candidate", "champion") if context.config.gate.trade_off is None else ("candidate", "champion", "anchor")


def _before(
    judged: Judged, claimed: Claim, constraints: list[ConstraintConfig], objectives: Sequence[str], *, agreements: bool
) -> Verdict:
    """What the rules that need no gate split say."""
    models = {name: _measured(judged, name, None, agreements) for name in judged.models}
    return before_reading(
        models["candidate"],
        models.get("champion"),
        judged.context.config.gate,
        constraints,
        claimed=claimed,
        objectives=objectives,
        anchor=models.get("anchor"),
        within=judged.context.config.data.splits.by_recording,
    )


def _told_beside(context: Context, exact: Verdict, beside: Beside | None) -> dict[str, Any] | None:
    """What a promotion tells of worse conditions: no more than the gate's resolution shows, of all people together."""
    if beside is None or not exact.resolution:
        return None
    return figures_beside(context, beside, exact.resolution)


def _exact(judged: Judged, claimed: Claim) -> tuple[Verdict, dict[str, dict[str, float | None]], Beside | None]:
    """The verdict with all its figures, the errors per domain of the gate split, which is read only if need be, and
    what candidate and champion do under corruptions of it."""
    context = judged.context
    objectives = objectives_of(context.config)
    early = _before(judged, claimed, context.constraints, objectives, agreements=True)
    if early.failed:
        return speaking(context, early), {}, None
    gate = samples(context, judged.validated, "gate")
    scores = {name: scores_of(context, bundle, gate.x)[0] for name, bundle in judged.models.items()}
    models = {name: _measured(judged, name, found, True) for name, found in scores.items()}
    labels = np.asarray(context.config.data.labels)[gate.y]
    evidence = Evidence(
        candidate=models["candidate"],
        champion=models.get("champion"),
        labels=gate.y,
        domains=numbered(gate.domains, judged.people),
        groups=numbered(gate.recordings, sorted(set(gate.recordings))),
        anchor=models.get("anchor"),
        new_classes=np.where(gate.y < judged.known_labels, "", labels),
        classes=judged.known_labels,
    )
    beside = beside_under(context, gate, judged.known_labels, judged.bundle, judged.models.get("champion"))
    if beside is not None and beside.champion is not None and context.config.gate.conditions_margin is not None:
        # The evidence goes out with a promotion: it holds what a rule needs, and no more.
        evidence = replace(evidence, corrupted=beside.rows, worse_under=beside.worse())
    options: dict[str, Any] = {
        "claimed": claimed,
        "objectives": objectives,
        "domain_noun": context.config.data.domain_noun,
        "seed": context.config.seed,
        # Where domains are split, evidence is what it was before anything else could be.
        **({"within": True} if context.config.data.splits.by_recording else {}),
    }
    verdict = decide(evidence, context.config.gate, context.constraints, **options)
    keep_evidence(context.store.workspace(judged.ref), evidence, options)
    errors = {name: errors_by_domain(found.argmax(1) == gate.y, gate.domains) for name, found in scores.items()}
    theirs = errors.get("champion", {})
    domains = {name: {"candidate": ours, "champion": theirs.get(name)} for name, ours in errors["candidate"].items()}
    return verdict, domains, beside


def _measured(judged: Judged, name: str, scores: npt.NDArray[np.float32] | None, agreements: bool) -> Measured:
    bundle, context = judged.models[name], judged.context
    answers = None if scores is None else scores.argmax(1)
    # The evidence holds what the metric needs, and no more.
    shown = scores if context.config.gate.quality.metric == "auroc" else None
    agreed = judged.agreements[name] if agreements else None
    if name not in _measured_names(context):
        # Of the anchor only its answers count, unless its worth does: it is not what runs today.
        return Measured(bundle.model_digest, answers, agreement=agreed, scores=shown)
    measurement = judged.benchmarked.facts["measurements"][bundle.digest]
    taken: dict[str, Any] = {metric: takes(measurement, metric, context.terms) for metric in TAKES}
    taken |= _searched(judged, bundle)
    return Measured(
        bundle.model_digest,
        answers,
        size_kb=measurement["size_kb"],
        peak_memory_mb=measurement["peak_memory_mb"],
        agreement=agreed,
        scores=shown,
        **taken,
    )


def _searched(judged: Judged, bundle: Bundle) -> dict[str, float | None]:
    """A finalist's error under the worst corruption and in the worst domain of the search split; nothing for champion
    and anchor, of which no constraint is asked."""
    found = next((f for f in judged.finalists.facts["finalists"] if f["bundle"] == bundle.digest), None)
    return {} if found is None else searched_figures(found)
