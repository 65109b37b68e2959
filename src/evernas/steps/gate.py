"""The gate step: sends one candidate to the gate, pays for reading the gate split, and keeps the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from evernas.bundle import Bundle, load_bundle
from evernas.data.storage import AlreadyExists, FileStorage
from evernas.digest import digest_value
from evernas.gate import Evidence, Finalist, Measured, Reason, Verdict, decide, select_candidate
from evernas.state import Done
from evernas.state.files import write_json
from evernas.steps.context import Context, Setting, Work
from evernas.steps.decision import CHAMPION, MEASURED, decision_path, is_open, read_decision, sign_decision
from evernas.steps.evidence import keep_evidence
from evernas.steps.finalists import contract_of
from evernas.steps.loading import Champion, champion, samples
from evernas.steps.predictions import errors_by_domain, scores_of


def run(context: Context, validated: str, finalists: str, benchmarked: str) -> str:
    """`promote` or `hold`; the verdict and its candidate are kept for the steps that follow."""
    data, chosen, measured = (context.store.get(ref) for ref in (validated, finalists, benchmarked))
    holder = champion(context)
    if _already_promoted(context):
        # Killed after its promotion: the decision stands, and is not taken again beside the old champion.
        context.progress.end("decided before this run was stopped", reused=True)
        return str(read_decision(context)["verdict"]["outcome"])
    moved = _journal_moved(context)
    if moved is not None:
        return _hold_unread(context, "journal", moved)
    if holder is not None and holder.fault is not None:
        # What was measured without it is not taken once it can be loaded again.
        context.store.unsettle(measured.ref, context.manifest.run, context.guard)
        return _hold_unread(context, CHAMPION, holder.fault)
    other = incomparable(context)
    if other is not None:
        return _hold_unread(context, "comparable", other)
    inputs = gate_inputs(context, data, chosen, measured)
    ref = context.ref("gate", inputs)
    done = context.perform(
        inputs, lambda folder: _work(context, ref, data, chosen, measured, holder), lambda done: _log(context, done)
    )
    facts = done.facts
    if is_open(context.device, facts["verdict"]):
        # Before the decision is kept: a run that is killed in between comes here again.
        context.store.unsettle(measured.ref, context.manifest.run, context.guard)
    _keep(
        context,
        {
            "candidate": facts["candidate"],
            "verdict": facts["verdict"],
            "ref": done.ref,
            "champion_search": facts["champion_search"],
        },
    )
    return str(facts["verdict"]["outcome"])


def gate_inputs(setting: Setting, validated: Done, finalists: Done, benchmarked: Done) -> dict[str, Any]:
    """All that a verdict depends on."""
    holder = champion(setting)
    return {
        "finalists": finalists.ref,
        "benchmark": benchmarked.ref,
        # By what was measured too: a device that was too busy is measured again under the same key.
        "measurements": digest_value(benchmarked.facts["measurements"]),
        "gate": validated.facts["kept"]["gate"],
        "champion": None if holder is None else holder.entry.bundle,
        "journal": setting.manifest.journal.get(setting.device.name, 0),
        "policy": setting.config.section_digest("gate"),
        "constraints": [c.model_dump(mode="json") for c in setting.constraints],
    }


def _already_promoted(context: Context) -> bool:
    """Whether the journal's newest entry is this run's own."""
    newest = context.journal.head(context.device.name)
    return newest is not None and newest.run == context.manifest.run


def _hold_unread(context: Context, rule: str, sentence: str) -> str:
    """Hold without reading the gate split; no step's result, since it would be another one the next time."""
    verdict = _held(rule, sentence)
    _keep(context, {"candidate": None, "verdict": verdict.to_json(), "ref": None, "champion_search": None})
    context.account.made(f"gate/{context.device.name}-{rule}")
    context.progress.end(verdict.sentence(), reused=False)
    return verdict.outcome


def _journal_moved(context: Context) -> str | None:
    """A sentence if the champion changed since this run was opened."""
    pinned = context.manifest.journal.get(context.device.name, 0)
    number = context.journal.head_number(context.device.name)
    if number == pinned:
        return None
    return (
        f"The journal of {context.device.name} is at entry {number}, and this run began at entry {pinned}: "
        "the champion was changed meanwhile; run again to compare with the new one."
    )


def incomparable(setting: Setting) -> str | None:
    """A sentence if the champion answers another question than the candidates; such answers cannot be paired."""
    holder = champion(setting)
    if holder is None:
        return None
    bundle = holder.bundle
    labels, ours = setting.config.data.labels, contract_of(setting)
    if list(bundle.labels) != labels:
        return (
            f"The champion's labels are {', '.join(bundle.labels)}, and data.labels is now {', '.join(labels)}: "
            "answers of different labels cannot be compared; restore data.labels, or start a new project."
        )
    if bundle.contract.shape != ours.shape or bundle.contract.channels != ours.channels:
        return (
            f"The champion takes windows of {bundle.contract.shape} ({', '.join(bundle.contract.channels)}), and "
            f"data.signal now says {ours.shape} ({', '.join(ours.channels)}): restore data.signal, or start a new "
            "project."
        )
    return None


def _work(
    context: Context, ref: str, validated: Done, finalists: Done, benchmarked: Done, holder: Champion | None
) -> Work:
    config, root = context.config, context.home.bundles(context.project)
    measurements = benchmarked.facts["measurements"]
    search = samples(context, validated, "search")
    incumbent = None
    champion_search: dict[str, Any] | None = None
    if holder is not None:
        right = scores_of(context, holder.bundle.model_path, search.x)[0].argmax(1) == search.y
        champion_search = {"error": float(1 - right.mean()), "error_by_domain": errors_by_domain(right, search.domains)}
        incumbent = _finalist(holder.bundle.digest, champion_search["error"], measurements)
    candidate = select_candidate(
        [_finalist(f["bundle"], f["error"], measurements) for f in finalists.facts["finalists"]],
        incumbent,
        constraints=context.constraints,
        margins=config.gate.margins,
        effects=config.gate.effects,
    )
    bundle = load_bundle(root / candidate.id[:16], expected=candidate.id)
    verdict, domains = _decide(context, ref, validated, bundle, holder, measurements)
    facts = {
        "candidate": bundle.digest,
        "champion": None if holder is None else holder.bundle.digest,
        "champion_search": champion_search,
        "verdict": verdict.to_json(),
        "gate_error_by_domain": domains,
    }
    return Work(facts, [], verdict.sentence())


def _finalist(digest: str, error: float, measurements: dict[str, Any]) -> Finalist:
    measurement = measurements[digest]
    trusted = measurement["refused"] is None and measurement["latency"] is not None
    return Finalist(
        digest,
        error,
        latency_ms=measurement["latency"]["median_ms"] if trusted else None,
        latency_p95_ms=measurement["latency"]["p95_ms"] if trusted else None,
        size_kb=measurement["size_kb"],
        peak_memory_mb=measurement["peak_memory_mb"],
    )


def _decide(
    context: Context,
    ref: str,
    validated: Done,
    bundle: Bundle,
    holder: Champion | None,
    measurements: dict[str, Any],
) -> tuple[Verdict, dict[str, dict[str, float | None]]]:
    """The verdict, and the errors per domain of the gate split. What holds in any case does not read the split."""
    if holder is not None and bundle.model_digest == holder.bundle.model_digest:
        return _held("different", "The candidate is the champion, byte for byte: nothing to promote."), {}
    for name, digest in [
        ("candidate", bundle.digest),
        *([] if holder is None else [("champion", holder.bundle.digest)]),
    ]:
        if measurements[digest]["refused"] is not None:
            return _held(
                MEASURED,
                f"The {name} could not be measured on {context.device.name}: {measurements[digest]['refused']}",
            ), {}
    people = sorted(validated.facts["splits"]["gate"])
    decision = _charge(context, ref, people, bundle, holder)
    gate = samples(context, validated, "gate")
    correct = scores_of(context, bundle.model_path, gate.x)[0].argmax(1) == gate.y
    theirs = None if holder is None else scores_of(context, holder.bundle.model_path, gate.x)[0].argmax(1) == gate.y
    evidence = Evidence(
        candidate=_measured(bundle, correct, measurements),
        champion=None if holder is None else _measured(holder.bundle, theirs, measurements),
        domains=np.asarray(gate.domains),
        groups=np.asarray(gate.recordings),
    )
    options: dict[str, Any] = {
        "decision": decision,
        "objectives": context.config.search.objectives,
        "domain_noun": context.config.data.domain_noun,
        "seed": context.config.seed,
    }
    verdict = decide(evidence, context.config.gate, context.constraints, **options)
    keep_evidence(context.store.workspace(ref), evidence, options)
    ours = errors_by_domain(correct, gate.domains)
    before = {} if theirs is None else errors_by_domain(theirs, gate.domains)
    return verdict, {name: {"candidate": ours[name], "champion": before.get(name)} for name in ours}


def _measured(bundle: Bundle, correct: Any, measurements: dict[str, Any]) -> Measured:
    measurement = measurements[bundle.digest]
    latency = measurement["latency"]
    return Measured(
        bundle.model_digest,
        correct,
        latency_ms=None if latency is None else latency["per_restart_median_ms"],
        latency_p95_ms=None if latency is None else latency["per_restart_p95_ms"],
        size_kb=measurement["size_kb"],
        peak_memory_mb=measurement["peak_memory_mb"],
    )


def _charge(context: Context, ref: str, people: list[str], bundle: Bundle, holder: Champion | None) -> int:
    """The number of this decision among all that read any of these people, claimed before they are read.

    The same decision, taken up again after a kill, keeps its number. Other rows of the same people, other figures or
    another policy make another decision, and so does a person added to those who were read before.
    """
    decision = {
        "token": digest_value(ref),
        "run": context.manifest.run,
        "device": context.device.name,
        "candidate": bundle.digest,
        "champion": None if holder is None else holder.bundle.digest,
        "people": people,
    }
    storage = FileStorage(context.home.ledger(context.project))
    while True:
        entries = {int(Path(key).stem): json.loads(storage.read(key)) for key in storage.list("gate/")}
        for entry in entries.values():
            if entry["token"] == decision["token"]:
                return int(entry["decision"])
        looks = [sum(person in entry["people"] for entry in entries.values()) for person in people]
        number = 1 + max(looks, default=0)
        document = {"version": 1, "decision": number, **decision}
        try:
            with context.guard.publishing():
                key = f"gate/{max(entries, default=0) + 1:06d}.json"
                storage.create(key, json.dumps(document, indent=1, sort_keys=True).encode())
        except AlreadyExists:
            # Another device's branch took the entry: look again.
            continue
        return number


def _held(rule: str, sentence: str) -> Verdict:
    return Verdict("hold", (Reason(rule, False, None, None, None, sentence),), 0, 0.0, "The gate split was not read.")


def _keep(context: Context, decision: dict[str, Any]) -> None:
    with context.guard.publishing():
        write_json(decision_path(context), {**decision, "signed": sign_decision(context, decision)})


def _log(context: Context, done: Done) -> None:
    verdict = done.facts["verdict"]
    with context.tracked(done.ref) as tracked:
        tracked.params(
            {"candidate": done.facts["candidate"], "champion": done.facts["champion"], "decision": verdict["decision"]}
        )
        tracked.metrics({"level": verdict["level"], "promote": float(verdict["outcome"] == "promote")})
        tracked.value(verdict, "verdict.json")
        tracked.tags({"evernas.verdict": verdict["outcome"], "evernas.reason": verdict["sentence"]})
