"""Samples as one Parquet file that ingest reads, whole or not at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from evernas.config import ImageConfig
from evernas.data.images import MAX_BYTES
from evernas.data.texts import MAX_TEXT_BYTES
from evernas.delivery import pictures
from evernas.delivery.items import Encoded, Item
from evernas.delivery.lots import lot
from evernas.delivery.new_file import new_file
from evernas.delivery.parquet_tables import InFiles

AT_ONCE = 512
_NAMES = {"id": pa.string(), "domain": pa.string(), "label": pa.string()}
Say = Callable[[int], None]


@dataclass
class Delivered:
    """What was written: samples by (domain, label), and why others were left out, by id."""

    path: Path
    pairs: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self.pairs.values())


def write_images(
    items: Iterable[Item],
    out: Path,
    image: ImageConfig,
    advance: Say = lambda done: None,
    parts: Mapping[str, str] | None = None,
) -> Delivered:
    """Write the images, each fitted to the config, into the new file `out`. UsageError says what is in the way.

    `parts` are those of samples, by id, that are not to be put into one by lot.
    """
    done = Delivered(out)

    def made(read: tuple[Item, Path | bytes | str]) -> bytes | str:
        data = pictures.read(read[1]) if isinstance(read[1], Path) else read[1]
        return pictures.fitted(data, image) if isinstance(data, bytes) else data

    schema = pa.schema({**_NAMES, "payload": pa.binary()})
    with new_file(out, schema) as writer, ThreadPoolExecutor(os.cpu_count()) as pool:
        for some in batched_images(items):
            rows = []
            # Pillow decodes and scales without holding the interpreter.
            for (item, _), payload in zip(some, pool.map(made, some), strict=True):
                if isinstance(payload, str):
                    done.left_out[item.id] = payload
                else:
                    rows.append(_row(done, item, item.id, parts or {}) | {"payload": payload})
            _write(writer, rows, schema)
            advance(len(some))
    return _complete(done)


def batched_images(items: Iterable[Item]) -> Iterator[list[tuple[Item, Path | bytes | str]]]:
    """Some images at a time: each a path, or out of a Parquet file its bytes or the sentence why it has none."""
    in_files, some, size = InFiles(), list[tuple[Item, Path | bytes | str]](), 0
    for item in items:
        if isinstance(item.content, Encoded):
            read = in_files.read(item.content)
            content: Path | bytes | str = read
            size += len(read)
        else:
            assert isinstance(item.content, Path)
            content = item.content
        some.append((item, content))
        if len(some) == AT_ONCE or size >= MAX_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def write_texts(
    items: Iterable[Item], out: Path, advance: Say = lambda done: None, parts: Mapping[str, str] | None = None
) -> Delivered:
    """Write the texts into the new file `out`, as `write_images` does. UsageError says what is in the way."""
    done = Delivered(out)
    schema = pa.schema({**_NAMES, "text": pa.string()})
    with new_file(out, schema) as writer:
        for some in _batched(items):
            rows = []
            for item in some:
                text = _text(item.content)
                if text is None:
                    done.left_out[item.id] = f"It is no text in UTF-8 of at most {MAX_TEXT_BYTES} bytes."
                else:
                    rows.append(_row(done, item, text, parts or {}) | {"text": text})
            _write(writer, rows, schema)
            advance(len(some))
    return _complete(done)


def _text(content: Path | str | Encoded) -> str | None:
    if isinstance(content, str):
        return content
    assert isinstance(content, Path)
    try:
        with content.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        return None if len(data) > MAX_TEXT_BYTES else data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def _row(done: Delivered, item: Item, key: str, parts: Mapping[str, str]) -> dict[str, Any]:
    domain = item.domain if item.domain is not None else parts.get(item.id) or lot(key, item.split)
    done.pairs[domain, item.label] += 1
    return {"id": item.id, "domain": domain, "label": item.label}


def _batched(items: Iterable[Item]) -> Iterator[tuple[Item, ...]]:
    left = iter(items)
    while some := tuple(islice(left, AT_ONCE)):
        yield some


def _write(writer: Any, rows: list[dict[str, Any]], schema: Any) -> None:
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _complete(done: Delivered) -> Delivered:
    if not done.rows:
        done.path.unlink(missing_ok=True)
    return done
