"""The arguments and options that several commands take, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evernas.errors import UsageError

if TYPE_CHECKING:
    from evernas.config import Config
    from evernas.state import Home

ConfigPath = Annotated[Path, typer.Argument(help="The project's YAML config.", show_default=False)]
ConfigOption = Annotated[
    Path, typer.Option("--config", help="The project's YAML config.", envvar="EVERNAS_CONFIG", show_default=True)
]
HomePath = Annotated[
    Path | None,
    typer.Option("--home", help="State folder; $EVERNAS_HOME or ./.evernas if not given.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs, and nothing else, on standard output.")]
DeviceName = Annotated[
    str | None, typer.Option("--device", help="Name of the device; not needed where there is one.", show_default=False)
]
RunName = Annotated[str, typer.Option("--run", help="Name of the run whose verdict it is.")]
VerdictFile = Annotated[
    Path | None,
    typer.Option("--verdict", help="A file with the signed verdict, instead of a run's.", show_default=False),
]
Why = Annotated[str | None, typer.Option("--reason", help="Why; kept in the journal.", show_default=False)]
LabelColumn = Annotated[
    str | None, typer.Option("--label", help="The column of a table that holds the class.", show_default=False)
]
DomainColumn = Annotated[
    str | None,
    typer.Option("--domain", help="The column that names the person, site or machine; - for none.", show_default=False),
]
DEFAULT_CONFIG = Path("evernas.yaml")


def home_at(path: Path | None) -> Home:
    """The state folder that was named, else the environment's, else the one here."""
    from evernas.state import Home

    return Home(path.absolute()) if path else Home.default()


def say_champion(config: Config, home: Home, device: str, sentence: str, as_json: bool) -> None:
    """The sentence, or with --json the journal's newest entry beside it."""
    if not as_json:
        typer.echo(sentence)
        return
    from evernas.registry.opening import open_journal

    head = open_journal(home, config).head(device)
    typer.echo(json.dumps({"sentence": sentence, "champion": None if head is None else head.to_json()}))


def device_named(config: Config, name: str | None) -> str:
    """The device that was named, or the only one; UsageError where it must be named."""
    if name is not None:
        return config.device(name).name
    if len(config.devices) > 1:
        raise UsageError(f"The config has {len(config.devices)} devices: name one with --device.")
    return config.devices[0].name
