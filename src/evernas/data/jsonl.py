"""Reading recordings out of JSON lines as untrusted input: one object a line, with id, domain, label and payload."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from evernas.data.blocks import TEXTS, Block, blocks_of
from evernas.data.source import RefusedObjectError
from evernas.data.times import parsed

# A line is parsed as a whole, into several times its size.
MAX_LINE_BYTES = 8 * 2**20
_BATCH_BYTES = 2**20
_PAYLOAD = pa.list_(pa.list_(pa.float32()))
_SCHEMA = pa.schema(
    {**dict.fromkeys(TEXTS, pa.string()), "payload": _PAYLOAD, "time": pa.float64(), "error": pa.string()}
)


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """The recordings in file order. A line that is no recording is a row with a sentence; RefusedObjectError for a
    file whose first line is none."""
    rows, size, position = list[dict[str, Any]](), 0, 0
    for line in iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""):
        if len(line) > MAX_LINE_BYTES:
            raise RefusedObjectError(f"It has a line of more than {MAX_LINE_BYTES} bytes: write shorter recordings.")
        if not line.strip():
            continue
        row = _row(line.removeprefix(codecs.BOM_UTF8) if position + len(rows) == 0 else line)
        if position + len(rows) == 0 and row["error"] is not None and not row["named"]:
            raise RefusedObjectError(f"It is no file of JSON lines. {row['error']}")
        rows.append(row)
        size += len(line)
        if size >= _BATCH_BYTES:
            yield from blocks_of(_batch(rows), position)
            position, rows, size = position + len(rows), [], 0
    if rows:
        yield from blocks_of(_batch(rows), position)
    elif position == 0:
        raise RefusedObjectError("It has no rows: leave empty files out.")


def _batch(rows: list[dict[str, Any]]) -> Any:
    return pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)


def _row(line: bytes) -> dict[str, Any]:
    """The columns of a line; `named` says whether it is at least an object with an id."""
    row: dict[str, Any] = dict.fromkeys(_SCHEMA.names) | {"named": False}
    try:
        document = json.loads(line.decode("utf-8"), object_pairs_hook=once)
    except RepeatedNameError as error:
        return row | {"named": True, "error": f"The line has the name {error} twice: write each once."}
    except (ValueError, RecursionError):
        return row | {"error": "The line is no JSON in UTF-8: write one object a line."}
    if not isinstance(document, dict) or "id" not in document:
        return row | {"error": "The line is no object with an id: write id, domain, label and payload."}
    row["named"] = True
    for name in TEXTS:
        value = document.get(name)
        if not (value is None or isinstance(value, str)) or (value is not None and not is_unicode(value)):
            return row | {"error": f"{name} is no text: write a string."}
        row[name] = value
    try:
        row["time"] = parsed(document.get("time"))
    except ValueError as error:
        return row | {"error": str(error)}
    try:
        # One by one: a payload of another form must not take its neighbours with it.
        payload = pa.array([document.get("payload")], _PAYLOAD)
        row["payload"] = payload[0].as_py()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return row | {"error": "The payload is no list of lists of numbers, channels outside: write one."}
    return row


class RepeatedNameError(Exception):
    """An object of JSON has a name twice; its text is the name, escaped."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for `json.loads`; RepeatedNameError where one of its values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for at, (name, _) in enumerate(pairs) if any(name == other for other, _ in pairs[:at]))
        raise RepeatedNameError(ascii(twice[:40]))
    return found


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: an escape in JSON may stand for half a character."""
    return not any(0xD800 <= ord(character) < 0xE000 for character in text)
