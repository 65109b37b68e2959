"""A bounded look at a folder of recordings: footers, who and what is in it, and a sample of its signals."""

from __future__ import annotations

import io
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evernas.data.folder import FolderSource, open_file
from evernas.data.parquet import MAX_ROW_GROUP_BYTES, read_recordings
from evernas.data.source import RefusedObjectError, SourceObject
from evernas.data.windows import Recording
from evernas.errors import DataRefusedError, UsageError
from evernas.init.columns import ELSEWHERE, Misfit, misfit

if TYPE_CHECKING:
    from evernas.init.delivered import Delivery

# However large the folder is, no more than this is read of it.
MAX_FOOTERS = 500
MAX_TEXT_ROWS = 2_000_000
MAX_DOMAINS = 20_000
MAX_LABELS = 1_000
SAMPLE_GROUPS = 32
SAMPLE_RECORDINGS = 384
SAMPLE_BYTES = 64 * 2**20
WHOLE_GROUP_BYTES = 16 * 2**20
_BATCH = 4
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_PROSE = (".txt", ".md", ".json", ".jsonl", ".html", ".xml")
_TABLES = (".csv", ".tsv", ".npy", ".npz", ".h5", ".hdf5", ".mat", ".xlsx", ".feather", ".arrow")


@dataclass
class Look:
    """What was seen in a folder. `pairs` counts recordings by (domain, label), of all rows if `complete`."""

    folder: Path
    files: int = 0
    rows: int = 0
    pairs: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    complete: bool = True
    sample: list[Recording] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    delivery: Delivery | None = None


@dataclass(frozen=True)
class _Group:
    """A row group of a readable file."""

    item: SourceObject
    number: int
    rows: int


def look_at(folder: Path) -> Look:
    """Look at the folder. UsageError if it is none; DataRefusedError, with the mend, if nothing in it can be read."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}: name the folder that holds your recordings.")
    items = [item for item in FolderSource(folder).objects() if item.name.endswith(".parquet")]
    if not items:
        raise DataRefusedError(_without_parquet(folder))
    seen = Look(folder, files=len(items))
    groups: list[_Group] = []
    misfits: list[Misfit] = []
    looked_at = spread(items, MAX_FOOTERS)
    for item in looked_at:
        read = _groups(item)
        if isinstance(read, list):
            groups += read
            continue
        seen.refused[item.name] = read.sentence
        misfits.append(read)
    seen.complete = len(looked_at) == len(items)
    if not groups:
        raise DataRefusedError(_nothing_readable(seen, misfits))
    seen.rows = round(sum(group.rows for group in groups) * len(items) / len(looked_at))
    _count(seen, groups)
    _sample(seen, groups)
    return seen


def _groups(item: SourceObject) -> list[_Group] | Misfit:
    try:
        with open_file(item) as file:
            parquet = pq.ParquetFile(file)
            wrong = misfit(parquet.schema_arrow)
            if wrong is not None:
                return wrong
            about = [parquet.metadata.row_group(i) for i in range(parquet.num_row_groups)]
    except FileNotFoundError:
        return Misfit("has gone while it was looked at")
    except RefusedObjectError as refusal:
        return Misfit(str(refusal).removeprefix("It ").rstrip("."))
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return Misfit("is no whole Parquet file (truncated or damaged): write it again")
    largest = max((group.total_byte_size for group in about), default=0)
    if largest > MAX_ROW_GROUP_BYTES:
        return Misfit(f"has a row group of {largest} bytes, more than {MAX_ROW_GROUP_BYTES}: write smaller row groups")
    found = [_Group(item, i, group.num_rows) for i, group in enumerate(about) if group.num_rows]
    return found or Misfit("has no rows: leave empty files out")


def _count(seen: Look, groups: Sequence[_Group]) -> None:
    """Recordings by domain and label, of as many row groups as the bound on rows allows."""
    rows = sum(group.rows for group in groups)
    chosen = groups if rows <= MAX_TEXT_ROWS else spread(groups, max(1, len(groups) * MAX_TEXT_ROWS // rows))
    seen.complete = seen.complete and len(chosen) == len(groups)
    domains: set[str | None] = set()
    labels: set[str | None] = set()
    for group in chosen:
        for domain, label, count in _read(seen, group, _pairs):
            if len(domains) >= MAX_DOMAINS and domain not in domains:
                seen.complete = False
                continue
            domains.add(domain)
            labels.add(label)
            seen.pairs[domain, label] += count
        if len(labels) > MAX_LABELS:
            raise DataRefusedError(
                f"The column 'label' has more than {MAX_LABELS} different values: evernas tells classes apart; "
                "write the class of each recording there, not its name or a measured value."
            )


def _pairs(parquet: Any, group: _Group) -> list[tuple[str | None, str | None, int]]:
    table = parquet.read_row_group(group.number, columns=["domain", "label"], use_threads=False)
    table.validate(full=True)
    text = pa.table({name: table.column(name).cast(pa.string()) for name in table.column_names})
    counted = text.group_by(["domain", "label"], use_threads=False).aggregate([([], "count_all")])
    columns = [counted.column(name).to_pylist() for name in ("domain", "label", "count_all")]
    return list(zip(*columns, strict=True))


def _sample(seen: Look, groups: Sequence[_Group]) -> None:
    """A few recordings of each of a few row groups, read exactly as a run will read them."""
    chosen = spread(groups, SAMPLE_GROUPS)
    each, left = math.ceil(SAMPLE_RECORDINGS / len(chosen)), SAMPLE_BYTES
    for group in chosen:
        for batch in _read(seen, group, partial(_few, most=each, most_bytes=left)) if left > 0 else []:
            seen.sample += _as_a_run_reads(batch)
            left -= batch.nbytes


def _few(parquet: Any, group: _Group, most: int, most_bytes: int) -> list[Any]:
    """Recordings spread over a row group that is small enough to decode as a whole, else its first ones."""
    columns = ["id", "domain", "label", "payload"]
    if parquet.metadata.row_group(group.number).total_byte_size <= min(most_bytes, WHOLE_GROUP_BYTES):
        table = parquet.read_row_group(group.number, columns=columns, use_threads=False)
        table.validate(full=True)
        return list(table.take(spread(range(table.num_rows), most)).to_batches())
    few: list[Any] = []
    for batch in parquet.iter_batches(_BATCH, row_groups=[group.number], columns=columns, use_threads=False):
        batch.validate(full=True)
        few.append(batch)
        if sum(b.num_rows for b in few) >= most or sum(b.nbytes for b in few) > most_bytes:
            break
    return few


def _as_a_run_reads(batch: Any) -> list[Recording]:
    held = io.BytesIO()
    pq.write_table(pa.Table.from_batches([batch]), held)
    held.seek(0)
    return list(read_recordings(held))


def _read(seen: Look, group: _Group, use: Callable[[Any, _Group], list[Any]]) -> list[Any]:
    """What is read of a group; a file that turns out to be damaged is noted as refused, and gives nothing."""
    if group.item.name in seen.refused:
        return []
    try:
        with open_file(group.item) as file:
            return use(pq.ParquetFile(file, page_checksum_verification=True, buffer_size=2**20), group)
    except (pa.ArrowException, OSError, UnicodeDecodeError, RefusedObjectError):
        seen.refused[group.item.name] = "is no whole Parquet file (truncated or damaged): write it again"
        return []


def spread(things: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the things, evenly spread from the first to the last."""
    if len(things) <= most:
        return list(things)
    return [things[i] for i in sorted({round(x) for x in np.linspace(0, len(things) - 1, most)})]


def _nothing_readable(seen: Look, misfits: Sequence[Misfit]) -> str:
    (name, sentence), *others = seen.refused.items()
    also = f" The other {len(others)} files cannot be read either." if others else ""
    programs = [program for found in misfits if (program := found.program(seen.folder)) is not None]
    text = f"None of the Parquet files in {seen.folder} can be read as recordings: {name} {sentence}.{also}"
    if programs:
        text += (
            f"\nThis program writes the files anew in that form; then name the folder that it makes:\n\n{programs[0]}"
        )
    return text


def _without_parquet(folder: Path) -> str:
    suffixes: Counter[str] = Counter()
    for _, _, names in os.walk(folder):
        suffixes.update(Path(name).suffix.lower() for name in names if not name.startswith("."))
        if sum(suffixes.values()) > 10_000:
            break
    if not suffixes:
        return (
            f"The folder {folder} is empty: put Parquet files there, one row a recording (id, domain, label, payload)."
        )
    form = "one row a recording (id, domain, label, payload)"
    if sum(suffixes[s] for s in _PICTURES) * 2 > sum(suffixes.values()):
        return f"The folder {folder} seems to hold images: {ELSEWHERE}. Of signals, put Parquet files there, {form}."
    if sum(suffixes[s] for s in _PROSE) * 2 > sum(suffixes.values()):
        return (
            f"The folder {folder} seems to hold text: write it as CSV, JSON lines or Parquet, one row a text (id, "
            f"domain, label, text). Of signals, put Parquet files there, {form}."
        )
    tables = [suffix for suffix in _TABLES if suffixes[suffix]]
    if tables:
        return (
            f"The folder {folder} holds {suffixes[tables[0]]} {tables[0]} files and no Parquet file: write the "
            f"recordings as Parquet, {form}."
        )
    return f"The folder {folder} holds no file that ends in .parquet: put Parquet files there, {form}."
