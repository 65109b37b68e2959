"""Parquet files of images or texts with any other columns, as data sets are published: tables like CSV, untrusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evernas.data.blocks import is_list, is_text
from evernas.data.images import MAX_BYTES, is_encoded, too_large
from evernas.data.parquet import open_parquet, refuse_wrong_size, rows_at_once
from evernas.data.source import RefusedObjectError
from evernas.data.texts import MAX_TEXT_BYTES
from evernas.delivery.items import Encoded
from evernas.delivery.tables import MAX_COLUMNS, Row, Table, as_text
from evernas.errors import DataRefusedError

SUFFIX = ".parquet"
# Called so where nothing else says which of several columns of bytes is the image.
_IMAGES = ("image", "img", "picture", "photo", "pixels", "payload", "png", "jpg", "jpeg")
# What the data sets' own library notes in a file's schema (https://huggingface.co/docs/datasets, Features).
_NOTED, _IMAGE, _CLASS, _NO_IMAGES = b"huggingface", "Image", "ClassLabel", ("Audio", "Video", "Pdf")
_DAMAGED = "is no whole Parquet file (truncated or damaged): write it again"


@dataclass
class ParquetTable(Table):
    """A Parquet file of rows. `columns` are those that can be read as text, `images` the one of encoded images, or all
    that could be it; `strings` and `whole` are those of the columns that hold strings, and whole numbers.

    `classes` names, by column, the classes that its whole numbers stand for; -1, or any other number that names none,
    stands for none.
    """

    images: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def surely_classes(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def rows(self) -> Iterator[Row]:
        with _readable(self.path):
            for batch in _batches(self.path, self.columns):
                yield from _rows(batch, self.columns, self.classes)

    @property
    def image(self) -> str:
        """The column of images. DataRefusedError where several could be it."""
        if len(self.images) > 1:
            raise DataRefusedError(
                f"The columns {', '.join(map(repr, self.images[:12]))} of {self.path} could all be the image: name the "
                "one that is 'image', or leave the others out."
            )
        return self.images[0]

    def encoded(self) -> Iterator[tuple[Row, str]]:
        """Its rows in order, each with the SHA-256 of its image; of nothing where there is none."""
        with _readable(self.path):
            for batch in _batches(self.path, [self.image, *self.columns]):
                rows, images = _rows(batch, self.columns, self.classes), _bytes_of(batch.column(self.image))
                for row, data in zip(rows, images, strict=True):
                    yield row, hashlib.sha256(data.as_py() or b"").hexdigest()


def parquet_table_at(path: Path) -> ParquetTable:
    """The table in a Parquet file; DataRefusedError, with the mend, where it cannot be read."""
    try:
        with path.open("rb") as file:
            parquet = pq.ParquetFile(file)
            refuse_wrong_size(parquet)
            schema = parquet.schema_arrow
    except RefusedObjectError as refusal:
        raise DataRefusedError(f"{path}: {refusal}") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise DataRefusedError(f"{path} {_DAMAGED}.") from None
    names = list(schema.names)
    if len(set(names)) < len(names) or not all(names) or len(names) > MAX_COLUMNS:
        raise DataRefusedError(f"{path} does not name its columns, each once: write it again with names.")
    noted = _noted(schema)
    columns = [name for name in names if _is_plain(schema.field(name).type)]
    whole = tuple(name for name in columns if pa.types.is_integer(schema.field(name).type))
    strings = tuple(name for name in columns if is_text(schema.field(name).type))
    classes = {name: tuple(noted[name]["names"]) for name in whole if _names_classes(noted.get(name))}
    return ParquetTable(path, columns, images=_images(schema, noted), strings=strings, whole=whole, classes=classes)


def is_of_signals(path: Path) -> bool:
    """Whether a Parquet file may hold recordings: some column is a list of numbers, and none of images or called text.

    False where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            schema = pq.ParquetFile(file).schema_arrow
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return False
    others = "text" in schema.names or any(map(is_encoded, schema.types))
    return not others and any(map(_is_list_of_numbers, schema.types))


def with_common_classes(tables: Sequence[ParquetTable]) -> list[ParquetTable]:
    """The tables, each with the names of classes that all others agree on where its own file notes none."""
    known: dict[str, set[tuple[str, ...]]] = {}
    for table in tables:
        for name, classes in table.classes.items():
            known.setdefault(name, set()).add(classes)
    agreed = {name: next(iter(classes)) for name, classes in known.items() if len(classes) == 1}
    return [
        replace(table, classes={name: of for name, of in agreed.items() if name in table.whole} | dict(table.classes))
        for table in tables
    ]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        raise DataRefusedError(f"{path} {_DAMAGED}.") from None


class InFiles:
    """Reads images out of Parquet files, in the order of their rows without reading any twice; one batch is held."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._column = ""
        self._next = self._first = 0
        self._batches: Iterator[Any] = iter(())
        self._held: Any = None

    def read(self, content: Encoded) -> bytes | str:
        """The image's bytes; or the sentence why it has none."""
        try:
            return self._read(content)
        except (pa.ArrowException, OSError, UnicodeDecodeError, StopIteration, IndexError):
            self._path = None
            return "It lies in a part of its file that is damaged, or has changed: write the file again."

    def _read(self, content: Encoded) -> bytes | str:
        if (content.path, content.column) != (self._path, self._column) or content.row < self._first:
            self._path, self._column = content.path, content.column
            self._batches, self._first = _from_row(content.path, [content.column], content.row)
            self._next, self._held = self._first, None
        while self._held is None or content.row >= self._next:
            self._held = next(self._batches)
            self._first, self._next = self._next, self._next + self._held.num_rows
        data = _bytes_of(self._held.column(content.column))[content.row - self._first].as_py()
        if data is None:
            return "It has no bytes: deliver the image itself, not where it lies, or leave the row out."
        return too_large(len(data)) if len(data) > MAX_BYTES else bytes(data)


def _from_row(path: Path, columns: Sequence[str], row: int) -> tuple[Iterator[Any], int]:
    """The batches of a file from the row group on that holds a row, and the number of the first row of these."""
    about = pq.read_metadata(path)
    first = 0
    for group in range(about.num_row_groups):
        rows = about.row_group(group).num_rows
        if row < first + rows:
            return _batches(path, columns, group), first
        first += rows
    raise IndexError(row)


def _batches(path: Path, columns: Sequence[str], first: int = 0) -> Iterator[Any]:
    """The rows of a file from one of its row groups on, in memory that is bounded; Arrow's errors as they come."""
    with path.open("rb") as file:
        parquet = open_parquet(file, [*columns, *(f"{name}.bytes" for name in columns)])
        for group in range(first, parquet.num_row_groups):
            at_once = rows_at_once(parquet.metadata.row_group(group))
            for batch in parquet.iter_batches(at_once, row_groups=[group], columns=list(columns), use_threads=False):
                # Offsets and text come from outside: check them before anything follows them.
                batch.validate(full=True)
                yield batch


def _rows(batch: Any, columns: Sequence[str], classes: Mapping[str, tuple[str, ...]]) -> Iterator[Row]:
    texts = [_texts(batch.column(name)) for name in columns]
    for name, values in zip(columns, texts, strict=True):
        if name in classes:
            of = {str(number): label for number, label in enumerate(classes[name])}
            values[:] = [of.get(value, "") for value in values]
    for number in range(batch.num_rows):
        yield {name: values[number] for name, values in zip(columns, texts, strict=True)}


def _texts(column: Any) -> list[str]:
    """Values as text; the empty text for null, and for one that no text which is taken is as long as."""
    if pa.types.is_dictionary(column.type):
        # One long value may stand for a million: it is never written out.
        named = [_short(value) for value in column.dictionary.to_pylist()]
        return ["" if at is None else named[at] for at in column.indices.to_pylist()]
    return [_short(value) for value in column.cast(pa.string()).to_pylist()]


def _short(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= MAX_TEXT_BYTES else ""


def _bytes_of(column: Any) -> Any:
    return column.field("bytes") if pa.types.is_struct(column.type) else column


def _noted(schema: Any) -> dict[str, Any]:
    """What the file's schema notes of its columns, by name: whatever somebody wrote there."""
    try:
        features = json.loads((schema.metadata or {}).get(_NOTED, b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _names_classes(noted: Any) -> bool:
    if not isinstance(noted, dict) or noted.get("_type") != _CLASS or not isinstance(noted.get("names"), list):
        return False
    names = noted["names"]
    return bool(names) and all(isinstance(name, str) and as_text(name).strip() for name in names)


def _images(schema: Any, noted: Mapping[str, Any]) -> tuple[str, ...]:
    """The column of images; all that could be it where none surely is."""
    said = {name: about.get("_type") for name, about in noted.items() if isinstance(about, dict)}
    found = [name for name in schema.names if is_encoded(schema.field(name).type) and said.get(name) not in _NO_IMAGES]
    for among in ([name for name in found if said.get(name) == _IMAGE], found):
        if len(among) == 1:
            return (str(among[0]),)
        for name in _IMAGES:
            alike = [one for one in among if one.strip().lower() == name]
            if len(alike) == 1:
                return (str(alike[0]),)
    return tuple(map(str, found))


def _is_plain(kind: Any) -> bool:
    """Whether values of this Arrow type can be read as text."""
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(is_text or is_number)


def _is_list_of_numbers(kind: Any) -> bool:
    if not is_list(kind):
        return False
    inner = kind.value_type
    return _is_list_of_numbers(inner) or bool(pa.types.is_floating(inner) or pa.types.is_integer(inner))
