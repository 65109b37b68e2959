"""`evernas gate`: the verdicts' key, and verifying a signed verdict without reading the gate split."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evernas.commands.arguments import (
    AsJson,
    ConfigPath,
    DeviceName,
    HomePath,
    RunName,
    VerdictFile,
    device_named,
    home_at,
)
from evernas.errors import HoldError

app = typer.Typer(no_args_is_help=True, help="Verdicts of the gate: their key, and their verification.")


@app.command()
def key(config: ConfigPath, home: HomePath = None, as_json: AsJson = False) -> None:
    """Print the public key that registry.verdict_keys takes, where the gate runs; makes one here if there is none."""
    from evernas.config import load_config
    from evernas.registry.keys import key_id, public_text, signing_key

    parsed, place = load_config(config), home_at(home)
    own = signing_key(parsed.registry.model_copy(update={"verdict_keys": []}), place).public_key()
    if as_json:
        typer.echo(json.dumps({"key": key_id(own), "public": public_text(own)}))
        return
    typer.echo(f"Key {key_id(own)}", err=True)
    typer.echo(public_text(own))


@app.command()
def verify(
    config: ConfigPath,
    device: DeviceName = None,
    run: RunName = "latest",
    verdict: VerdictFile = None,
    evidence: Annotated[
        Path | None, typer.Option(help="A file with the verdict's evidence, instead of a run's.", show_default=False)
    ] = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Verify a signed verdict and decide again from its evidence, as promote will; ends with 3 where it does not hold.

    In a GitHub job it also appends to the job's summary, and sets the outputs outcome, device, candidate and expires.
    """
    from evernas.config import load_config
    from evernas.loop.champions import evidence_of, signed_verdict
    from evernas.loop.verification import verify_verdict
    from evernas.report.job import append_outputs, append_summary, decision_summary, hold_summary

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    summary, outputs = os.environ.get("GITHUB_STEP_SUMMARY"), os.environ.get("GITHUB_OUTPUT")
    try:
        signed = signed_verdict(parsed, place, run, name, verdict)
        verified = verify_verdict(parsed, place, name, signed, evidence_of(parsed, place, run, name, evidence))
    except HoldError as error:
        if summary:
            append_summary(Path(summary), hold_summary(name, str(error)))
        if outputs:
            append_outputs(Path(outputs), {"outcome": "hold", "device": name, "reason": str(error)})
        raise
    statement = verified.leave.statement
    sentence = (
        f"Signed by key {verified.leave.signed['key']} at journal number {statement.journal}, valid until "
        f"{statement.expires_at}; its evidence gives the same verdict again."
    )
    if summary:
        bound = {
            "candidate": statement.candidate,
            "champion": statement.champion or "none",
            "policy": statement.policy,
            "gate split": statement.gate_split,
            "run": statement.run,
        }
        append_summary(Path(summary), decision_summary(name, verified.verdict, bound, sentence))
    if outputs:
        found = {"outcome": "promote", "device": name, "reason": statement.verdict["sentence"]}
        append_outputs(Path(outputs), {**found, "candidate": statement.candidate, "expires": statement.expires_at})
    if as_json:
        typer.echo(json.dumps({"sentence": sentence, "key": verified.leave.signed["key"], **asdict(statement)}))
        return
    typer.echo(" ".join(said for said in (statement.verdict["sentence"], statement.verdict["scope"], sentence) if said))
