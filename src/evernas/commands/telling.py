"""`evernas outbox`: what has happened, as events for others: lists them, sends them, sends them again."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evernas.commands.arguments import AsJson, ConfigPath, HomePath, home_at

if TYPE_CHECKING:
    from evernas.config import Config
    from evernas.state import Home
    from evernas.triggers.database import Database

app = typer.Typer(no_args_is_help=True, help="Events of promotions, holds, incidents and failures, for others.")


@app.command("list")
def list_(
    config: ConfigPath,
    home: HomePath = None,
    state: Annotated[str | None, typer.Option(help="sending, sent or dead.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List events with their deliveries, newest first. Those that a sink did not take to the end are `dead`."""
    from evernas.outbox.sending import listed

    parsed, _, database = _opened(config, home)
    rows = listed(database, parsed.project, state, limit)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        event = row["event"]
        typer.echo(f"{row['number']:>6}  {event['time']}  {event['type']}  {event['subject']}")
        for one in row["deliveries"]:
            typer.echo(f"        {one['sink']}: {one['state']}, {one['attempts']} tries {one['reason']}".rstrip())


@app.command()
def send(
    config: ConfigPath,
    home: HomePath = None,
    follow: Annotated[
        float | None, typer.Option(min=1, help="Send what is due every so many seconds, until stopped.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send what is due. `evernas serve` does it by itself; this is for a machine where no receiver runs."""
    from evernas.errors import EvernasError
    from evernas.loop.receiving import home_of_runs
    from evernas.outbox.sending import Sender
    from evernas.registry.opening import open_journal

    parsed, place, database = _opened(config, home)
    runs = home_of_runs(parsed, place)
    sender = Sender(parsed, database, runs, open_journal(runs, parsed))
    while True:
        try:
            found = sender.look()
        except EvernasError as error:
            if follow is None:
                raise
            typer.echo(str(error), err=True)
        else:
            if follow is None or found.collected or found.sent or found.failed:
                said = f"{found.collected} new events, {found.sent} posts taken, {found.failed} not taken."
                typer.echo(json.dumps(asdict(found)) if as_json else said)
        if follow is None:
            return
        time.sleep(follow)


@app.command()
def replay(
    config: ConfigPath,
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers of events.", show_default=False)] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All events that a sink did not take to the end.")] = False,
    sink: Annotated[str | None, typer.Option(help="To this sink alone.", show_default=False)] = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Send events again, under the ids that they had."""
    from evernas.outbox.sending import replay as again

    parsed, _, database = _opened(config, home)
    posts = again(database, parsed, numbers or [], dead, sink)
    typer.echo(json.dumps({"posts": posts}) if as_json else f"{posts} posts will be sent again.")


@app.command()
def keys(config: ConfigPath, as_json: AsJson = False) -> None:
    """Print the public keys by which sinks can check what is posted to them."""
    from evernas.config import load_config
    from evernas.outbox.posting import public_key

    parsed = load_config(config)
    found = {one.name: public_key(one) for one in ([] if parsed.outbox is None else parsed.outbox.sinks)}
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, public in found.items():
        typer.echo(f"{name}: {public or 'signed by its secret alone'}")


def _opened(config: Path, home: Path | None) -> tuple[Config, Home, Database]:

    from evernas.config import load_config
    from evernas.errors import UsageError

    parsed, place = load_config(config), home_at(home)
    try:
        from evernas.outbox.sending import database_of
    except ImportError as error:
        raise UsageError(f"The outbox lacks a package ({error}): install evernas[service].") from None
    database = database_of(parsed, place)
    database.migrate()
    return parsed, place, database
