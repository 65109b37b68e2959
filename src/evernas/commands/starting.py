"""`evernas init`: a first config from a folder of one's own data; the work is in evernas.init."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from evernas.commands.arguments import AsJson, HomePath, home_at


def init(
    folder: Annotated[
        Path,
        typer.Argument(
            help="The folder of your recordings (Parquet), or texts (CSV, JSON lines, Parquet).", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="The config to write.")] = Path("evernas.yaml"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the guesses.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the config.")] = False,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Make a config from a folder of your own data: looks at it, guesses, and says why in the config's comments."""
    from evernas.init import ask, holds_texts, look_at, look_at_texts, propose, refuse_existing, write

    refuse_existing(out, force)
    look = look_at_texts if holds_texts(folder.absolute()) else look_at
    proposal = propose(look(folder.absolute()))
    if not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        proposal = ask(proposal, lambda question, guess: str(typer.prompt(question, default=guess)), typer.echo)
    write(proposal, out, home_at(home).path, force)
    if as_json:
        typer.echo(json.dumps(proposal.to_json(out)))
        return
    for sentence in proposal.sentences():
        typer.echo(sentence)
    typer.echo(f"Written: {out}, each guess with its reason. Next: evernas plan {shlex.quote(str(out))}")
