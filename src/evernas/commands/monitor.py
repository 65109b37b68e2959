"""`evernas monitor`: what production logged, held against what the gate promised; the work is in evernas.loop."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from evernas.commands.arguments import DEFAULT_CONFIG, AsJson, ConfigOption, DeviceName, HomePath, device_named, home_at
from evernas.errors import EXIT_HOLD


def monitor(
    log: Annotated[str, typer.Argument(help="Parquet file, folder, or s3://bucket/prefix of what production logged.")],
    config: ConfigOption = DEFAULT_CONFIG,
    device: DeviceName = None,
    domains: Annotated[bool, typer.Option("--domains", help="Name the domains, which may be people.")] = False,
    fail_on_incident: Annotated[
        bool, typer.Option("--fail-on-incident", help="End with 3 if there is a new incident.")
    ] = False,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Compare production with the champion's promise. An incident is told, asks the receiver for a run, and may propose
    a rollback."""
    from evernas.config import load_config
    from evernas.loop.monitoring import look_at, with_names

    parsed, place = load_config(config), home_at(home)
    look = with_names(look_at(parsed, place, device_named(parsed, device), log), domains)
    if as_json:
        typer.echo(json.dumps(look.to_json()))
    else:
        entry = look.entry
        typer.echo(f"The champion of {entry.device} is {entry.bundle[:12]}, entry {entry.number}.")
        for found in look.findings:
            what = f"{found.kind}{'' if found.of is None else f' of {found.of}'}"
            typer.echo(
                f"  {what}: {found.value:.4f}, at least {found.bound:.4f}; the limit is {found.limit:.4f} "
                f"({found.units} recordings){' BROKEN' if found.broken else ''}"
            )
        for sentence in [*look.remarks, *look.new]:
            typer.echo(sentence)
        if look.proposal is not None:
            typer.echo(
                f"Proposed: evernas rollback {config} --device {entry.device} --to {look.proposal} --reason "
                "'production breaks the promise'"
            )
    if look.new and fail_on_incident:
        raise typer.Exit(EXIT_HOLD)
