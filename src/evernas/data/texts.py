"""Texts out of files that somebody else wrote: tidied, as the numbers of their characters, (1, characters)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from evernas.config import TextConfig
from evernas.data.blocks import TEXTS, Block, blocks_of_images, is_text, shown
from evernas.data.images import is_encoded
from evernas.data.source import RefusedObjectError
from evernas.data.windows import Payload
from evernas.tokeniser import codes_of, tidy

COLUMN = "text"
MAX_TEXT_BYTES = 2**20
_BATCH_ROWS = 1024
_BLOCK_BYTES = 2**20
_NEEDED = f"a file of texts needs {', '.join(TEXTS)} and {COLUMN}"


def decoded(data: bytes | str | None, text: TextConfig) -> Payload | str:
    """(1, characters) of a text, UTF-8, tidied, 0 after its end; or the sentence why not."""
    if data is None:
        return "The text is null: deliver the text, or leave the row out."
    if len(data) > MAX_TEXT_BYTES:
        return f"The text has {len(data)} bytes, more than {MAX_TEXT_BYTES}: deliver shorter texts."
    try:
        found = tidy(data.decode("utf-8") if isinstance(data, bytes) else data)
        found.encode("utf-8")
    except UnicodeError:
        return "The text is no UTF-8: write it again."
    if not found:
        return "The text is empty, or has nothing but blanks: leave the row out."
    if len(found) > text.characters:
        return (
            f"The text has {len(found)} characters, more than data.text.characters = {text.characters}: shorten it as "
            "texts in production are, or raise the limit."
        )
    return codes_of(found, text.characters)[None]


def read_parquet(file: BinaryIO, text: TextConfig) -> Iterator[Block]:
    """The texts of an open Parquet file in file order. RefusedObjectError for a file that has none."""
    try:
        parquet = pq.ParquetFile(file, page_checksum_verification=True, buffer_size=_BLOCK_BYTES)
        schema = parquet.schema_arrow
        for name in (*TEXTS, COLUMN):
            if len(schema.get_all_field_indices(name)) != 1:
                raise RefusedObjectError(f"It has no column {name!r}, or more than one: {_NEEDED}, each once.")
            kind = schema.field(name).type
            if not is_text(kind) and not (name == COLUMN and is_encoded(kind)):
                raise RefusedObjectError(f"Its column {name!r} is {shown(kind)}: write it as a string.")
        position = 0
        for group in range(parquet.num_row_groups):
            batches = parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[*TEXTS, COLUMN], use_threads=False)
            for batch in batches:
                batch.validate(full=True)
                yield from _blocks(batch, position, text)
                position += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise RefusedObjectError("It is no whole Parquet file (truncated or damaged): write it again.") from None
    _refuse_none(position)


def read_csv(file: BinaryIO, text: TextConfig) -> Iterator[Block]:
    """The texts of an open CSV file in file order, a row each; other columns are passed over."""
    kinds = {**dict.fromkeys(TEXTS, pa.string()), COLUMN: pa.binary()}
    position = 0
    try:
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(column_types=kinds, include_columns=[*TEXTS, COLUMN]),
        )
        for batch in reader:
            for at in range(0, batch.num_rows, _BATCH_ROWS):
                yield from _blocks(batch.slice(at, _BATCH_ROWS), position + at, text)
            position += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise RefusedObjectError(f"It is no table of texts ({str(error)[:200]}): {_NEEDED}.") from None
    except KeyError as error:
        raise RefusedObjectError(f"It has no column {error}: {_NEEDED}.") from None
    _refuse_none(position)


def read_jsonl(file: BinaryIO, text: TextConfig) -> Iterator[Block]:
    """The texts of an open file of JSON lines in file order. A line that is no text is a row with a sentence."""
    rows, position = list[dict[str, Any]](), 0
    for line in iter(lambda: file.readline(MAX_TEXT_BYTES + 1), b""):
        if len(line) > MAX_TEXT_BYTES:
            raise RefusedObjectError(f"It has a line of more than {MAX_TEXT_BYTES} bytes: write shorter texts.")
        if not line.strip():
            continue
        row = _row(line)
        if position + len(rows) == 0 and row["id"] is None and row["error"] is not None:
            raise RefusedObjectError(f"It is no file of JSON lines. {row['error']}")
        rows.append(row)
        if len(rows) >= _BATCH_ROWS:
            yield from _blocks(_batch(rows), position, text)
            position, rows = position + len(rows), []
    if rows:
        yield from _blocks(_batch(rows), position, text)
    _refuse_none(position + len(rows))


def _row(line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys((*TEXTS, COLUMN, "error"))
    try:
        document = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return row | {"error": "The line is no JSON in UTF-8: write one object a line."}
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        return row | {"error": f"The line is no object with an id: {_NEEDED}."}
    for name in (*TEXTS, COLUMN):
        value = document.get(name)
        if value is None:
            continue
        # An escape in JSON may stand for half a character.
        if not isinstance(value, str) or any(0xD800 <= ord(letter) < 0xE000 for letter in value):
            return row | {"error": f"{name} is no text: write a string."}
        row[name] = value
    return row


def _batch(rows: list[dict[str, Any]]) -> Any:
    return pa.RecordBatch.from_pylist(rows, schema=pa.schema(dict.fromkeys((*TEXTS, COLUMN, "error"), pa.string())))


def _blocks(batch: Any, first: int, text: TextConfig) -> Iterator[Block]:
    """Rows as blocks: the faults that are known already, then those of the texts."""
    found = [decoded(value, text) for value in batch.column(COLUMN).to_pylist()]
    yield from blocks_of_images(batch, first, found)


def _refuse_none(rows: int) -> None:
    if rows == 0:
        raise RefusedObjectError("It has no rows: leave empty files out.")
