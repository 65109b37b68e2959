"""`evernas serve` and `evernas events`: the receiver, and what it has received; the work is in triggers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evernas.commands.arguments import AsJson, ConfigPath, HomePath, home_at
from evernas.errors import UsageError


def serve(
    configs: Annotated[
        list[Path],
        typer.Argument(help="The project's YAML config; several serve several projects.", metavar="CONFIG..."),
    ],
    home: HomePath = None,
) -> None:
    """Receive events, and start one run for them after a quiet period."""
    from evernas.config import load_config

    place, service = home_at(home), _service()
    from evernas.loop.receiving import aside_of

    parsed = [(load_config(path), path) for path in configs]
    service.serve([service.Served(config, path, aside_of(config, path, place)) for config, path in parsed], place)


events = typer.Typer(no_args_is_help=True, help="What `evernas serve` has received, and what came of it.")


@events.command("list")
def events_list(
    config: ConfigPath,
    home: HomePath = None,
    state: Annotated[str | None, typer.Option(help="new, gathered, ignored, done or dead.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List events, newest first. Those whose run was given up are `dead`."""
    from evernas.triggers.listing import list_events

    project, database = _inbox(config, home)
    rows = list_events(database, project, state, limit)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        what = f"{row['source']} {row['bucket']} {row['key']} {row['label']}"
        typer.echo(f"{row['seq']:>8}  {row['received_at']}  {row['state']:<8}  {what}  {row['reason']}".rstrip())


@events.command("show")
def events_show(
    config: ConfigPath,
    number: Annotated[int, typer.Argument()],
    home: HomePath = None,
    as_json: Annotated[bool, typer.Option("--json", help="As ever: an event is shown as JSON.")] = False,
) -> None:
    """Show an event with its work and every attempt at it, as JSON."""
    from evernas.triggers.listing import show

    project, database = _inbox(config, home)
    typer.echo(json.dumps(show(database, project, number), indent=1))


@events.command("replay")
def events_replay(
    config: ConfigPath,
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers of events.", show_default=False)] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All events whose run was given up.")] = False,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Ask for runs anew for events that are done with."""
    from evernas.triggers.listing import replay

    project, database = _inbox(config, home)
    count = replay(database, project, numbers or [], dead)
    typer.echo(json.dumps({"events": count}) if as_json else f"{count} events are new again.")


@events.command("migrate")
def events_migrate(config: ConfigPath, home: HomePath = None, as_json: AsJson = False) -> None:
    """Bring the inbox's tables to this version of evernas, before receivers of this version start."""
    project, database = _inbox(config, home)
    database.close()
    where = repr(database)
    typer.echo(json.dumps({"inbox": where}) if as_json else f"The inbox of {project} is up to date: {where}.")


def _inbox(config: Path, home: Path | None) -> Any:
    """The project's name and its inbox."""
    from evernas.config import load_config

    parsed = load_config(config)
    database = _service().database_of(parsed, home_at(home))
    database.migrate()
    return parsed.project, database


def _service() -> Any:
    try:
        from evernas.triggers import service
    except ImportError as error:
        raise UsageError(f"The receiver lacks a package ({error}): install evernas[service].") from None
    return service
