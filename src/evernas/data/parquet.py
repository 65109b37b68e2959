"""Reading recordings out of Parquet files as untrusted input; nothing here knows where the bytes lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from evernas.config import ImageConfig
from evernas.data.blocks import TEXTS, Block, blocks_of, is_list, is_text, shown
from evernas.data.images import MAX_BYTES, image_blocks, is_encoded
from evernas.data.source import RefusedObjectError
from evernas.data.times import is_time
from evernas.data.windows import Recording

BATCH_BYTES = 4 * 2**20
MAX_BATCH_RECORDINGS = 4096
# A row group's column is decoded batch by batch, but a page and a single row are decoded as a whole.
MAX_ROW_GROUP_BYTES = 2**30
_BUFFER_BYTES = 2**20


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """The recordings of an open Parquet file in file order. RefusedObjectError for a file that has none."""
    return _read(file, _refuse_no_signals, blocks_of)


def read_images(file: BinaryIO, image: ImageConfig) -> Iterator[Block]:
    """The images of an open Parquet file, whose payload is encoded; raises as `read_blocks`."""
    return _read(file, _refuse_no_images, lambda batch, first: image_blocks(batch, first, image))


def _read(
    file: BinaryIO, refuse_payload: Callable[[Any], None], blocks: Callable[[Any, int], Iterator[Block]]
) -> Iterator[Block]:
    try:
        parquet = open_parquet(file, [*TEXTS, "payload", "payload.bytes"])
        _refuse_wrong_schema(parquet)
        refuse_payload(parquet)
        columns = [*TEXTS, "payload", *timed(parquet.schema_arrow)]
        position = 0
        # One row group at a time: an iteration over several holds all that it has read until its end.
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(
                rows_at_once(parquet.metadata.row_group(group)),
                row_groups=[group],
                columns=columns,
                use_threads=False,
            ):
                # Offsets and text come from outside: check them before anything follows them.
                batch.validate(full=True)
                yield from blocks(batch, position)
                position += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise RefusedObjectError("It is no whole Parquet file (truncated or damaged): write it again.") from None


def open_parquet(file: BinaryIO, columns: Collection[str]) -> Any:
    """The open file as Parquet. Of these columns, texts and bytes come as dictionaries: written out, one long value
    could become a million of them."""
    about = pq.read_metadata(file)
    leaves = [about.schema.column(index) for index in range(about.num_columns)]
    repeating = {leaf.path for leaf in leaves if leaf.path in columns and leaf.physical_type == "BYTE_ARRAY"}
    # Buffered: else a column of a row group is held as a whole.
    return pq.ParquetFile(
        file,
        metadata=about,
        page_checksum_verification=True,
        buffer_size=_BUFFER_BYTES,
        read_dictionary=sorted(repeating),
    )


def read_recordings(file: BinaryIO) -> Iterator[Recording]:
    """The recordings of an open Parquet file one by one; raises as `read_blocks`."""
    for block in read_blocks(file):
        yield from block.recordings()


def timed(schema: Any) -> list[str]:
    """The column of times, if there is one; any other of that name is passed over."""
    once = len(schema.get_all_field_indices("time")) == 1
    return ["time"] if once and is_time(schema.field("time").type) else []


def rows_at_once(group: Any) -> int:
    """How many rows of a row group are a batch that takes a few megabytes."""
    return max(1, min(MAX_BATCH_RECORDINGS, int(group.num_rows) * BATCH_BYTES // max(1, _decoded_bytes(group))))


def _decoded_bytes(group: Any) -> int:
    """Bytes of a row group in memory: a dictionary or run lengths can make the file far smaller."""
    values = max(group.column(index).num_values for index in range(group.num_columns))
    return int(max(group.total_byte_size, 4 * values))


def _refuse_wrong_schema(parquet: Any) -> None:
    schema = parquet.schema_arrow
    for name in (*TEXTS, "payload"):
        if schema.get_all_field_indices(name) == []:
            raise RefusedObjectError(f"It has no column {name!r}: a file needs id, domain, label and payload.")
        if len(schema.get_all_field_indices(name)) > 1:
            raise RefusedObjectError(f"It has the column {name!r} more than once: name each column once.")
    for name in TEXTS:
        if not is_text(schema.field(name).type):
            raise RefusedObjectError(f"Its column {name!r} is {shown(schema.field(name).type)}: write it as a string.")
    refuse_wrong_size(parquet)


def refuse_wrong_size(parquet: Any) -> None:
    """RefusedObjectError for an open Parquet file without rows, or with too much to decode at once."""
    if parquet.metadata.num_rows == 0:
        raise RefusedObjectError("It has no rows: leave empty files out.")
    largest = max(_decoded_bytes(parquet.metadata.row_group(i)) for i in range(parquet.metadata.num_row_groups))
    if largest > MAX_ROW_GROUP_BYTES:
        raise RefusedObjectError(
            f"It has a row group of {largest} bytes, more than {MAX_ROW_GROUP_BYTES}: write smaller row groups."
        )


def _refuse_large_images(parquet: Any) -> None:
    groups = [parquet.metadata.row_group(i) for i in range(parquet.num_row_groups)]
    mean = max(group.total_byte_size // max(1, group.num_rows) for group in groups)
    if mean > MAX_BYTES:
        raise RefusedObjectError(
            f"It has a row group whose images have {mean} bytes each, more than {MAX_BYTES}: deliver smaller images."
        )


def _refuse_no_signals(parquet: Any) -> None:
    payload = parquet.schema_arrow.field("payload").type
    if not (is_list(payload) and is_list(payload.value_type)):
        raise RefusedObjectError(
            f"Its column 'payload' is {shown(payload)}: write list<list<float>>, channels outside."
        )


def _refuse_no_images(parquet: Any) -> None:
    payload = parquet.schema_arrow.field("payload").type
    if not is_encoded(payload):
        raise RefusedObjectError(
            f"Its column 'payload' is {shown(payload)}: write images as bytes (PNG, JPEG or WebP), or as a struct with "
            "the field 'bytes'."
        )
    _refuse_large_images(parquet)
