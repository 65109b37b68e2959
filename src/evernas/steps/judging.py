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
from evernas.digest import digest_bytes, digest_value
from evernas.errors import UsageError
from evernas.gate import (
    Agreement,
    Claim,
    Evidence,
    Measured,
    Verdict,
    agreement,
    before_reading,
    decide,
    held,
    moves_anchor,
    publish,
)
from evernas.gate.estimate import cluster
from evernas.gate.planning import detectable, foreseen, resolution
from evernas.state import Done
from evernas.steps import ledger
from evernas.steps.answers import ANSWERS, QUESTIONS
from evernas.steps.context import Context
from evernas.steps.decision import MEASURED
from evernas.steps.evidence import keep_evidence
from evernas.steps.loading import KEPT_TABLE, Champion, samples
from evernas.steps.predictions import errors_by_domain, scores_of

EXACT = ("size_kb", "peak_memory_mb")


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
            name: _agreement(self.context, self.finalists, self.benchmarked, bundle)
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


def decide_once(judged: Judged, search: Samples, champion_right: npt.NDArray[np.bool_] | None) -> dict[str, Any]:
    """What is told: verdict and gate_error_by_domain. What holds in any case neither claims nor reads anything.

    The same decision, taken up again after a kill, tells what it told.
    """
    context = judged.context
    certain = _certain_hold(judged)
    if certain is not None:
        return {"verdict": certain.to_json(), "gate_error_by_domain": {}}
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
    exact, domains = _exact(judged, decision.claim)
    told_before = ledger.told_since_promotion(home, project, decision)
    shown, kind = publish(exact, told_before, *_foreseen(judged, decision.claim, search, champion_right))
    facts = {
        "told": kind,
        "verdict": shown.to_json(),
        "moves_anchor": moves_anchor(exact),
        # Of a hold no figure of the gate split is told, to later steps neither.
        "gate_error_by_domain": domains if kind == "promotion" else {},
    }
    return ledger.record_told(home, project, context.guard, decision, exact.to_json(), facts)


def _certain_hold(judged: Judged) -> Verdict | None:
    """A hold that no measurement's luck could turn: nothing of the budget is spent on it."""
    context, models = judged.context, judged.models
    holder = models.get("champion")
    if holder is not None and judged.bundle.model_digest == holder.model_digest:
        return held("different", ["The candidate is the champion, byte for byte: nothing to promote."])
    measurements = judged.benchmarked.facts["measurements"]
    for name in ("candidate", "champion"):
        refused = None if name not in models else measurements[models[name].digest]["refused"]
        if refused is not None:
            return held(MEASURED, [f"The {name} could not be measured on {context.device.name}: {refused}"])
    silent = [n for n, bundle in models.items() if bundle.digest not in judged.benchmarked.facts["answers"]]
    if silent and context.device.recorded is None:
        return held("agreement", [f"{context.device.name} gave no answers of the {silent[0]}: measure it again."])
    exact = [constraint for constraint in context.constraints if constraint.metric in EXACT]
    objectives = [name for name in context.config.search.objectives if name == "size_kb"]
    verdict = _before(judged, Claim(0, context.config.gate.alpha, 0), exact, objectives, agreements=False)
    return replace(verdict, left=None, level=0.0) if verdict.failed else None


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
    )


def _exact(judged: Judged, claimed: Claim) -> tuple[Verdict, dict[str, dict[str, float | None]]]:
    """The verdict with all its figures, and the errors per domain of the gate split, which is read only if need be."""
    context = judged.context
    objectives = list(context.config.search.objectives)
    early = _before(judged, claimed, context.constraints, objectives, agreements=True)
    if early.failed:
        return early, {}
    gate = samples(context, judged.validated, "gate")
    right = {
        name: scores_of(context, bundle.model_path, gate.x)[0].argmax(1) == gate.y
        for name, bundle in judged.models.items()
    }
    models = {name: _measured(judged, name, outcomes, True) for name, outcomes in right.items()}
    labels = np.asarray(context.config.data.labels)[gate.y]
    evidence = Evidence(
        candidate=models["candidate"],
        champion=models.get("champion"),
        domains=np.asarray(gate.domains),
        groups=np.asarray(gate.recordings),
        anchor=models.get("anchor"),
        new_classes=np.where(gate.y < judged.known_labels, "", labels),
    )
    options: dict[str, Any] = {
        "claimed": claimed,
        "objectives": objectives,
        "domain_noun": context.config.data.domain_noun,
        "seed": context.config.seed,
    }
    verdict = decide(evidence, context.config.gate, context.constraints, **options)
    keep_evidence(context.store.workspace(judged.ref), evidence, options)
    ours = errors_by_domain(right["candidate"], gate.domains)
    theirs = {} if "champion" not in right else errors_by_domain(right["champion"], gate.domains)
    return verdict, {name: {"candidate": ours[name], "champion": theirs.get(name)} for name in ours}


def _measured(judged: Judged, name: str, right: npt.NDArray[np.bool_] | None, agreements: bool) -> Measured:
    bundle = judged.models[name]
    agreed = judged.agreements[name] if agreements else None
    if name == "anchor":
        # Of the anchor only its answers count: it is not what runs today.
        return Measured(bundle.model_digest, right, agreement=agreed)
    measurement = judged.benchmarked.facts["measurements"][bundle.digest]
    latency = measurement["latency"]
    return Measured(
        bundle.model_digest,
        right,
        latency_ms=None if latency is None else latency["per_restart_median_ms"],
        latency_p95_ms=None if latency is None else latency["per_restart_p95_ms"],
        size_kb=measurement["size_kb"],
        peak_memory_mb=measurement["peak_memory_mb"],
        agreement=agreed,
    )


def _foreseen(
    judged: Judged, claimed: Claim, search: Samples, champion_right: npt.NDArray[np.bool_] | None
) -> tuple[float | None, float | None]:
    """Resolution and detectable gain as the search split lets foresee them: no outcome of the gate split is in them."""
    import pyarrow.parquet as pq

    if claimed.spent:
        return None, None
    context, policy = judged.context, judged.context.config.gate
    wrong = 1.0 - (scores_of(context, judged.bundle.model_path, search.x)[0].argmax(1) == search.y)
    worse = wrong if champion_right is None else wrong - (1.0 - champion_right)
    seen = cluster(worse, np.asarray(search.domains), np.asarray(search.recordings))
    table = pq.read_table(judged.validated.file(KEPT_TABLE), columns=["split", "domain", "recording"]).to_pylist()
    recordings = {(row["domain"], row["recording"]) for row in table if row["split"] == "gate"}
    noisy = 1 if champion_right is None else 1 + ("latency_ms" in context.config.search.objectives)
    effect = 0.0 if champion_right is None else policy.effects.error
    try:
        design = foreseen(seen, len(judged.people), len(recordings), policy.min_domains)
    except UsageError:
        # A search split in which no domain has two recordings: nothing is foreseen, and nothing is told.
        return None, None
    return resolution(design, claimed.level), detectable(design, claimed.level / noisy, effect)


def _agreement(context: Context, finalists: Done, benchmarked: Done, bundle: Bundle) -> Agreement | None:
    """The gate's own answers beside the device's; None where the device gave none."""
    told = benchmarked.facts["answers"].get(bundle.digest)
    if told is None:
        return None
    with np.load(benchmarked.file(ANSWERS), allow_pickle=False) as classes:
        there = classes[bundle.digest]
    scores, _ = scores_of(context, bundle.model_path, np.load(finalists.file(QUESTIONS), allow_pickle=False))
    return agreement(scores.argmax(1), there, digest_bytes(scores.tobytes()), told["scores"])
