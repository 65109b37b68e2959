"""The samples of Parquet files as data sets are published: images or texts in rows, classes as numbers with names."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evernas.delivery.columns import LOOKED_AT, Columns, Named, is_called_text, of_images, options_of
from evernas.delivery.items import Encoded, Found, Item
from evernas.delivery.lots import split_named
from evernas.delivery.parquet_tables import (
    SUFFIX,
    ParquetTable,
    is_of_signals,
    parquet_table_at,
    with_common_classes,
)
from evernas.delivery.samples import Samples, resolved
from evernas.errors import DataRefusedError, UsageError

_LOOKED_AT = 8
_DIGITS = 16
# What data sets write in place of a class that is kept back.
_KEPT_BACK = "-1"


@dataclass
class Published:
    """The tables of images and of texts that Parquet files hold, and why others cannot be read."""

    images: list[ParquetTable] = field(default_factory=list)
    texts: list[ParquetTable] = field(default_factory=list)
    refusals: list[DataRefusedError] = field(default_factory=list)

    @property
    def remarks(self) -> list[str]:
        """What a person should know of the files that are left out."""
        return [f"A table is left out. {refusal}" for refusal in self.refusals]


def published(place: Path, found: Sequence[Found]) -> Published:
    """The tables in the Parquet files among these, of a folder; none where they are recordings of signals."""
    files = [one for one in found if one.path.suffix == SUFFIX]
    some = files[:: max(1, len(files) // _LOOKED_AT)]
    if any(is_of_signals(one.path) for one in some):
        return Published()
    told = _read(place, some)
    # Of many files these tell whether any is worth a look.
    return _read(place, files) if told.images or told.texts or told.refusals else told


def _read(place: Path, files: Sequence[Found]) -> Published:
    told = Published()
    for one in files:
        try:
            table = parquet_table_at(one.path)
        except DataRefusedError as refusal:
            told.refusals.append(refusal)
            continue
        within = one.path.parent.name if one.path.parent != place else None
        if table.images:
            told.images.append(replace(table, within=within))
        elif is_called_text(table.strings):
            told.texts.append(replace(table, within=within))
    told.images, told.texts = with_common_classes(told.images), with_common_classes(told.texts)
    return told


def of_encoded(place: Path, found: Published, named: Named) -> Samples:
    """The images in these tables. DataRefusedError, with the mend, where none can be read or says a class."""
    items: list[Item] = []
    remarks: list[str] = []
    read: list[tuple[ParquetTable, Columns]] = []
    refusals: list[DataRefusedError | UsageError] = []
    seen: Counter[str] = Counter()
    for table in found.images:
        try:
            columns = of_images(table, list(itertools.islice(table.rows(), LOOKED_AT)), table.image, named)
            items += labelled(list(_images(table, columns, seen)), table)
            read.append((table, columns))
        except (DataRefusedError, UsageError) as refusal:
            refusals.append(refusal)
    if not read:
        raise refusals[0]
    remarks += [*found.remarks, *(f"A table is left out. {refusal}" for refusal in refusals)]
    columns = read[0][1]
    why = f"Images are in {columns.content!r}; {columns.shown}{named_classes(read[0][0], columns)}."
    options = options_of([one for _, one in read])
    return Samples("image", place, resolved(items, remarks), why, remarks, options=options)


def named_classes(table: ParquetTable, columns: Columns) -> str:
    """What is said of classes that are numbers with names."""
    of = table.classes.get(columns.label)
    return "" if of is None else f", whose numbers the file names ({of[0]!r} is 0)"


def labelled(items: list[Item], table: ParquetTable) -> list[Item]:
    """The samples of a table; without a class where it is a test's, whose classes are kept back."""
    kept_back = bool(items) and all(item.label == _KEPT_BACK for item in items)
    is_test = "test" in (split_named(table.path.stem), split_named(table.within))
    return [replace(item, label=None) for item in items] if kept_back and is_test else items


def _images(table: ParquetTable, columns: Columns, seen: Counter[str]) -> Iterator[Item]:
    for number, (row, digest) in enumerate(table.encoded()):
        # Of the image itself, so that it keeps its id in whichever file and with whichever others it comes.
        name = row[columns.id].strip() if columns.id else ""
        id = f"{name}-{digest[:_DIGITS]}" if name else digest[:_DIGITS]
        seen[id] += 1
        unique = id if seen[id] == 1 else f"{id}-{seen[id]}"
        content = Encoded(table.path, columns.content, number)
        yield Item(unique, content, columns.label_of(row), columns.domain_of(row), columns.split_of(row, table))
