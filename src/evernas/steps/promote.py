"""The promote step: registers the candidate, and unless a person has to approve it, spends its signed verdict."""

from __future__ import annotations

from typing import Any

from evernas.bundle import Bundle, load_bundle
from evernas.errors import HoldError
from evernas.registry.bundles import copy_champion
from evernas.registry.card import CardFacts, model_card
from evernas.registry.keys import keyring
from evernas.registry.models import contract_of_bundle, fetch, project_alias, register
from evernas.registry.promotion import Leave, check_leave, promote
from evernas.registry.verdicts import moment
from evernas.state.files import read_json
from evernas.steps.context import Context
from evernas.steps.decision import evidence_file, policy_digest, read_decision, verdict_file
from evernas.steps.evidence import EVIDENCE


def run(context: Context, finalists: str) -> str:
    """Reference of the decision. HoldError if there is no valid verdict that promotes, or the journal has moved."""
    decision = read_decision(context)
    device, config = context.device.name, context.config.registry
    if decision["verdict"]["outcome"] != "promote":
        raise HoldError(f"The verdict on {device} is to hold: {decision['verdict']['sentence']}")
    leave = check_leave(
        decision.get("signed"),
        keyring(config, context.home),
        moment(),
        context.journal,
        context.project,
        device,
        policy_digest(context.config, device),
    )
    candidate = leave.statement.candidate
    bundle = load_bundle(fetch(context.home, context.project, candidate), expected=candidate)
    copy_champion(context.home, context.project, bundle)
    with context.opened() as tracked:
        model = register(
            tracked,
            context.project,
            bundle.path,
            bundle.digest,
            contract_of_bundle(bundle),
            _tags(context, bundle, leave, finalists),
            model_card(bundle, _card(context, decision, leave)),
        )
        tracked.value(leave.signed, verdict_file(device))
        tracked.value(read_json(context.store.get(decision["ref"]).file(EVIDENCE)), evidence_file(device))
        if config.approval:
            project_alias(context.home, context.project, device, context.journal)
            return _awaiting(context, leave, model)
        entry = promote(context.journal, leave, bundle, model, context.guard.publishing)
        project_alias(context.home, context.project, device, context.journal)
        tracked.params({"number": entry.number, "bundle": bundle.digest, "model": model})
    ref = f"promote/{device}-{entry.number}"
    context.account.made(ref)
    context.progress.end(
        f"{bundle.digest[:12]} is the champion of {device} (entry {entry.number}, {model})", reused=False
    )
    return ref


def _awaiting(context: Context, leave: Leave, model: str) -> str:
    """The candidate is registered and its verdict kept; `evernas promote` spends it when a person has approved."""
    device, until = context.device.name, leave.statement.expires_at
    ref = f"awaiting/{device}-{leave.statement.journal + 1}"
    context.account.made(ref)
    context.progress.end(f"{model} awaits approval for {device} until {until}", reused=False)
    return ref


def _tags(context: Context, bundle: Bundle, leave: Leave, finalists: str) -> dict[str, str]:
    return {
        "evernas.run": context.manifest.run,
        "evernas.device": context.device.name,
        "evernas.snapshot": bundle.extra["snapshot"],
        "evernas.space": context.space.id,
        "evernas.supernet": bundle.extra["supernet"],
        "evernas.search": context.store.get(finalists).facts["search"],
        "evernas.config": context.manifest.config_digest,
        "evernas.verdict": leave.statement.verdict_digest,
        "evernas.key": leave.signed["key"],
        "evernas.architecture": bundle.extra["architecture_record"]["id"],
    }


def _card(context: Context, decision: dict[str, Any], leave: Leave) -> CardFacts:
    gate = context.store.get(decision["ref"])
    errors = {name: float(row["candidate"]) for name, row in gate.facts["gate_error_by_domain"].items()}
    measured = context.store.find(gate.inputs["benchmark"])
    statement = leave.statement
    return CardFacts(
        project=context.project,
        device=statement.device,
        origin=f"Found, trained and promoted by evernas in run {statement.run}. {statement.verdict['sentence']}",
        domain_noun=context.config.data.domain_noun,
        trained_on=context.config.data.splits.by_recording,
        errors=errors,
        errors_of="the gate split",
        measurement=None if measured is None else measured.facts["measurements"].get(statement.candidate),
        verdict=statement.verdict,
        lineage={
            "gate split": statement.gate_split,
            "policy": statement.policy,
            "verdict": statement.verdict_digest,
            "signed with": leave.signed["key"],
            "champion before": statement.champion,
            "search space": context.space.id,
            "config": context.manifest.config_digest,
            "run": statement.run,
        },
    )
