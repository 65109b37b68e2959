"""Changing and showing champions by hand: promotion by a signed verdict, the anchor, aliases, where the files are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import short
from evernas.errors import HoldError, UsageError
from evernas.registry.card import CardFacts, model_card
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.keys import keyring
from evernas.registry.models import contract_of_bundle, fetch, find_version, project_alias, register, run_artifact
from evernas.registry.opening import open_journal
from evernas.registry.promotion import Leave, anchor, check_leave, promote, refuse_without_reason
from evernas.registry.tracking import registering, without_password
from evernas.registry.verdicts import moment
from evernas.state import Home
from evernas.state.files import read_json
from evernas.state.runs import new_run_id, newest_run
from evernas.steps.decision import evidence_file, policy_digest, verdict_file
from evernas.steps.evidence import EVIDENCE


def signed_verdict(config: Config, home: Home, run: str, device: str, file: Path | None) -> Any:
    """The signed verdict in a file, or that of a run, by the state folder or by MLflow.

    UsageError if there is none; HoldError if the gate held and signed nothing.
    """
    if file is not None:
        return _read(file)
    path = _decision(config, home, run, device)
    if path.exists():
        decision = read_json(path)
        if decision.get("signed") is None:
            raise HoldError(f"The gate held on {device} without comparing: {decision['verdict']['sentence']}")
        return decision["signed"]
    found = run_artifact(home, config.project, run, device, verdict_file(device))
    if found is None:
        raise UsageError(
            f"Run {run} has no decision on {device} in {home.path}, and MLflow at "
            f"{without_password(home.tracking_uri)} has no candidate of it: name a run that was not "
            "held, or a file with --verdict."
        )
    return found


def evidence_of(config: Config, home: Home, run: str, device: str, file: Path | None) -> Any:
    """The evidence in a file, or that of a run, by the state folder or by MLflow; None if there is none."""
    if file is not None:
        return _read(file)
    path = _decision(config, home, run, device)
    if path.exists():
        kept = home.steps(config.project) / str(read_json(path)["ref"]) / EVIDENCE
        return read_json(kept) if kept.exists() else None
    return run_artifact(home, config.project, run, device, evidence_file(device))


def _decision(config: Config, home: Home, run: str, device: str) -> Path:
    """Where a run's decision is; `latest` is the newest of this project."""
    name = newest_run(home, config.project) if run == "latest" else run
    return home.run(name or run) / "decisions" / f"{device}.json"


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}): name a file that exists.") from None
    except ValueError:
        raise UsageError(f"{file} is no JSON: name a file that evernas wrote.") from None


def promote_signed(config: Config, home: Home, device: str, signed: Any) -> str:
    """Make the verdict's candidate the champion of the device; the sentence to say. HoldError if it may not be."""
    journal = open_journal(home, config)
    keys = keyring(config.registry, home)
    leave = check_leave(signed, keys, moment(), journal, config.project, device, policy_digest(config, device))
    statement = leave.statement
    bundle = load_bundle(fetch(home, config.project, statement.candidate), expected=statement.candidate)
    model = find_version(home, config.project, bundle.digest, statement.run, device)
    if model is None:
        model = _register(config, home, leave)
    entry = promote(journal, leave, bundle, model)
    project_alias(home, config.project, device, journal)
    again = "already " if leave.done is not None else ""
    return f"{short(entry.bundle)} is {again}the champion of {device} (entry {entry.number}, {entry.model})."


def _register(config: Config, home: Home, leave: Leave) -> str:
    statement = leave.statement
    bundle = load_bundle(fetch(home, config.project, statement.candidate), expected=statement.candidate)
    facts = CardFacts(
        project=config.project,
        device=statement.device,
        origin=f"Found and trained by evernas in run {statement.run}. {statement.verdict['sentence']}",
        domain_noun=config.data.domain_noun,
        trained_on=config.data.splits.by_recording,
        verdict=statement.verdict,
        lineage={"gate split": statement.gate_split, "policy": statement.policy, "run": statement.run},
    )
    tags = {
        "evernas.run": statement.run,
        "evernas.device": statement.device,
        "evernas.verdict": statement.verdict_digest,
        "evernas.key": leave.signed["key"],
        **{f"evernas.{name}": str(bundle.extra[name]) for name in ("snapshot", "supernet") if bundle.extra.get(name)},
    }
    with registering(config, home, statement.run, "promote", statement.device) as tracked:
        card = model_card(bundle, facts)
        return register(tracked, config.project, bundle.path, bundle.digest, contract_of_bundle(bundle), tags, card)


def repair_aliases(config: Config, home: Home, journal: Journal) -> None:
    """Make the aliases of every device what the journal says."""
    for device in config.devices:
        project_alias(home, config.project, device.name, journal)


def where(config: Config, home: Home, entry: Entry) -> str:
    """Where a champion's files are, or that they are only in MLflow."""
    folder = home.bundles(config.project) / short(entry.bundle)
    return f"files in {folder}" if folder.exists() else "files in MLflow only"


def reset_anchor(config: Config, home: Home, device: str, reason: str | None) -> str:
    """Journal that the champion is the anchor from here on; the sentence to say."""
    said = refuse_without_reason(reason, "Resetting the anchor")
    journal = open_journal(home, config)
    head = journal.head(device)
    if head is None:
        raise UsageError(f"{device} has no champion, so there is nothing to anchor: promote or import one first.")
    entry = anchor(journal, head, f"anchor-{new_run_id()}", said)
    project_alias(home, config.project, device, journal)
    return f"{short(entry.bundle)} is the anchor of {device} from entry {entry.number} on."
