"""Tables of any columns (CSV, tab-separated, JSON lines) as rows of text, untrusted, without holding them whole."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evernas.data.jsonl import is_unicode
from evernas.data.texts import MAX_TEXT_BYTES
from evernas.errors import DataRefusedError

SUFFIXES = (".csv", ".tsv", ".jsonl")
MAX_COLUMNS = 1000
_HEADER_BYTES = 2**16
_LINES_FOR_COLUMNS = 1000
_DELIMITERS = ",;\t|"

Row = dict[str, str]


@dataclass
class Table:
    """A file of rows. `columns` are those of its first line, of JSON lines of the first ones; `bad` counts no rows."""

    path: Path
    columns: list[str]
    bad: int = field(default=0)
    within: str | None = None
    """The folder of the data that it lies in, where that may say its split."""

    @property
    def surely_classes(self) -> tuple[str, ...]:
        """The columns that the file itself calls classes."""
        return ()

    def rows(self) -> Iterator[Row]:
        """Its rows in order, as text; what is null or not there is the empty text."""
        self.bad = 0
        yield from (self._of_json() if self.path.suffix.lower() == ".jsonl" else self._of_csv())

    def _of_csv(self) -> Iterator[Row]:
        before = csv.field_size_limit(MAX_TEXT_BYTES)
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=_delimiter(self.path), skipinitialspace=True, strict=True)
                next(reader)
                for cells in reader:
                    if len(cells) == len(self.columns):
                        yield dict(zip(self.columns, cells, strict=True))
                    elif cells:
                        self.bad += 1
        except UnicodeDecodeError:
            raise _no_utf8(self.path) from None
        except csv.Error as error:
            raise DataRefusedError(
                f"{self.path} is no table ({error}): close each quotation mark, and write one in a text twice."
            ) from None
        finally:
            csv.field_size_limit(before)

    def _of_json(self) -> Iterator[Row]:
        with self.path.open("rb") as file:
            for line in iter(lambda: file.readline(MAX_TEXT_BYTES + 1), b""):
                row = _object(line)
                if row is not None:
                    yield {name: as_text(row.get(name)) for name in self.columns}
                elif line.strip():
                    self.bad += 1


def table_at(path: Path) -> Table:
    """The table at a path. DataRefusedError if its first line names no columns."""
    try:
        columns = _columns(path)
    except UnicodeDecodeError:
        raise _no_utf8(path) from None
    except (OSError, csv.Error) as error:
        raise DataRefusedError(f"{path} cannot be read ({error}): mend it, or move it away.") from None
    if not columns or len(set(columns)) < len(columns) or not all(columns) or len(columns) > MAX_COLUMNS:
        raise DataRefusedError(f"The first line of {path} does not name columns, each once: write their names there.")
    return Table(path, columns)


def _columns(path: Path) -> list[str]:
    if path.suffix.lower() == ".jsonl":
        with path.open("rb") as file:
            some = itertools.islice(iter(lambda: file.readline(MAX_TEXT_BYTES + 1), b""), _LINES_FOR_COLUMNS)
            # An object may leave out what it has no value for.
            return list(dict.fromkeys(itertools.chain.from_iterable(_object(line) or () for line in some)))
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(_HEADER_BYTES)
    return [name.strip() for name in next(csv.reader([line], delimiter=_delimiter(path), skipinitialspace=True), [])]


def _delimiter(path: Path) -> str:
    """Of the first line: the one that stands in it most often."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(_HEADER_BYTES)
    return max(_DELIMITERS, key=line.count)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def as_text(value: Any) -> str:
    """A value of a cell as text; the empty text for what is none."""
    if value is None or isinstance(value, list | dict):
        return ""
    text = str(value)
    return text if is_unicode(text) else ""


def _no_utf8(path: Path) -> DataRefusedError:
    return DataRefusedError(f"{path} is no UTF-8: save it as UTF-8 (of a spreadsheet: CSV UTF-8), then try again.")
