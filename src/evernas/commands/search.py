"""`evernas search`: another search by hand; the work is in evernas.loop.searching."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from evernas.commands.arguments import AsJson, ConfigPath, DeviceName, HomePath, device_named, home_at

if TYPE_CHECKING:
    from rich.table import Table

    from evernas.loop.searching import Searched

FORESEEN = {"peak_memory_mb": "memory in MB", "energy_mj": "energy in mJ"}


def search(
    config: ConfigPath,
    device: DeviceName = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="surrogate, nsga2, reinforce, local or random, instead of the config's.", show_default=False),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="The budget, instead of the config's.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the config's.", show_default=False)] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a run that holds the state folder.")] = 3600.0,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Search again on the last run's supernet and profile, and print the front; nothing is promoted or recorded."""
    from rich.console import Console

    from evernas.config import load_config, parse_config
    from evernas.loop.searching import search as searched

    document = load_config(config).model_dump(mode="json")
    asked = {"strategy": strategy, "evaluations": evaluations}
    document["search"] |= {key: value for key, value in asked.items() if value is not None}
    document["seed"] = document["seed"] if seed is None else seed
    parsed = parse_config(document, f"{config} with these options")
    name = device_named(parsed, device)
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with console.status("Searching ...") as status:
        found = searched(
            parsed,
            home_at(home),
            name,
            wait,
            lambda text: console.print(text, highlight=False, markup=False),
            lambda done, total, text: status.update(f"{text}: {done} of {total} architectures"),
        )
    if as_json:
        typer.echo(json.dumps({"version": 1, "device": name, "strategy": parsed.search.strategy, **asdict(found)}))
        return
    console.print(_table(name, found))
    beside = f", random {found.hypervolume_random[-1]:.1%}" if found.hypervolume_random else ""
    console.print(
        f"{found.evaluations} architectures by {parsed.search.strategy} on the supernet of run {found.run}: "
        f"{found.hypervolume[-1]:.1%} of what was reached{beside}. + marks what that run's front does not have.",
        highlight=False,
        soft_wrap=True,
    )


def _table(device: str, found: Searched) -> Table:
    """The front by rising error: errors by inherited weights, latency by the device's predictor."""
    from rich.table import Table

    before = {point["arch"] for point in found.front_before}
    table = Table(title=f"Front on {device}; error on the search split, latency predicted")
    table.add_column("Architecture")
    more = {key: head for key, head in FORESEEN.items() if found.front and key in found.front[0]}
    for header in ("error", "latency in ms", "size in kB", *more.values(), "MACs"):
        table.add_column(header, justify="right")
    for point in found.front:
        mark = "" if point["arch"] in before else " +"
        figures = (f"{point['error']:.1%}", f"{point['latency_ms']:.4f}", f"{point['size_kb']:.1f}")
        foreseen = [f"{point[key]:.3f}" for key in more]
        table.add_row(f"{point['arch']}{mark}", *figures, *foreseen, f"{point['macs']:,}")
    return table
