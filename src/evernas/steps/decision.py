"""The decision of one device in one run, as the gate left it for promote, hold and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.bundle import load_bundle
from evernas.config import Config, DeviceConfig
from evernas.digest import digest_value
from evernas.registry.bundles import bundle_folder
from evernas.state.files import read_json
from evernas.state.sharing import fetched
from evernas.steps.context import Context
from evernas.steps.evidence import EVIDENCE
from evernas.steps.loading import champion

MEASURED = "measured"
CHAMPION = "champion"


def is_open(device: DeviceConfig, verdict: dict[str, Any]) -> bool:
    """Whether a verdict waits: the device could not be measured this time, or the champion could not be loaded.

    Recorded measurements are as they are: what the file lacks today it lacks until it is another file.
    """
    failed = {reason["rule"] for reason in verdict["reasons"] if not reason["passed"]}
    return CHAMPION in failed or (MEASURED in failed and device.recorded is None)


def decision_path(context: Context, device: str | None = None) -> Path:
    """Where the run keeps what the gate decided for a device; this branch's if none is named."""
    return context.run_folder / "decisions" / f"{device or context.device.name}.json"


def verdict_file(device: str) -> str:
    """What MLflow calls a device's signed verdict."""
    return f"verdict-{device}.json"


def evidence_file(device: str) -> str:
    """What MLflow calls the evidence of a device's promotion."""
    return f"evidence-{device}.json"


def read_decision(context: Context, device: str | None = None) -> dict[str, Any]:
    """Candidate, verdict and reference of a device's gate step."""
    decision: dict[str, Any] = read_json(fetched(context.home, decision_path(context, device)))
    return decision


def policy_digest(config: Config, device: str) -> str:
    """Digest of all that a verdict's policy holds: the gate's section, and what is asked of the device."""
    constraints = [c.model_dump(mode="json") for c in config.constraints if c.device in (None, device)]
    price = config.device(device).price_per_hour
    policy: dict[str, Any] = {
        "gate": config.section_digest("gate"),
        "constraints": constraints,
        "price_per_hour": price,
    }
    bounded = any(constraint["metric"] == "robust_error" for constraint in constraints)
    if bounded or config.gate.conditions_margin is not None:
        # What the bound is of.
        policy["robustness"] = [config.section_digest("robustness"), config.seed]
    return digest_value(policy)


def sign_decision(context: Context, decision: dict[str, Any]) -> dict[str, Any] | None:
    """The signed verdict of a decision that compared something; None for a hold that read nothing."""
    if decision["ref"] is None:
        return None
    from evernas.registry.keys import signing_key
    from evernas.registry.verdicts import Statement, expiry, moment, sign

    holder = champion(context)
    candidate = load_bundle(
        bundle_folder(context.home, context.project, decision["candidate"]), expected=decision["candidate"]
    )
    made_at, expires_at = expiry(moment(), context.config.registry.verdict_hours)
    statement = Statement(
        project=context.project,
        device=context.device.name,
        run=context.manifest.run,
        outcome=decision["verdict"]["outcome"],
        verdict=decision["verdict"],
        candidate=candidate.digest,
        candidate_model=candidate.model_digest,
        champion=None if holder is None else holder.bundle.digest,
        champion_model=None if holder is None else holder.bundle.model_digest,
        policy=policy_digest(context.config, context.device.name),
        gate_split=context.store.get(decision["ref"]).inputs["gate"],
        evidence=_evidence_digest(context, decision["ref"]),
        journal=context.manifest.journal.get(context.device.name, 0),
        made_at=made_at,
        expires_at=expires_at,
    )
    return sign(statement, signing_key(context.config.registry, context.home))


def _evidence_digest(context: Context, ref: str) -> str | None:
    """Digest of what the gate was shown; None where it held before it was shown anything."""
    path = context.store.get(ref).file(EVIDENCE)
    return digest_value(read_json(path)) if path.exists() else None
