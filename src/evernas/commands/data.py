"""`evernas data`: what is known of the data that was taken in, and what of it was not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from evernas.commands.arguments import DEFAULT_CONFIG, AsJson, ConfigOption, ConfigPath, HomePath, Why, home_at

app = typer.Typer(no_args_is_help=True, help="The data that was taken in.")
quarantined = typer.Typer(no_args_is_help=True, help="Rows that the last run did not take, and why.")
app.add_typer(quarantined, name="quarantine")

Rule = Annotated[str | None, typer.Option(help="Only rows that failed this rule.", show_default=False)]
Domain = Annotated[str | None, typer.Option(help="Only rows of this domain.", show_default=False)]
Limit = Annotated[int, typer.Option(min=0, help="How many rows to show.")]


@quarantined.command("list")
def list_(
    config: ConfigOption = DEFAULT_CONFIG,
    rule: Rule = None,
    domain: Domain = None,
    limit: Limit = 20,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Say how many rows each rule sent to quarantine, and show some."""
    from evernas.config import load_config
    from evernas.loop.quarantine import quarantine

    table = quarantine(home_at(home), load_config(config).project, rule, domain)
    counts = dict(sorted(Counter(table.column("rule").to_pylist()).items()))
    shown = table.slice(0, limit).to_pylist()
    if as_json:
        typer.echo(json.dumps({"counts": counts, "rows": shown}))
        return
    typer.echo("; ".join(f"{name}: {count}" for name, count in counts.items()) or "The quarantine is empty.")
    for row in shown:
        typer.echo(f"{row['object']}: {row['sample_id']!r} of {row['domain']!r}: {row['rule']}: {row['sentence']}")
    if len(shown) < table.num_rows:
        typer.echo(f"… and {table.num_rows - len(shown)} more: --limit shows them, `export` writes them.")


@quarantined.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file that ends in .csv or .parquet.", show_default=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    rule: Rule = None,
    domain: Domain = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Write the rows, with the rule and the sentence of each, but without their payload."""
    from evernas.config import load_config
    from evernas.loop.quarantine import export as write
    from evernas.loop.quarantine import quarantine

    table = quarantine(home_at(home), load_config(config).project, rule, domain)
    write(table, file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "rows": table.num_rows}))
    else:
        typer.echo(f"{table.num_rows} rows are in {file}.")


@quarantined.command()
def release(
    rule: Annotated[str, typer.Option("--rule", help="The rule that the rows are released past.", show_default=False)],
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of samples or recordings; all rows of the rule if none.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    domain: Domain = None,
    reason: Why = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Let the next run take rows in that failed a rule, past that rule only; the reason is kept."""
    from evernas.config import load_config
    from evernas.loop.quarantine import release as free

    count = free(home_at(home), load_config(config).project, rule, domain, ids or [], reason)
    if as_json:
        typer.echo(json.dumps({"released": count, "rule": rule}))
    elif count:
        typer.echo(f"{count} rows are released past {rule}: the next run takes them in, unless they fail another rule.")
    else:
        typer.echo("These rows were released before.")


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="Folder of images (PNG, JPEG, WebP).", show_default=False)],
    file: Annotated[Path, typer.Argument(help="A new .parquet file.", show_default=False)],
    layout: Annotated[
        str, typer.Option(help="What its two levels of folders are: domain/label or label/domain.")
    ] = "domain/label",
    as_json: AsJson = False,
) -> None:
    """Make one file to deliver of a folder of images; their bytes stay as they are."""
    from evernas.data.packing import pack as write

    images, domains = write(folder, file, layout)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "images": images, "domains": domains}))
    else:
        typer.echo(f"{images} images of {domains} domains are in {file}.")


def gc(
    config: ConfigPath,
    keep_runs: Annotated[int, typer.Option(min=1, help="Completed runs whose data stays, the newest.")] = 10,
    days: Annotated[float, typer.Option(min=0, help="Only what was written at least so long ago.")] = 1.0,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it, instead of saying what would go.")] = False,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Say, or with --apply remove, the data of old snapshots that no champion, journal entry or run still reaches."""
    from evernas.config import load_config
    from evernas.loop.collection import collect

    found = collect(load_config(config), home_at(home), keep_runs, apply=apply, older_than_s=days * 86400)
    if as_json:
        typer.echo(
            json.dumps({"removed": apply, "snapshots": found.snapshots, "files": len(found.keys), "bytes": found.bytes})
        )
        return
    done = "were removed" if apply else "would be removed; --apply removes them"
    typer.echo(f"{len(found.snapshots)} snapshots, {len(found.keys)} files, {found.bytes / 1e6:.1f} MB {done}.")
