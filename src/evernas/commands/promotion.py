"""`evernas decide`, `promote` and `rollback`: changing the champion by a verdict that is made, signed, or old."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from evernas.commands.arguments import (
    AsJson,
    ConfigPath,
    DeviceName,
    HomePath,
    RunName,
    VerdictFile,
    Why,
    device_named,
    home_at,
    say_champion,
)


def promote(
    config: ConfigPath,
    device: DeviceName = None,
    run: RunName = "latest",
    verdict: VerdictFile = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Make a run's candidate the champion by its signed verdict. Ends with 3 where the verdict does not allow it."""
    from evernas.config import load_config
    from evernas.loop.champions import promote_signed, signed_verdict

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    say_champion(
        parsed,
        place,
        name,
        promote_signed(parsed, place, name, signed_verdict(parsed, place, run, name, verdict)),
        as_json,
    )


def decide(
    config: ConfigPath,
    run: Annotated[str, typer.Option("--run", help="Name of the run, on a cluster.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Decide on what a run on a cluster has handed over: gate, promotion and report, where their keys are."""
    from evernas.config import load_config
    from evernas.loop.decide import decide

    decided = decide(load_config(config), run)
    if as_json:
        typer.echo(json.dumps(decided))
        return
    for device, decision in decided.items():
        typer.echo(f"{device}: {decision}")
    if not decided:
        typer.echo(f"Run {run} was decided before.")


def rollback(
    config: ConfigPath,
    device: DeviceName = None,
    to: Annotated[
        int | None,
        typer.Option(
            help="Number of a journal entry; what stood before the champion if not given.", show_default=False
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it does not meet the constraints; needs --reason.")
    ] = False,
    reason: Why = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Take an earlier champion up again. Ends with 3 where it does not meet the constraints of today."""
    from evernas.config import load_config
    from evernas.loop.rollback import roll_back_to

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    said = roll_back_to(parsed, place, name, to, force=force, reason=reason, say=lambda s: typer.echo(s, err=True))
    say_champion(parsed, place, name, said, as_json)
