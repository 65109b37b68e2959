"""Reading recordings out of Parquet files as untrusted input; nothing here knows where the bytes lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evernas.data.blocks import Block, refuse_long_texts
from evernas.data.source import RefusedObjectError
from evernas.data.windows import Payload, Recording

BATCH_BYTES = 4 * 2**20
MAX_BATCH_RECORDINGS = 4096
# A row group's column is decoded batch by batch, but a page and a single row are decoded as a whole.
MAX_ROW_GROUP_BYTES = 2**30
_BUFFER_BYTES = 2**20
_TEXT = ("id", "domain", "label")


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """The recordings of an open Parquet file in file order. RefusedObjectError for a file that has none."""
    try:
        # Buffered: else a column of a row group is held as a whole.
        parquet = pq.ParquetFile(file, page_checksum_verification=True, buffer_size=_BUFFER_BYTES)
        _refuse_wrong_schema(parquet)
        position = 0
        # One row group at a time: an iteration over several holds all that it has read until its end.
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(
                _rows_at_once(parquet.metadata.row_group(group)),
                row_groups=[group],
                columns=[*_TEXT, "payload"],
                use_threads=False,
            ):
                # Offsets and text come from outside: check them before anything follows them.
                batch.validate(full=True)
                yield from _blocks(batch, position)
                position += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise RefusedObjectError("It is no whole Parquet file (truncated or damaged): write it again.") from None


def read_recordings(file: BinaryIO) -> Iterator[Recording]:
    """The recordings of an open Parquet file one by one; raises as `read_blocks`."""
    for block in read_blocks(file):
        yield from block.recordings()


def _rows_at_once(group: Any) -> int:
    return max(1, min(MAX_BATCH_RECORDINGS, int(group.num_rows) * BATCH_BYTES // max(1, _decoded_bytes(group))))


def _decoded_bytes(group: Any) -> int:
    """Bytes of a row group in memory: a dictionary or run lengths can make the file far smaller."""
    values = max(group.column(index).num_values for index in range(group.num_columns))
    return int(max(group.total_byte_size, 4 * values))


def _refuse_wrong_schema(parquet: Any) -> None:
    schema = parquet.schema_arrow
    for name in (*_TEXT, "payload"):
        if schema.get_all_field_indices(name) == []:
            raise RefusedObjectError(f"It has no column {name!r}: a file needs id, domain, label and payload.")
        if len(schema.get_all_field_indices(name)) > 1:
            raise RefusedObjectError(f"It has the column {name!r} more than once: name each column once.")
    for name in _TEXT:
        if not _is_text(schema.field(name).type):
            raise RefusedObjectError(f"Its column {name!r} is {_shown(schema.field(name).type)}: write it as a string.")
    payload = schema.field("payload").type
    if not (_is_list(payload) and _is_list(payload.value_type)):
        raise RefusedObjectError(
            f"Its column 'payload' is {_shown(payload)}: write list<list<float>>, channels outside."
        )
    if parquet.metadata.num_rows == 0:
        raise RefusedObjectError("It has no rows: leave empty files out.")
    largest = max(_decoded_bytes(parquet.metadata.row_group(i)) for i in range(parquet.metadata.num_row_groups))
    if largest > MAX_ROW_GROUP_BYTES:
        raise RefusedObjectError(
            f"It has a row group of {largest} bytes, more than {MAX_ROW_GROUP_BYTES}: write smaller row groups."
        )


def _blocks(batch: Any, first: int) -> Iterator[Block]:
    positions = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
    texts = {name: batch.column(name).cast(pa.string()) for name in _TEXT}
    refuse_long_texts(texts)
    payloads = batch.column("payload")
    at = 0
    for shape, run in groupby(_shapes(payloads)):
        rows = len(list(run))
        place, id, domain, label = (column.slice(at, rows) for column in (positions, *texts.values()))
        if isinstance(shape, str):
            yield Block(place, id, domain, label, None, shape)
        else:
            yield Block(place, id, domain, label, _values(payloads.slice(at, rows)).reshape(rows, *shape))
        at += rows


def _shapes(payloads: Any) -> list[tuple[int, int] | str]:
    """(channels, time) of each payload, or the sentence why it is no signal."""
    wrong = payloads.type.value_type.value_type
    if not pa.types.is_floating(wrong):
        return [f"The payload holds {_shown(wrong)}, not floats: write list<list<float>>."] * len(payloads)
    counts = pc.list_value_length(payloads)
    channels = payloads.flatten()
    lengths = pc.list_value_length(channels)
    per_row = counts.drop_null().to_numpy(zero_copy_only=False)
    if not counts.null_count and not lengths.null_count and len(lengths):
        steps = lengths.to_numpy(zero_copy_only=False)
        if per_row.min() == per_row.max() and steps.min() == steps.max():
            return [(int(per_row[0]), int(steps[0]))] * len(payloads)
    known, at, shapes = lengths.to_pylist(), 0, list[tuple[int, int] | str]()
    for count in counts.to_pylist():
        shapes.append(_shape(count, known[at : at + (count or 0)]))
        at += count or 0
    return shapes


def _shape(channels: int | None, lengths: list[int | None]) -> tuple[int, int] | str:
    if channels is None:
        return "The payload is null: deliver the recording, or leave the row out."
    if channels == 0:
        return "The payload has no channels: deliver the recording, or leave the row out."
    known = sorted({length for length in lengths if length is not None})
    if None in lengths:
        return f"The payload has {lengths.count(None)} channels that are null: deliver all channels."
    if len(known) > 1:
        return f"The channels have from {known[0]} to {known[-1]} time steps: deliver equally long channels."
    return channels, known[0]


def _values(payloads: Any) -> Payload:
    """All numbers as float32; a null becomes NaN, which a row rule catches."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = payloads.flatten().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(numbers.astype("<f4", copy=False))


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _shown(kind: Any) -> str:
    text = str(kind)
    return text if len(text) <= 60 else f"{text[:60]}…"
