"""Texts out of files that somebody else wrote: tidied, as the numbers of their characters, (1, characters)."""

from __future__ import annotations

import codecs
import io
import json
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv

from evernas.config import TextConfig
from evernas.data.blocks import TEXTS, Block, blocks_of_images, is_text, shown
from evernas.data.csv import what
from evernas.data.images import DECODED_BYTES, is_bytes, sizes
from evernas.data.jsonl import RepeatedNameError, is_unicode, once
from evernas.data.parquet import open_parquet, refuse_wrong_size, timed
from evernas.data.source import RefusedObjectError
from evernas.data.times import parsed
from evernas.data.windows import Payload
from evernas.tokeniser import codes_of, tidy

COLUMN = "text"
_TIME = "time"
MAX_TEXT_BYTES = 2**20
_BATCH_ROWS = 1024
_BATCH_BYTES = 8 * 2**20
_BLOCK_BYTES = 2**20
# Marks on one letter, one after the other. Unicode's stream-safe form has no more; to sort a million takes hours.
_MAX_MARKS = 30
_SCHEMA = pa.schema({**dict.fromkeys((*TEXTS, COLUMN, "error"), pa.string()), _TIME: pa.float64()})
_UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Zs")
_NEEDED = f"a file of texts needs {', '.join(TEXTS)} and {COLUMN}"


def decoded(data: bytes | str | None, text: TextConfig) -> Payload | str:
    """(1, characters) of a text, UTF-8, tidied, 0 after its end; or the sentence why not."""
    if data is None:
        return "The text is null: deliver the text, or leave the row out."
    if len(data) > MAX_TEXT_BYTES:
        return _too_long(len(data))
    try:
        raw = data.decode("utf-8") if isinstance(data, bytes) else data
        raw.encode("utf-8")
    except UnicodeError:
        return "The text is no UTF-8: write it again."
    if not raw.isascii() and _most_marks(raw) > _MAX_MARKS:
        return f"The text has more than {_MAX_MARKS} marks on one letter: write text that can be read."
    found = tidy(raw)
    if all(unicodedata.category(letter) in _UNSEEN for letter in found):
        return "The text is empty, or has nothing but blanks: leave the row out."
    if len(found) > text.characters:
        return (
            f"The text has {len(found)} characters, more than data.text.characters = {text.characters}: shorten it as "
            "texts in production are, or raise the limit."
        )
    return codes_of(found, text.characters)[None]


def _most_marks(text: str) -> int:
    runs = groupby(map(unicodedata.combining, text), key=bool)
    return max((sum(1 for _ in run) for marks, run in runs if marks), default=0)


def _too_long(size: int) -> str:
    return f"The text has {size} bytes, more than {MAX_TEXT_BYTES}: deliver shorter texts."


def read_parquet(file: BinaryIO, text: TextConfig) -> Iterator[Block]:
    """The texts of an open Parquet file in file order. RefusedObjectError for a file that has none."""
    try:
        parquet = open_parquet(file, [*TEXTS, COLUMN])
        schema = parquet.schema_arrow
        for name in (*TEXTS, COLUMN):
            if len(schema.get_all_field_indices(name)) != 1:
                raise RefusedObjectError(f"It has no column {name!r}, or more than one: {_NEEDED}, each once.")
            kind = schema.field(name).type
            if not is_text(kind) and not (name == COLUMN and is_bytes(kind)):
                raise RefusedObjectError(f"Its column {name!r} is {shown(kind)}: write it as a string.")
        refuse_wrong_size(parquet)
        position = 0
        for group in range(parquet.num_row_groups):
            columns = [*TEXTS, COLUMN, *timed(schema)]
            batches = parquet.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False)
            for batch in batches:
                batch.validate(full=True)
                yield from _blocks(batch, position, text)
                position += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise RefusedObjectError("It is no whole Parquet file (truncated or damaged): write it again.") from None


def read_csv(file: BinaryIO, text: TextConfig) -> Iterator[Block]:
    """The texts of an open CSV file in file order, a row each; other columns are passed over."""
    kinds = {**dict.fromkeys((*TEXTS, _TIME), pa.string()), COLUMN: pa.binary()}
    position, ended = 0, False
    try:
        names, end = _header(file), secrets.token_hex(16)
        wanted = [*TEXTS, COLUMN, *([_TIME] if names.count(_TIME) == 1 else [])]
        reader = pyarrow.csv.open_csv(
            io.BufferedReader(_Ended(file, _row_of(end, names)), _BLOCK_BYTES),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(column_types=kinds, include_columns=wanted),
        )
        for batch in reader:
            if batch.num_rows and batch.column("id")[-1].as_py() == end:
                batch, ended = batch.slice(0, batch.num_rows - 1), True
            for at in range(0, batch.num_rows, _BATCH_ROWS):
                yield from _blocks(_timed(batch.slice(at, _BATCH_ROWS)), position + at, text)
            position += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise RefusedObjectError(f"It is no table of texts ({what(error)}): {_NEEDED}.") from None
    if not ended:
        raise RefusedObjectError("A quotation mark in it is never closed: close it, and write one in a text twice.")
    _refuse_none(position)


def _timed(batch: Any) -> Any:
    """The batch, where its times are texts with what they say."""
    if _TIME not in batch.schema.names:
        return batch
    times = pa.array([_parsed(value) for value in batch.column(_TIME).to_pylist()], pa.float64())
    return batch.drop_columns([_TIME]).append_column(_TIME, times)


def _parsed(value: object) -> float | None:
    """The time; None for what says none: a column of that name may be about anything, and a text needs no time."""
    try:
        return parsed(value)
    except ValueError:
        return None


def _header(file: BinaryIO) -> list[str]:
    """The names of all columns; the file is left at its start. RefusedObjectError if one that is needed is not there
    once."""
    start = io.BytesIO(file.read(_BLOCK_BYTES))
    file.seek(0)
    # The first bytes may end within a row.
    options = pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda row: "skip")
    names: list[str] = pyarrow.csv.open_csv(
        start, read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES), parse_options=options
    ).schema.names
    for name in (*TEXTS, COLUMN):
        if names.count(name) != 1:
            raise RefusedObjectError(f"It has no column {name!r}, or more than one: {_NEEDED}, each once.")
    return names


def _row_of(id: str, names: list[str]) -> bytes:
    return ",".join(id if name == "id" else "" for name in names).encode()


class _Ended(io.RawIOBase):
    """The bytes of a CSV file, and after them a row, which is read as one unless a quotation mark is open before it."""

    def __init__(self, file: BinaryIO, row: bytes) -> None:
        self._parts: list[BinaryIO] = [file, io.BytesIO(b"\n" + row + b"\n")]

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        """The next bytes; 0 at the end."""
        while self._parts:
            data = self._parts[0].read(len(into))
            if data:
                into[: len(data)] = data
                return len(data)
            self._parts.pop(0)
        return 0


def read_jsonl(file: BinaryIO, text: TextConfig) -> Iterator[Block]:
    """The texts of an open file of JSON lines in file order. A line that is no text is a row with a sentence."""
    rows, position, size = list[dict[str, Any]](), 0, 0
    for line in iter(lambda: file.readline(MAX_TEXT_BYTES + 1), b""):
        if len(line) > MAX_TEXT_BYTES:
            raise RefusedObjectError(f"It has a line of more than {MAX_TEXT_BYTES} bytes: write shorter texts.")
        if not line.strip():
            continue
        first = position + len(rows) == 0
        row = _row(line.removeprefix(codecs.BOM_UTF8) if first else line)
        if first and not row["named"]:
            raise RefusedObjectError(f"It is no file of JSON lines. {row['error']}")
        rows.append(row)
        size += len(line)
        if len(rows) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield from _blocks(_batch(rows), position, text)
            position, rows, size = position + len(rows), [], 0
    if rows:
        yield from _blocks(_batch(rows), position, text)
    _refuse_none(position + len(rows))


def _row(line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_SCHEMA.names) | {"named": False}
    try:
        document = json.loads(line.decode("utf-8"), object_pairs_hook=once)
    except RepeatedNameError as error:
        return row | {"named": True, "error": f"The line has the name {error} twice: write each once."}
    except (ValueError, RecursionError):
        return row | {"error": "The line is no JSON in UTF-8: write one object a line."}
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        return row | {"error": f"The line is no object with an id: {_NEEDED}."}
    row["named"] = True
    for name in (*TEXTS, COLUMN):
        value = document.get(name)
        if value is None:
            continue
        # An escape in JSON may stand for half a character.
        if not isinstance(value, str) or not is_unicode(value):
            return row | {"error": f"{name} is no text: write a string of whole characters."}
        row[name] = value
    row[_TIME] = _parsed(document.get(_TIME))
    return row


def _batch(rows: list[dict[str, Any]]) -> Any:
    return pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)


def _blocks(batch: Any, first: int, text: TextConfig) -> Iterator[Block]:
    """Rows as blocks: the faults that are known already, then those of the texts."""
    at_once = max(1, DECODED_BYTES // (4 * text.characters))
    for at in range(0, batch.num_rows, at_once):
        part = batch.slice(at, at_once)
        yield from blocks_of_images(part, first + at, _decoded(part.column(COLUMN), text))


def _decoded(column: Any, text: TextConfig) -> list[Payload | str]:
    """Each value; one that a dictionary has for many rows is decoded once."""
    if not pa.types.is_dictionary(column.type):
        return list(_each(column, text))
    known = dict[int | None, Payload | str]()
    indices = column.indices.to_pylist()
    for index in dict.fromkeys(indices):
        values = column.dictionary.slice(index, 1) if index is not None else pa.nulls(1, pa.string())
        (known[index],) = _each(values, text)
    return [known[index] for index in indices]


def _each(values: Any, text: TextConfig) -> Iterable[Payload | str]:
    for value, size in zip(values, sizes(values), strict=True):
        # What is too long is not copied.
        yield _too_long(size) if size is not None and size > MAX_TEXT_BYTES else decoded(value.as_py(), text)


def _refuse_none(rows: int) -> None:
    if rows == 0:
        raise RefusedObjectError("It has no rows: leave empty files out.")
