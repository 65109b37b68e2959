"""The samples of a folder or table, each with what is said of it: the one reading for a first and each later batch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from evernas.delivery import pictures, tables
from evernas.delivery.columns import LOOKED_AT, Columns, Named, holds_texts, of_files, of_texts
from evernas.delivery.items import Found, Item, files
from evernas.delivery.layouts import Layout, guess
from evernas.delivery.lots import split_named
from evernas.delivery.tables import Table, table_at
from evernas.errors import DataRefusedError, UsageError

PROSE = (".txt",)
_TABLES_LOOKED_AT = 20


@dataclass
class Samples:
    """Samples as found, of a kind, how they are named there (`why`), and what a person should know (`remarks`)."""

    kind: str
    place: Path
    items: list[Item]
    why: str
    remarks: list[str] = field(default_factory=list)
    layout: Layout | None = None

    @property
    def has_domains(self) -> bool:
        return any(item.domain is not None for item in self.items[:1])

    @property
    def splits(self) -> set[str]:
        return {item.split for item in self.items if item.split is not None}


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
    lists = files(place, tables.SUFFIXES)
    if images:
        beside = [] if layout is not None else [*lists, *files_beside(place)]
        return _of_listed(place, images, beside, named) or _of_folder("image", place, images, layout)
    texts = _texts_of(lists)
    if texts:
        return _of_texts(place, texts, named)
    prose = files(place, PROSE)
    if prose and not files(place, (".parquet", ".npz")):
        return _of_folder("text", place, prose, layout)
    return None


def files_beside(folder: Path) -> list[Found]:
    """The tables in the folder that holds this one."""
    try:
        beside = sorted(folder.absolute().parent.iterdir())
    except OSError:
        return []
    return [Found(path.name, path) for path in beside if path.suffix.lower() in tables.SUFFIXES and path.is_file()]


def _of_folder(kind: str, place: Path, found: Sequence[Found], layout: Layout | None) -> Samples:
    layout = layout or guess([one.name for one in found])
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
    remarks = _elsewhere(elsewhere, layout)
    return Samples(kind, place, _resolved(items, remarks), layout.why, remarks, layout)


def _elsewhere(names: Sequence[str], layout: Layout) -> list[str]:
    if not names:
        return []
    return [
        f"{len(names)} files do not lie as the others ({layout.shown}), such as {names[0]!r}: they are left out, since "
        "nothing says their class."
    ]


def _of_listed(place: Path, images: Sequence[Found], beside: Sequence[Found], named: Named) -> Samples | None:
    """The images that a table beside them names; None if there is no such table."""
    index: dict[str, Found | None] = {}
    for one in images:
        path = PurePosixPath(one.name)
        for key in {one.name, path.name, path.stem, path.with_suffix("").as_posix()}:
            # A name that two files have is neither's.
            index[key] = None if key in index else one
    found: list[tuple[Table, Columns]] = []
    for candidate in beside[:_TABLES_LOOKED_AT]:
        try:
            table = table_at(candidate.path)
            rows = list(itertools.islice(table.rows(), LOOKED_AT))
        except DataRefusedError:
            continue
        columns = of_files(table, rows, lambda value: _key(value) in index, named)
        if columns is not None:
            found.append((table, columns))
    if not found:
        return None
    items: dict[str, Item] = {}
    absent, twice = 0, 0
    for table, columns in found:
        for row in table.rows():
            image = index.get(_key(row[columns.content]))
            if image is None:
                absent += 1
            elif image.name in items and items[image.name].label != row[columns.label]:
                twice += 1
            else:
                split = split_named(row[columns.split]) if columns.split else split_named(table.path.stem)
                domain = row[columns.domain] if columns.domain else None
                items[image.name] = Item(image.name, image.path, row[columns.label], domain, split)
    remarks = [
        f"{number} {what}"
        for number, what in (
            (absent, "rows name files that are not there, or that two folders have: they are left out."),
            (twice, "rows give a file another class than an earlier row: the first counts."),
            (len(images) - len(items), "images are named by no row: they are left out."),
        )
        if number
    ]
    names = ", ".join(table.path.name for table, _ in found[:3])
    why = f"{names} names the files in {found[0][1].content!r}; {found[0][1].shown}."
    return Samples("image", place, _resolved(list(items.values()), remarks), why, remarks)


def _key(value: str) -> str:
    return value.strip().replace("\\", "/").removeprefix("./")


def _of_table(path: Path, named: Named) -> Samples:
    if path.suffix.lower() not in tables.SUFFIXES:
        raise UsageError(f"{path} is a file: name the folder that it is in, or a table ({', '.join(tables.SUFFIXES)}).")
    images = files(path.parent, pictures.SUFFIXES)
    if images:
        listed = _of_listed(path.parent, images, [Found(path.name, path)], named)
        if listed is not None:
            return listed
    return _of_texts(path, [table_at(path)], named)


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
    columns: Columns | None = None
    seen: Counter[str] = Counter()
    for table in found:
        columns = of_texts(table, list(itertools.islice(table.rows(), LOOKED_AT)), named)
        items += _rows(table, columns, "" if len(found) == 1 else f"{table.path.stem}-", seen)
        if table.bad:
            remarks.append(f"{table.bad} lines of {table.path.name} are no rows of its columns: they are left out.")
    assert columns is not None
    if not items:
        raise DataRefusedError(f"{found[0].path} has no rows: put texts there.")
    why = f"Texts are in {columns.content!r}; {columns.shown}."
    return Samples("text", place, _resolved(items, remarks), why, remarks)


def _rows(table: Table, columns: Columns, prefix: str, seen: Counter[str]) -> Iterator[Item]:
    of_file = split_named(table.path.stem)
    for number, row in enumerate(table.rows(), 1):
        name = row.get(columns.id, "") if columns.id else ""
        id = f"{prefix}{name or f'row-{number}'}"
        seen[id] += 1
        split = split_named(row.get(columns.split, "")) if columns.split else of_file
        domain = row.get(columns.domain, "") or None if columns.domain else None
        unique = id if seen[id] == 1 else f"{id}-{seen[id]}"
        yield Item(unique, row.get(columns.content, ""), row.get(columns.label, "") or None, domain, split)


def _resolved(items: list[Item], remarks: list[str]) -> list[Item]:
    """The samples with a class; of each either all or none with domains, and with splits only where they are whole."""
    kept = [item for item in items if item.label]
    if len(kept) < len(items):
        remarks.append(f"{len(items) - len(kept)} samples have no class: they are left out.")
    without = sum(item.domain is None for item in kept)
    if 0 < without < len(kept):
        remarks.append(f"{without} samples have no domain, as others have: they are left out.")
        kept = [item for item in kept if item.domain is not None]
    splits = {item.split for item in kept}
    if None in splits or not splits & {"val", "test"} or "train" not in splits or _straddles(kept):
        if splits != {None}:
            told = "lie in more than one of them" if _straddles(kept) else "do not say of all what they are for"
            remarks.append(f"The folders or values train, val and test are passed over: samples {told}.")
        kept = [Item(i.id, i.content, i.label, i.domain, None) for i in kept]
    return kept


def _straddles(items: Sequence[Item]) -> bool:
    """Whether a domain is in two splits: domains then count, since no domain may be in two."""
    of: dict[str, set[str | None]] = {}
    for item in items:
        if item.domain is not None:
            of.setdefault(item.domain, set()).add(item.split)
    return any(len(splits) > 1 for splits in of.values())
