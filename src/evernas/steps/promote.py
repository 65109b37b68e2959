"""The promote step: registers the candidate, claims the journal's next entry, and projects it to MLflow's aliases."""

from __future__ import annotations

from evernas.bundle import load_bundle
from evernas.digest import digest_value
from evernas.errors import HoldError
from evernas.gate import Verdict
from evernas.registry import journal
from evernas.registry.models import project_alias, register
from evernas.state.runs import now
from evernas.steps.context import Context
from evernas.steps.decision import read_decision


def run(context: Context, finalists: str) -> str:
    """Reference of the decision. HoldError if the verdict does not promote, or the journal has moved."""
    decision = read_decision(context)
    verdict = Verdict.from_json(decision["verdict"])
    if verdict.outcome != "promote":
        raise HoldError(f"The verdict on {context.device.name} is to hold: {verdict.sentence()}")
    device, folder = context.device.name, context.home.journal(context.project)
    bundle = load_bundle(
        context.home.bundles(context.project) / decision["candidate"][:16], expected=decision["candidate"]
    )
    number = context.manifest.journal.get(device, 0) + 1
    verdict_digest = digest_value(decision["verdict"])
    facts = context.store.get(finalists).facts
    with context.opened() as tracked:
        contract = bundle.contract
        model = register(
            tracked,
            context.project,
            bundle.path,
            bundle.digest,
            {
                "input": contract.input_name,
                "output": contract.output_name,
                "shape": contract.shape,
                "classes": len(bundle.labels),
            },
            {
                "evernas.run": context.manifest.run,
                "evernas.device": device,
                "evernas.snapshot": bundle.extra["snapshot"],
                "evernas.space": context.space.id,
                "evernas.supernet": bundle.extra["supernet"],
                "evernas.search": facts["search"],
                "evernas.config": context.manifest.config_digest,
                "evernas.verdict": verdict_digest,
                "evernas.architecture": bundle.extra["architecture_record"]["id"],
            },
        )
        entry = journal.Entry(
            number=number,
            device=device,
            bundle=bundle.digest,
            architecture=bundle.extra["architecture"],
            run=context.manifest.run,
            verdict=verdict_digest,
            model=model,
            promoted_at=now(),
            token=digest_value([context.manifest.run, device, bundle.digest, verdict_digest]),
        )
        with context.guard.publishing():
            entry = journal.claim(folder, entry)
        project_alias(context.home, context.project, device)
        tracked.params({"number": entry.number, "bundle": bundle.digest, "model": model})
    ref = f"promote/{device}-{entry.number}"
    context.account.made(ref)
    context.progress.end(
        f"{bundle.digest[:12]} is the champion of {device} (entry {entry.number}, {model})", reused=False
    )
    return ref
