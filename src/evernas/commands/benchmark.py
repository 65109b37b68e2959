"""`evernas benchmark`: networks measured by hand; the work is in evernas.loop.benchmarking."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evernas.commands.arguments import DEFAULT_CONFIG, AsJson, ConfigOption, DeviceName, device_named
from evernas.errors import EXIT_FAILURE

if TYPE_CHECKING:
    from rich.table import Table

    from evernas.loop.benchmarking import Tried


def benchmark(
    models: Annotated[list[Path], typer.Argument(help="Folders of bundles, or ONNX files.", show_default=False)],
    device: DeviceName = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Measure networks on a device that is this machine, as the pipeline does. Ends with 1 if any was refused."""
    from rich.console import Console

    from evernas.config import load_config
    from evernas.loop.benchmarking import benchmark as measured

    parsed = load_config(config)
    name = device_named(parsed, device)
    console = Console(file=sys.stderr if as_json else sys.stdout)
    with console.status("Measuring ...") as status:
        tried = measured(models, parsed, name, lambda done, total, text: status.update(f"{done}/{total} {text}"))
    if as_json:
        runtime = parsed.device(name).runtime
        document = {"version": 1, "device": name, "runtime": runtime, "models": [one.to_json() for one in tried]}
        typer.echo(json.dumps(document))
    else:
        if any(one.refused is None for one in tried):
            console.print(_table(name, tried))
        for one in tried:
            if one.refused is not None:
                console.print(f"{one.name}: {one.refused}", highlight=False, markup=False, soft_wrap=True)
    if any(one.refused is not None for one in tried):
        raise typer.Exit(EXIT_FAILURE)


def _table(device: str, tried: list[Tried]) -> Table:
    """Milliseconds; the ratio is to the reference network, timed in between."""
    import numpy as np
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Latency at batch 1 on {device}, in ms")
    table.add_column("Network")
    for header in ("median", "p95", "p99", "MAD", "CV", "to reference", "cold start", "answers/s"):
        table.add_column(header, justify="right")
    for one in tried:
        found = one.measurement
        if one.refused is not None or found is None or found.latency is None:
            continue
        latency = found.latency
        figures = [latency.median_ms, latency.p95_ms, latency.p99_ms, latency.mad_ms]
        cold = "-" if found.cold_start is None else f"{found.cold_start.total_ms.median:.0f}"
        most = "-" if not found.load else f"{max(load.throughput.median for load in found.load):,.0f}"
        ratio = "-" if found.ratio_to_reference is None else f"{np.median(found.ratio_to_reference):.3f}"
        table.add_row(escape(one.name), *(f"{ms:.4f}" for ms in figures), f"{latency.cv:.1%}", ratio, cold, most)
    return table
