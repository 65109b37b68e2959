"""The `evernas` command: arguments in, sentences and exit codes out; the work is elsewhere."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from evernas.commands import benchmark, promotion, reporting, serving, starting
from evernas.commands.arguments import AsJson, ConfigPath, HomePath, home_at
from evernas.commands.champion import app as champion_commands
from evernas.commands.data import app as data_commands
from evernas.commands.data import gc
from evernas.commands.gate import app as gate_commands
from evernas.commands.monitor import monitor
from evernas.commands.search import search
from evernas.commands.state import app as state_commands
from evernas.commands.telling import app as outbox_commands
from evernas.errors import (
    EXIT_DONE,
    EXIT_FAILURE,
    EXIT_HOLD,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    EvernasError,
    UsageError,
    refused_by_disk,
)

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Continuous, hardware-aware neural architecture search that promotes only what is shown to be better.",
)

app.command()(starting.init)
app.add_typer(champion_commands, name="champion")
app.add_typer(gate_commands, name="gate")
app.add_typer(data_commands, name="data")
app.command()(gc)
app.command()(search)
app.command()(benchmark.benchmark)
app.command()(reporting.report)
app.command()(promotion.decide)
app.command()(monitor)
app.command()(promotion.promote)
app.command()(promotion.rollback)
app.command()(serving.serve)
app.add_typer(serving.events, name="events")
app.add_typer(outbox_commands, name="outbox")
app.add_typer(state_commands, name="state")


@app.command()
def run(
    config: ConfigPath,
    home: HomePath = None,
    fail_on_hold: Annotated[bool, typer.Option("--fail-on-hold", help="End with 3 if no device was promoted.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for another run that holds the state folder.")] = 3600.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only how it ended, and errors.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Also show what the steps themselves print, as in the run's log.txt."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the loop: ingest what is new, train, search, measure, decide. A killed run goes on where it was."""
    from rich.console import Console

    from evernas.config import load_config
    from evernas.loop import preflight
    from evernas.loop.follow import Follower
    from evernas.loop.start import start
    from evernas.report import summary_table

    if quiet and verbose:
        raise UsageError("--quiet and --verbose are both given: give one of them.")
    parsed, place = load_config(config), home_at(home)
    preflight.check(parsed, place.path)
    console = Console(file=sys.stderr if as_json else sys.stdout)
    # A log has lines of any length; only a terminal has a width.
    progress = Console(file=console.file, quiet=quiet, soft_wrap=not console.is_terminal)
    try:
        ending = start(
            parsed,
            place,
            wait,
            lambda text: progress.print(text, highlight=False, markup=False),
            lambda events: Follower(events, progress, events.with_name("log.txt") if verbose else None),
        )
    except KeyboardInterrupt:
        typer.echo("Stopped. Run the same command again to go on from here.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if ending.result is None:
        typer.echo(ending.sentence, err=True)
        raise typer.Exit(ending.exit_code)
    if as_json:
        typer.echo(ending.result.model_dump_json())
    else:
        console.print(summary_table(ending.result))
        console.print(f"Report: {place.run(ending.run) / 'report.html'}", highlight=False, soft_wrap=True)
    if fail_on_hold and ending.result.outcome in ("held", "stopped"):
        raise typer.Exit(EXIT_HOLD)


@app.command()
def plan(config: ConfigPath, home: HomePath = None, as_json: AsJson = False) -> None:
    """Say what a run would do, without doing it: new data, steps already done, evaluations, estimated seconds."""
    from rich.console import Console

    from evernas.config import load_config
    from evernas.loop import preflight
    from evernas.loop.plan import plan_of, print_plan

    parsed, place = load_config(config), home_at(home)
    preflight.check(parsed, place.path)
    foreseen = plan_of(parsed, place)
    if as_json:
        typer.echo(json.dumps(foreseen.to_json()))
    else:
        print_plan(foreseen, Console())


@app.command()
def schema(
    of: Annotated[str, typer.Argument(help="config or result.")] = "config",
    as_json: Annotated[bool, typer.Option("--json", help="As ever: a schema is JSON.")] = False,
) -> None:
    """Print the JSON schema of the config, or of result.json."""
    from pydantic import BaseModel

    from evernas.config import Config
    from evernas.result import Result

    models: dict[str, type[BaseModel]] = {"config": Config, "result": Result}
    if of not in models:
        typer.echo(f"There is no schema of {of!r}: ask for config or result.", err=True)
        raise typer.Exit(EXIT_USAGE)
    typer.echo(json.dumps(models[of].model_json_schema(), indent=2))


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from evernas import __version__

        typer.echo(__version__)
        raise typer.Exit(EXIT_DONE)


def main() -> None:
    """Run the command; an error is a sentence on standard error and the exit code of its kind."""
    try:
        app()
    except EvernasError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        sentence = refused_by_disk(error)
        if sentence is None:
            raise
        typer.echo(sentence, err=True)
        sys.exit(EXIT_FAILURE)


if __name__ == "__main__":
    main()
