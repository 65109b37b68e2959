"""The `evernas-pipelines` command: what people and CI ask of a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evernas.errors import EvernasError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Runs of evernas on a KFP cluster.")
ConfigPath = Annotated[Path, typer.Argument(help="The project's YAML config.", show_default=False)]


@app.callback()
def _commands() -> None:
    """Runs of evernas on a KFP cluster."""


@app.command()
def schedule(config: ConfigPath) -> None:
    """Create or update the nightly run: pinned version, one at a time, no catch-up. Asking again changes nothing."""
    from evernas.config import load_config
    from evernas_pipelines.cluster import submitter

    typer.echo(submitter(load_config(config)).schedule())


@app.command()
def submit(
    config: ConfigPath,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run; a run of this name that works or has worked is kept.", show_default=False),
    ] = None,
) -> None:
    """Start a run by hand. It ends in its first step if another run of the project works."""
    from datetime import UTC, datetime

    from evernas.config import load_config
    from evernas_pipelines.cluster import submitter

    parsed = load_config(config)
    cluster = submitter(parsed)
    run = name or f"{parsed.project}-manual-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    found = cluster.find(run)
    if found is not None and found.state in ("running", "succeeded"):
        typer.echo(f"The run {run} exists and is {found.state}: {found.handle}.")
        return
    typer.echo(f"The run {run} was submitted: {cluster.submit(run)}.")


def main() -> None:
    """Run the command; an error is a sentence on standard error and the exit code of its kind."""
    try:
        app()
    except EvernasError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
