"""`evernas champion`: says which network is in production, fetches it, imports one, resets the anchor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evernas.commands.arguments import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigOption,
    ConfigPath,
    DeviceName,
    HomePath,
    Why,
    device_named,
    home_at,
    say_champion,
)

SHOW = "show"


class _ShowByDefault(TyperGroup):
    """`evernas champion CONFIG` is `evernas champion show CONFIG`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ShowByDefault,
    no_args_is_help=True,
    help="The network in production on each device: show it (`evernas champion CONFIG`), download it, import one, "
    "reset the anchor.",
)


@app.command(SHOW)
def show(config: ConfigPath, home: HomePath = None, as_json: AsJson = False) -> None:
    """Say which network is in production on each device, by the journal; repairs MLflow's aliases to match it."""
    from evernas.config import load_config
    from evernas.loop.champions import repair_aliases, where
    from evernas.registry.opening import open_journal

    parsed, place = load_config(config), home_at(home)
    journal = open_journal(place, parsed)
    entries = {device.name: journal.head(device.name) for device in parsed.devices}
    repair_aliases(parsed, place, journal)
    if as_json:
        shown = {name: None if entry is None else entry.to_json() for name, entry in entries.items()}
        typer.echo(json.dumps(shown))
        return
    for name, entry in entries.items():
        if entry is None:
            typer.echo(f"{name}: no champion yet.")
            continue
        came = {"promotion": "promoted", "import": "imported", "rollback": "taken up again", "anchor": "anchored"}
        why = f" ({entry.reason})" if entry.reason else ""
        typer.echo(
            f"{name}: {entry.bundle[:12]}, {came[entry.kind]} as number {entry.number} on {entry.promoted_at} "
            f"by run {entry.run}{why}; {entry.model}; {where(parsed, place, entry)}"
        )


@app.command()
def download(
    folder: Annotated[Path, typer.Argument(help="Folder to keep it in; `current` in it is the champion.")],
    config: ConfigOption = DEFAULT_CONFIG,
    device: DeviceName = None,
    follow: Annotated[
        float | None, typer.Option(min=1, help="Look for a new champion every so many seconds, until stopped.")
    ] = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the champion for those who serve it: digests and signature checked, and switched at once."""
    import time

    from evernas.config import load_config
    from evernas.errors import EvernasError
    from evernas.registry.delivery import deliver

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    while True:
        try:
            found = deliver(parsed, place, name, folder.absolute())
        except (EvernasError, OSError) as error:
            if follow is None:
                raise
            typer.echo(f"{folder / 'current'} stays as it is. {error}", err=True)
        else:
            if as_json:
                typer.echo(json.dumps({"folder": str(found.folder), "changed": found.changed, **found.entry.to_json()}))
            elif found.changed or follow is None:
                came = "is now" if found.changed else "is"
                typer.echo(
                    f"{folder / 'current'} {came} {found.entry.bundle[:12]}, entry {found.entry.number} of {name}."
                )
        if follow is None:
            return
        time.sleep(follow)


@app.command("import")
def import_(
    model: Annotated[Path, typer.Argument(help="An ONNX file.", show_default=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    device: DeviceName = None,
    declared: Annotated[
        Path | None,
        typer.Option(
            help="YAML that declares input contract, label map and preprocessing; MODEL.yaml beside the model if not "
            "given.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a champion; needs --reason.")] = False,
    reason: Why = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Make a network from elsewhere the champion, after it was loaded, run and measured on the device."""
    from evernas.config import load_config
    from evernas.loop.declaring import read_declaration
    from evernas.loop.importing import import_champion

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    said = import_champion(
        parsed,
        place,
        name,
        model,
        read_declaration(declared or model.with_suffix(".yaml"), parsed),
        force=force,
        reason=reason,
        say=lambda sentence: typer.echo(sentence, err=as_json),
    )
    say_champion(parsed, place, name, said, as_json)


@app.command()
def anchor(
    config: ConfigPath, device: DeviceName = None, reason: Why = None, home: HomePath = None, as_json: AsJson = False
) -> None:
    """Take the champion as it is for the anchor of the gate's margins from here on; journalled with the reason."""
    from evernas.config import load_config
    from evernas.loop.champions import reset_anchor

    parsed, place = load_config(config), home_at(home)
    name = device_named(parsed, device)
    say_champion(parsed, place, name, reset_anchor(parsed, place, name, reason), as_json)
