"""The `evernas` command: arguments in, sentences and exit codes out; the work is elsewhere."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evernas.errors import EXIT_DONE, EXIT_HOLD, EXIT_INTERRUPTED, EXIT_USAGE, EvernasError

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Continuous, hardware-aware neural architecture search that promotes only what is shown to be better.",
)

ConfigPath = Annotated[Path, typer.Argument(help="The project's YAML config.", show_default=False)]
HomePath = Annotated[
    Path | None,
    typer.Option("--home", help="State folder; $EVERNAS_HOME or ./.evernas if not given.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs, and nothing else, on standard output.")]


def _home(path: Path | None) -> Any:
    from evernas.state import Home

    return Home(path.absolute()) if path else Home.default()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder of your recordings (Parquet).", show_default=False)],
    out: Annotated[Path, typer.Option(help="The config to write.")] = Path("evernas.yaml"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the guesses.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the config.")] = False,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Make a config from a folder of your own data: looks at it, guesses, and says why in the config's comments."""
    from evernas.init import ask, look_at, propose, refuse_existing, write

    refuse_existing(out, force)
    proposal = propose(look_at(folder.absolute()))
    if not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        proposal = ask(proposal, lambda question, guess: str(typer.prompt(question, default=guess)), typer.echo)
    write(proposal, out, _home(home).path, force)
    if as_json:
        typer.echo(json.dumps(proposal.to_json(out)))
        return
    for sentence in proposal.sentences():
        typer.echo(sentence)
    typer.echo(f"Written: {out}, each guess with its reason. Next: evernas plan {shlex.quote(str(out))}")


@app.command()
def run(
    config: ConfigPath,
    home: HomePath = None,
    fail_on_hold: Annotated[bool, typer.Option("--fail-on-hold", help="End with 3 if no device was promoted.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for another run that holds the state folder.")] = 3600.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only how it ended, and errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the loop: ingest what is new, train, search, measure, decide. A killed run goes on where it was."""
    from rich.console import Console

    from evernas.config import load_config
    from evernas.loop import preflight
    from evernas.loop.follow import Follower
    from evernas.loop.start import start
    from evernas.report import summary_table

    parsed, place = load_config(config), _home(home)
    preflight.check(parsed, place.path)
    console = Console(file=sys.stderr if as_json else sys.stdout)
    progress = Console(file=console.file, quiet=quiet)
    try:
        ending = start(
            parsed,
            place,
            wait,
            lambda text: progress.print(text, highlight=False, markup=False),
            lambda events: Follower(events, progress),
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
    if fail_on_hold and ending.result.outcome == "held":
        raise typer.Exit(EXIT_HOLD)


@app.command()
def plan(config: ConfigPath, home: HomePath = None, as_json: AsJson = False) -> None:
    """Say what a run would do, without doing it: new data, steps already done, evaluations, estimated seconds."""
    from rich.console import Console

    from evernas.config import load_config
    from evernas.loop import preflight
    from evernas.loop.plan import plan_of, print_plan

    parsed, place = load_config(config), _home(home)
    preflight.check(parsed, place.path)
    foreseen = plan_of(parsed, place)
    if as_json:
        typer.echo(json.dumps(foreseen.to_json()))
    else:
        print_plan(foreseen, Console())


@app.command()
def champion(config: ConfigPath, home: HomePath = None, as_json: AsJson = False) -> None:
    """Say which network is in production on each device, by the journal; repairs MLflow's aliases to match it."""
    from evernas.config import load_config
    from evernas.registry.journal import head
    from evernas.registry.models import project_alias

    parsed, place = load_config(config), _home(home)
    entries = {device.name: head(place.journal(parsed.project), device.name) for device in parsed.devices}
    for name, entry in entries.items():
        if entry is not None:
            project_alias(place, parsed.project, name)
    if as_json:
        typer.echo(json.dumps({name: None if entry is None else entry.to_json() for name, entry in entries.items()}))
        return
    for name, entry in entries.items():
        if entry is None:
            typer.echo(f"{name}: no champion yet.")
        else:
            bundle = place.bundles(parsed.project) / entry.bundle[:16]
            typer.echo(
                f"{name}: {entry.bundle[:12]}, promoted as number {entry.number} on {entry.promoted_at} "
                f"by run {entry.run}; "
                f"{entry.model}; files in {bundle}"
            )


@app.command()
def report(
    home: HomePath = None,
    run: Annotated[str, typer.Option("--run", help="Name of a run.")] = "latest",
    all_runs: Annotated[
        bool, typer.Option("--all", help="Write an index over all runs into the state folder.")
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the path of a run's HTML report, or of an index over all runs; with --json, what they say."""
    place = _home(home)
    if all_runs:
        from evernas.loop.overview import summary, write_overview

        path = write_overview(place)
    else:
        path = (place.latest if run == "latest" else place.run(run)) / "report.html"
    if not path.exists():
        raise EvernasError(f"There is no report {path}: run `evernas run` first, or name one of {place.runs}.")
    if as_json:
        said = summary(place) if all_runs else json.loads((path.parent / "result.json").read_bytes())
        typer.echo(json.dumps({"report": str(path.resolve()), **said}))
    else:
        typer.echo(path.resolve())
    if open_it:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


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


if __name__ == "__main__":
    main()
