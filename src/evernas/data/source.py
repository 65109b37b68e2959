"""The folder that data comes from: listing it and reading its Parquet files as untrusted input; nothing here writes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evernas.data.windows import Recording
from evernas.errors import UsageError

SUFFIX = ".parquet"
BATCH_RECORDINGS = 64
# A row group is decoded as a whole: this bounds what one file can make a run allocate.
MAX_ROW_GROUP_BYTES = 2**30
_TEXT = ("id", "domain", "label")

Stamp = tuple[int, int, int, int]


class RefusedObjectError(Exception):
    """A file that cannot be read as recordings; its text is the sentence that says why."""


class ChangedWhileReadError(RefusedObjectError):
    """A file that somebody writes while it is read: what was read is neither the old nor the new content."""


@dataclass(frozen=True)
class SourceObject:
    """A file of the source: its name relative to the folder, and the stamp that changes when its bytes do."""

    name: str
    path: Path
    stamp: Stamp


def stamp_of(status: os.stat_result) -> Stamp:
    """Size, times and inode: ctime too, because tools that copy files set the mtime back."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def list_objects(source: Path) -> list[SourceObject]:
    """All files under the folder that end in .parquet and do not start with a dot, by name."""
    if not source.is_dir():
        raise UsageError(f"The source {source} is no folder: create it, or mend data.source.")
    found: list[SourceObject] = []
    for parent, folders, names in os.walk(source):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.endswith(SUFFIX) or name.startswith("."):
                continue
            try:
                status = path.stat()
            except OSError:
                continue
            # Bytes that are no UTF-8 would break the manifest: the escape keeps the name readable and unique.
            shown = path.relative_to(source).as_posix().encode("utf-8", "backslashreplace").decode()
            found.append(SourceObject(shown, path, stamp_of(status)))
    return sorted(found, key=lambda item: item.name)


def open_object(item: SourceObject) -> BufferedReader:
    """The open file. FileNotFoundError if it has gone; RefusedObjectError if it is no file that can be read."""
    try:
        if not stat.S_ISREG(item.path.stat().st_mode):
            raise RefusedObjectError("It is no regular file: replace it by a Parquet file.")
        return item.path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RefusedObjectError(
            f"It cannot be read ({error.strerror}): mend its permissions or its storage."
        ) from None


def digest_open(file: BufferedReader) -> str:
    """SHA-256 of an open file, which is left at its start."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def refuse_if_changed(file: BufferedReader, before: Stamp) -> None:
    """ChangedWhileReadError if the open file's size or mtime is no longer that of the stamp."""
    after = stamp_of(os.fstat(file.fileno()))
    if after[:2] != before[:2]:
        raise ChangedWhileReadError("It changed while it was read: write files under another name, then rename them.")


def read_recordings(file: BufferedReader) -> Iterator[Recording]:
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
