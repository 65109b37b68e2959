"""The samples of a folder or table, each with what is said of it: the one reading for a first and each later batch."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from evernas.config import ValidationConfig
from evernas.delivery import pictures, tables
from evernas.delivery.columns import LOOKED_AT, Columns, Named, holds_texts, of_texts, options_of
from evernas.delivery.items import Found, Item, files, linked_folders, refuse_links, under
from evernas.delivery.layouts import Layout, guess, plain
from evernas.delivery.listed import column_of_images, listed, named_in
from evernas.delivery.lots import split_named
from evernas.delivery.parquet_tables import SUFFIX, ParquetTable
from evernas.delivery.published import labelled, named_classes, of_encoded, published
from evernas.delivery.samples import Samples, resolved
from evernas.delivery.tables import Table, table_at
from evernas.errors import DataRefusedError, UsageError

PROSE = (".txt",)
RECORDINGS = (".parquet", ".npz")
_DIGITS = 16


def samples_at(place: Path, layout: Layout | None = None, named: Named | None = None) -> Samples | None:
    """The samples of a folder or a table; None if there are none that are read here, such as of a folder of signals.

    UsageError for a path that is not there; DataRefusedError, with the mend, for what does not say what it is.
    """
    named = named or Named()
    if place.is_file():
        return _of_table(place, named)
    if not place.is_dir():
        raise UsageError(f"There is no folder {place}: name the folder that holds your data.")
    images = files(place, pictures.SUFFIXES)
    if images and layout is not None:
        return _of_folder("image", place, images, layout, named)
    lists = files(place, tables.SUFFIXES)
    recordings = files(place, RECORDINGS)
    notes: list[str] = []
    if images:
        by_table, notes = listed(place, images, [*lists, *files_beside(place)], named, plain(images))
        if by_table is not None:
            return by_table
    texts = _texts_of(lists)
    found = published(place, recordings)
    if images and _are_data(images, len(recordings) + len(texts)):
        by_folder = _of_folder("image", place, images, None, named)
        by_folder.remarks += notes
        return by_folder
    passed = [f"{len(images)} images are passed over: --layout says what their folders are."] if images else []
    if found.images or texts or found.texts:
        by_rows = of_encoded(place, found, named) if found.images else _of_texts(place, [*texts, *found.texts], named)
        by_rows.remarks += [*passed, *(found.remarks if found.texts and not found.images else [])]
        return by_rows
    prose = files(place, PROSE)
    if prose and not recordings:
        return _of_folder("text", place, prose, layout, named)
    return None


def _are_data(images: Sequence[Found], others: int) -> bool:
    """Whether images are what a folder is of, which holds so many other files of data too."""
    if not others:
        return True
    try:
        guess([one.name for one in images])
    except DataRefusedError:
        return False
    fewest: int = sum(ValidationConfig().model_dump()["min_rows"].values())
    return len(images) > max(others, fewest)


def files_beside(folder: Path) -> list[Found]:
    """The tables in the folder that holds this one."""
    try:
        beside = sorted(folder.absolute().parent.iterdir())
    except OSError:
        return []
    return [Found(path.name, path) for path in beside if path.suffix.lower() in tables.SUFFIXES and path.is_file()]


def _of_folder(kind: str, place: Path, found: Sequence[Found], layout: Layout | None, named: Named) -> Samples:
    layout = layout or guess([one.name for one in found])
    layout = layout.without_domain() if named.no_domain else layout
    items, elsewhere = [], []
    for one in found:
        said = layout.read(one.name)
        if said is None:
            elsewhere.append(one.name)
            continue
        split = split_named(said.get("split"))
        items.append(Item(one.name, one.path, said["label"], said.get("domain"), split))
    if not items:
        raise DataRefusedError(
            f"No file of {place} lies as {layout.shown} says ({found[0].name!r}): name its levels with --layout."
        )
    remarks = [*_elsewhere(elsewhere, layout), *_linked(linked_folders(place))]
    return Samples(kind, place, resolved(items, remarks), layout.why, remarks, layout, layout.options)


def _linked(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    told = f"{names[0]!a} is a link to a folder" + (f", as are {len(names) - 1} more" if len(names) > 1 else "")
    return [f"{told}: what is in it is passed over. Put the folder itself in its place to have it."]


def _elsewhere(names: Sequence[str], layout: Layout) -> list[str]:
    if not names:
        return []
    return [
        f"{len(names)} files do not lie as the others ({layout.shown}), such as {names[0]!r}: they are left out, since "
        "nothing says their class."
    ]


def _of_table(path: Path, named: Named) -> Samples:
    if path.suffix == SUFFIX:
        return _of_parquet(path, named)
    if path.suffix.lower() not in tables.SUFFIXES:
        kinds = ", ".join((*tables.SUFFIXES, SUFFIX))
        raise UsageError(f"{path} is a file: name the folder that it is in, or a table ({kinds}).")
    table = table_at(path)
    rows = list(itertools.islice(table.rows(), LOOKED_AT))
    column = column_of_images(table, rows)
    if column is None and holds_texts(table, rows):
        return _of_texts(path, [table], named)
    folder = path.parent
    images = [] if column is None else named_in(folder, table, column)
    if not images:
        # Only names: nothing outside of the folder is read, wherever a link in it leads.
        images = under(folder, pictures.SUFFIXES)
    by_table, _ = listed(folder, images, [Found(path.name, path)], named, None)
    if by_table is None:
        return _of_texts(path, [table], named)
    refuse_links(folder, (item.content for item in by_table.items if isinstance(item.content, Path)))
    return by_table


def _of_parquet(path: Path, named: Named) -> Samples:
    found = published(path.parent, [Found(path.name, path)])
    if found.refusals:
        raise found.refusals[0]
    if found.images:
        return of_encoded(path, found, named)
    if not found.texts:
        raise UsageError(f"{path} holds neither images nor texts: of recordings, name the folder that it is in.")
    return _of_texts(path, found.texts, named)


def _texts_of(found: Sequence[Found]) -> list[Table]:
    read = []
    for one in found:
        try:
            table = table_at(one.path)
            if holds_texts(table, list(itertools.islice(table.rows(), LOOKED_AT))):
                read.append(table)
        except DataRefusedError:
            continue
    return read


def _of_texts(place: Path, found: Sequence[Table], named: Named) -> Samples:
    items: list[Item] = []
    remarks: list[str] = []
    read: list[tuple[Table, Columns]] = []
    refusals: list[DataRefusedError | UsageError] = []
    seen: Counter[str] = Counter()
    for table in found:
        try:
            columns = of_texts(table, list(itertools.islice(table.rows(), LOOKED_AT)), named)
        except (DataRefusedError, UsageError) as refusal:
            refusals.append(refusal)
            continue
        try:
            rows = list(_rows(table, columns, seen))
        except DataRefusedError as refusal:
            refusals.append(refusal)
            continue
        read.append((table, columns))
        items += labelled(rows, table) if isinstance(table, ParquetTable) else rows
        if table.bad:
            remarks.append(f"{table.bad} lines of {table.path.name} are no rows of its columns: they are left out.")
    if not read:
        raise refusals[0]
    if not items:
        raise DataRefusedError(f"{found[0].path} has no rows: put texts there.")
    # As of a competition, whose test table has no classes.
    remarks += [f"A table is left out. {refusal}" for refusal in refusals]
    table, columns = read[0]
    named_by = named_classes(table, columns) if isinstance(table, ParquetTable) else ""
    why = f"Texts are in {columns.content!r}; {columns.shown}{named_by}."
    options = options_of([one for _, one in read])
    return Samples("text", place, resolved(items, remarks), why, remarks, options=options)


def _rows(table: Table, columns: Columns, seen: Counter[str]) -> Iterator[Item]:
    for row in table.rows():
        text, label, domain = row[columns.content], columns.label_of(row), columns.domain_of(row)
        # Of what is in the row alone, so that a row keeps its id in whichever file and with whichever others it comes;
        # numbers in a column of ids may begin anew in each file.
        digest = hashlib.sha256("\0".join((text, label or "", domain or "")).encode()).hexdigest()[:_DIGITS]
        name = row[columns.id].strip() if columns.id else ""
        id = f"{name}-{digest}" if name else digest
        seen[id] += 1
        unique = id if seen[id] == 1 else f"{id}-{seen[id]}"
        yield Item(unique, text, label, domain, columns.split_of(row, table))
