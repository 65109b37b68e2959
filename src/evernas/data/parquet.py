"""Reading recordings out of Parquet files as untrusted input; nothing here knows where the bytes lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evernas.data.source import RefusedObjectError
from evernas.data.windows import Recording

BATCH_RECORDINGS = 64
# A row group is decoded as a whole: this bounds what one file can make a run allocate.
MAX_ROW_GROUP_BYTES = 2**30
_TEXT = ("id", "domain", "label")


def read_recordings(file: BinaryIO) -> Iterator[Recording]:
    """The recordings of an open Parquet file in file order. RefusedObjectError for a file that has none."""
    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        _refuse_wrong_schema(parquet)
        position = 0
        # One row group at a time: an iteration over several holds all that it has read until its end.
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(
                BATCH_RECORDINGS, row_groups=[group], columns=[*_TEXT, "payload"], use_threads=False
            ):
                # Offsets and text come from outside: check them before anything follows them.
                batch.validate(full=True)
                yield from _recordings(batch, position)
                position += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise RefusedObjectError("It is no whole Parquet file (truncated or damaged): write it again.") from None


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
    largest = max(parquet.metadata.row_group(i).total_byte_size for i in range(parquet.metadata.num_row_groups))
    if largest > MAX_ROW_GROUP_BYTES:
        raise RefusedObjectError(
            f"It has a row group of {largest} bytes, more than {MAX_ROW_GROUP_BYTES}: write smaller row groups."
        )


def _recordings(batch: Any, first: int) -> Iterator[Recording]:
    text = {name: batch.column(name).to_pylist() for name in _TEXT}
    payloads = batch.column("payload")
    wrong = payloads.type.value_type.value_type
    for row in range(batch.num_rows):
        payload: Any = None
        if not pa.types.is_floating(wrong):
            error: str | None = f"The payload holds {_shown(wrong)}, not floats: write list<list<float>>."
        else:
            payload, error = _payload(payloads[row])
        yield Recording(first + row, text["id"][row], text["domain"][row], text["label"][row], payload, error)


def _payload(scalar: Any) -> tuple[Any, str | None]:
    """(channels, time) as float32, or why there is none. A null number becomes NaN, which a row rule catches."""
    channels = scalar.values
    if channels is None:
        return None, "The payload is null: deliver the recording, or leave the row out."
    if len(channels) == 0:
        return None, "The payload has no channels: deliver the recording, or leave the row out."
    if channels.null_count:
        return None, f"The payload has {channels.null_count} channels that are null: deliver all channels."
    lengths = sorted({len(channel) for channel in channels})
    if len(lengths) > 1:
        return None, f"The channels have from {lengths[0]} to {lengths[-1]} time steps: deliver equally long channels."
    with np.errstate(over="ignore", invalid="ignore"):
        values = channels.flatten().to_numpy(zero_copy_only=False).astype("<f4")
    return values.reshape(len(channels), lengths[0]), None


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _shown(kind: Any) -> str:
    text = str(kind)
    return text if len(text) <= 60 else f"{text[:60]}…"
