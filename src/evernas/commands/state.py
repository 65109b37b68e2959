"""`evernas state`: backs a project's state up into one file, puts it back, and checks it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evernas.commands.arguments import DEFAULT_CONFIG, AsJson, ConfigOption
from evernas.errors import UsageError

if TYPE_CHECKING:
    from evernas.state import Home

app = typer.Typer(no_args_is_help=True, help="The state of a project in one file: back it up, put it back, check it.")

BackupFile = Annotated[Path, typer.Argument(help="The backup's file.", show_default=False)]
Address = Annotated[
    str | None,
    typer.Option(
        "--home",
        help="State folder, or s3://bucket/prefix?endpoint=…; $EVERNAS_HOME or ./.evernas if not given.",
        show_default=False,
    ),
]
PassphraseEnv = Annotated[
    str | None, typer.Option(help="Name of the variable with the passphrase of the keys.", show_default=False)
]
PassphraseFile = Annotated[Path | None, typer.Option(help="File with the passphrase of the keys.", show_default=False)]


@app.command()
def backup(
    file: BackupFile,
    config: ConfigOption = DEFAULT_CONFIG,
    home: Address = None,
    passphrase_env: PassphraseEnv = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Write journal, ledger, inbox, champions and what runs left into one file; a run may work meanwhile."""
    from evernas.backup.saving import back_up
    from evernas.config import load_config

    parsed = load_config(config)
    with _state(home) as place:
        saved = back_up(parsed, place, file.absolute(), _passphrase(passphrase_env, passphrase_file))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "file": str(saved.path),
                    "entries": saved.entries,
                    "bundles": saved.bundles,
                    "rows": saved.rows,
                    "remarks": saved.remarks,
                }
            )
        )
        return
    typer.echo(
        f"{file} holds {saved.entries} entries of the journal, {saved.bundles} champions and {saved.rows} rows of the "
        f"inbox of {parsed.project}."
    )
    for remark in saved.remarks:
        typer.echo(remark)


@app.command()
def restore(
    file: BackupFile,
    config: ConfigOption = DEFAULT_CONFIG,
    home: Address = None,
    passphrase_env: PassphraseEnv = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup back into an empty place. One that was stopped is gone on with; until then the place is refused."""
    from evernas.backup.container import checked
    from evernas.backup.restoring import restore as put_back
    from evernas.config import load_config

    parsed = load_config(config)
    with _state(home) as place:
        found = put_back(parsed, place, checked(file), _passphrase(passphrase_env, passphrase_file))
    if as_json:
        champions = {device: {"number": n, "bundle": bundle} for device, (n, bundle) in found.champions.items()}
        typer.echo(json.dumps({"champions": champions, "rows": found.rows, "remarks": found.remarks}))
        return
    for device, (number, bundle) in found.champions.items():
        typer.echo(f"{device}: {bundle[:12]} is the champion again, entry {number}.")
    typer.echo(f"{found.rows} rows of the inbox are put back. The next run takes the data in from its source again.")
    for remark in found.remarks:
        typer.echo(remark)


@app.command()
def verify(
    file: BackupFile,
    config: Annotated[
        Path | None,
        typer.Option(help="Compare the state of this project with the backup, too.", show_default=False),
    ] = None,
    home: Address = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of a backup; with --config, that nothing decided before it was changed in the state since."""
    from evernas.backup.comparing import compare
    from evernas.backup.container import checked
    from evernas.config import load_config

    found = checked(file)
    about = found.index
    compared = None
    if config is not None:
        with _state(home) as place:
            compared = compare(load_config(config), place, found)
    if as_json:
        shown = {name: about[name] for name in ("project", "made_at", "evernas", "missing_bundles")}
        typer.echo(json.dumps({**shown, "members": len(about["members"]), "compared": compared}))
        return
    typer.echo(
        f"{file} is whole: {len(about['members'])} members of {about['project']}, made on {about['made_at']} by "
        f"evernas {about['evernas']}."
    )
    if compared is not None:
        typer.echo(f"{compared} things that were decided before it are in the state, byte for byte.")


@contextmanager
def _state(address: str | None) -> Iterator[Home]:
    from evernas.state.opening import opened

    named = address or os.environ.get("EVERNAS_HOME") or ".evernas"
    with opened(named if "://" in named else str(Path(named).absolute())) as home:
        yield home


def _passphrase(variable: str | None, file: Path | None) -> str | None:
    """The passphrase by reference: one on the command line would be in everybody's list of processes."""
    if variable is not None and file is not None:
        raise UsageError("Both --passphrase-env and --passphrase-file are given: give one.")
    if variable is not None:
        found = os.environ.get(variable)
        if not found:
            raise UsageError(f"The variable {variable} is not set: set it to the passphrase, or name another.")
        return found
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The passphrase in {file} cannot be read ({type(error).__name__}).") from None
