"""`evernas data`: what is known of the data that was taken in, and what of it was not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from evernas.commands.arguments import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigOption,
    ConfigPath,
    DomainColumn,
    HomePath,
    LabelColumn,
    Why,
    home_at,
)
from evernas.errors import UsageError

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
def forget(
    name: Annotated[str, typer.Argument(help="A domain, or the id of a recording.", show_default=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    kind: Annotated[
        str | None, typer.Option(help="domain or id, where the snapshots have both or neither.", show_default=False)
    ] = None,
    reason: Why = None,
    state: Annotated[
        str | None, typer.Option(help="The state's address, where it lies in a bucket: s3://…", show_default=False)
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for a run that holds the state folder.")] = 0.0,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Erase a person, site or recording from all that is kept. It cannot be undone."""
    from evernas.config import load_config
    from evernas.data.forgotten import KINDS
    from evernas.loop.forget import forget as erase
    from evernas.registry.promotion import refuse_without_reason
    from evernas.state.opening import opened

    if kind is not None and kind not in KINDS:
        raise UsageError(f"--kind is {kind!r}: use domain or id.")
    with opened(state or str(home_at(home).path)) as place:
        found = erase(
            load_config(config),
            place,
            name,
            kind,
            refuse_without_reason(reason, "Erasing"),
            wait,
            _say_aside,
        )
    if as_json:
        typer.echo(json.dumps([{"record": erased.record, "left": erased.left} for erased in found]))
        return
    for erased in found:
        record = erased.record
        typer.echo(
            f"Erased {record['rows']} rows of {record['recordings']} recordings from {len(record['snapshots'])} "
            f"snapshots; {len(record['supernets'])} supernets and {len(record['bundles'])} candidates that were "
            f"trained on them are removed. The record is of {record['kind']} {record['hash'][:16]}."
        )
        for sentence in erased.left:
            typer.echo(f"- {sentence}")


def _say_aside(sentence: str) -> None:
    typer.echo(sentence, err=True)


@app.command()
def erasures(config: ConfigOption = DEFAULT_CONFIG, home: HomePath = None, as_json: AsJson = False) -> None:
    """Show what was erased, by keyed hash, and what came of it."""
    from evernas.config import load_config
    from evernas.loop.erasures import erasures as all_of

    records = all_of(home_at(home), load_config(config).project)
    if as_json:
        typer.echo(json.dumps(records))
        return
    for record in records:
        typer.echo(_of_erasure(record))
    if not records:
        typer.echo("Nothing was erased.")


def _of_erasure(record: dict[str, Any]) -> str:
    of = f"{record['number']}: {record['kind']} {record['hash'][:16]}"
    if "done_at" not in record:
        return f"{of}, not completed yet: {record['reason']} (give the same `evernas data forget` again)"
    champions = ", ".join(f"{c['device']} {c['number']}" for c in record["champions"]) or "none"
    return (
        f"{of}, {record['done_at']}: {record['reason']} ({record['rows']} rows; champions trained on it: {champions})"
    )


@app.command()
def pack(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of images; or with --config of texts, or a table of these.", show_default=False),
    ],
    file: Annotated[Path, typer.Argument(help="A new .parquet file.", show_default=False)],
    layout: Annotated[
        str | None,
        typer.Option(
            help="What its levels of folders are. Without --config domain/label or label/domain.",
            show_default="domain/label; with --config as is guessed",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The config that `evernas init` made of such data: samples get its form, and are packed only if no "
            "file beside the new one has them.",
            show_default=False,
        ),
    ] = None,
    label: LabelColumn = None,
    domain: DomainColumn = None,
    as_json: AsJson = False,
) -> None:
    """Make one file to deliver of a folder of images; their bytes stay as they are, unless a config asks otherwise."""
    if config is None:
        from evernas.delivery.packing import pack as write

        images, domains = write(folder, file, layout or "domain/label")
        told = {"file": str(file), "images": images, "domains": domains}
        sentences = [f"{images} images of {domains} domains are in {file}."]
    else:
        from evernas.config import load_config
        from evernas.delivery.batches import next_batch
        from evernas.delivery.columns import Named
        from evernas.delivery.layouts import parse

        batch = next_batch(
            folder.absolute(),
            file.absolute(),
            load_config(config).data,
            None if layout is None else parse(layout),
            Named(label, domain),
        )
        told, sentences = batch.to_json(), batch.sentences()
    if as_json:
        typer.echo(json.dumps(told))
        return
    for sentence in sentences:
        typer.echo(sentence)


def gc(
    config: ConfigPath,
    keep_runs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Completed runs whose data, results, candidates and quarantine stay, in place of `retention`.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option(min=0, help="Only what was written at least so long ago.", show_default="retention.days"),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it, instead of saying what would go.")] = False,
    state: Annotated[
        str | None,
        typer.Option(
            help="The state's address, s3://…, where it lies in a bucket. There, only uploads that were killed go.",
            show_default=False,
        ),
    ] = None,
    home: HomePath = None,
    as_json: AsJson = False,
) -> None:
    """Say, or with --apply remove, what no champion, journal entry or run reaches and `retention` does not keep."""
    from evernas.config import load_config
    from evernas.loop.collection import collect
    from evernas.loop.retention import shown

    parsed = load_config(config)
    keep = parsed.retention.keeping(keep_runs)
    age = keep.days if days is None else days
    if state is not None:
        _gc_uploads(state, age, apply, as_json)
        return
    found = collect(parsed, home_at(home), keep, apply=apply, older_than_s=age * 86400)
    data = found.data
    if as_json:
        about = {"snapshots": data.snapshots, "files": len(data.keys), "bytes": data.bytes}
        typer.echo(json.dumps({"removed": apply, **about, "others": shown(found.others), "all_bytes": found.bytes}))
        return
    typer.echo(f"{len(data.snapshots)} snapshots, {len(data.keys)} files, {data.bytes / 1e6:.1f} MB")
    for kind, each in found.others.items():
        typer.echo(f"{len(each.paths)} of {kind}, {each.bytes / 1e6:.1f} MB")
    typer.echo(f"{found.bytes / 1e6:.1f} MB {_done(apply)}.")


def _gc_uploads(state: str, days: float, apply: bool, as_json: bool) -> None:
    from evernas.loop.collection import collect_uploads
    from evernas.state.opening import opened

    if "://" not in state:
        raise UsageError(f"--state is {state!r}, which is no bucket: name a folder by --home.")
    with opened(state) as place:
        found = collect_uploads(place, apply=apply, older_than_s=days * 86400)
    size = sum(upload.bytes for upload in found)
    if as_json:
        typer.echo(json.dumps({"removed": apply, "uploads": [upload.key for upload in found], "bytes": size}))
        return
    for upload in found:
        typer.echo(f"{upload.key}: {upload.bytes / 1e6:.1f} MB, begun {upload.age_s / 86400:.1f} days ago")
    typer.echo(f"{len(found)} uploads that never ended, {size / 1e6:.1f} MB {_done(apply)}.")


def _done(apply: bool) -> str:
    return "were removed" if apply else "would be removed; --apply removes them"
