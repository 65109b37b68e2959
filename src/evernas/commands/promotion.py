"""`evernas promote` and `evernas rollback`: changing the champion by a signed verdict, or back."""

from __future__ import annotations

from typing import Annotated

import typer

from evernas.commands.arguments import (
    ConfigPath,
    DeviceName,
    HomePath,
    RunName,
    VerdictFile,
    Why,
    device_named,
    home_at,
)


def promote(
    config: ConfigPath,
    device: DeviceName = None,
    run: RunName = "latest",
    verdict: VerdictFile = None,
    home: HomePath = None,
) -> None:
    """Make a run's candidate the champion by its signed verdict. Ends with 3 where the verdict does not allow it."""
    from evernas.config import load_config
    from evernas.loop.champions import promote_signed, signed_verdict

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    typer.echo(promote_signed(parsed, place, name, signed_verdict(parsed, place, run, name, verdict)))


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
) -> None:
    """Take an earlier champion up again. Ends with 3 where it does not meet the constraints of today."""
    from evernas.config import load_config
    from evernas.loop.rollback import roll_back_to

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    typer.echo(roll_back_to(parsed, place, name, to, force=force, reason=reason, say=lambda s: typer.echo(s, err=True)))
