"""Images whose classes a table says: which table names them, and whether it or their folders are to be believed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from evernas.delivery.columns import LOOKED_AT, Columns, Named, of_files, options_of
from evernas.delivery.items import Found, Item
from evernas.delivery.layouts import Layout
from evernas.delivery.pictures import SUFFIXES
from evernas.delivery.samples import Samples, resolved
from evernas.delivery.tables import Row, Table, table_at
from evernas.errors import DataRefusedError, UsageError

_TABLES_LOOKED_AT = 20

ImageOf = Callable[[str], Found | None]
Read = tuple[Table, Columns]


def listed(
    place: Path, images: Sequence[Found], candidates: Sequence[Found], named: Named, folders: Layout | None
) -> tuple[Samples | None, list[str]]:
    """The images by what a table says of them, or None and notes of why not; `folders` is how they could be read too.

    Bare numbers are names of many things: a table of these is believed only where folders say nothing and it names
    most of the images. So are columns that are not called as classes are. What a person named is believed always.
    """
    image_of = _finder(place, images)
    sure, unsure, refusals = _tables(candidates[:_TABLES_LOOKED_AT], image_of, named)
    found = sure or unsure
    by_person = bool(named.columns)
    if not found:
        if refusals and (folders is None or by_person):
            raise refusals[0]
        return None, [f"Classes are those of the folders. {refusal}" for refusal in refusals[:1]]
    items, remarks = _items(found, image_of)
    most = len(items) * 2 >= len(images)
    names = ", ".join(table.path.name for table, _ in found[:3])
    if not by_person and folders is None and not most and not sure:
        return None, []
    if not by_person and folders is not None and not _agree(items, folders):
        label = found[0][1].label
        if not (most and sure and all(columns.known_label for _, columns in found)):
            return None, [
                f"Classes are those of the folders, though {names} may name the files too: --label {label} takes the "
                "classes from there."
            ]
        remarks.append(
            f"Classes are those of {names}, and the folders say otherwise: --layout {folders.shown} takes these."
        )
    if len(items) < len(images):
        remarks.append(f"{len(images) - len(items)} images are named by no row: they are left out.")
    why = f"{names} names the files in {found[0][1].content!r}; {found[0][1].shown}."
    kept = resolved(list(items.values()), remarks)
    return Samples("image", place, kept, why, remarks, options=options_of([columns for _, columns in found])), []


def column_of_images(table: Table, rows: Sequence[Row]) -> str | None:
    """The column of which most values end as names of image files do; None if there is none."""
    hits = {name: sum(_key(row[name]).lower().endswith(SUFFIXES) for row in rows) for name in table.columns}
    best = max(hits, key=lambda name: hits[name], default=None)
    return best if best is not None and hits[best] * 2 > len(rows) else None


def named_in(folder: Path, table: Table, column: str) -> list[Found]:
    """The images that a table's rows name by their paths from the folder on, without a look at any other file."""
    keys = dict.fromkeys(_key(row[column]) for row in table.rows())
    return [Found(key, folder / key) for key in keys if _is_image(folder, key)]


def _is_image(folder: Path, key: str) -> bool:
    path = PurePosixPath(key)
    if path.suffix.lower() not in SUFFIXES or path.is_absolute() or ".." in path.parts:
        return False
    try:
        return (folder / path).is_file()
    except OSError:
        return False


def _key(value: str) -> str:
    return value.strip().replace("\\", "/").removeprefix("./")


def _finder(place: Path, images: Sequence[Found]) -> ImageOf:
    """The image of a name: with or without folders and suffix, where no other image is called so."""
    index: dict[str, Found | None] = {}
    for one in images:
        path = PurePosixPath(one.name)
        for key in {one.name, path.name, path.stem, path.with_suffix("").as_posix()}:
            index[key] = None if key in index else one

    def image_of(value: str) -> Found | None:
        key = _key(value)
        return index.get(key) or index.get(key.removeprefix(f"{place.name}/"))

    return image_of


def _tables(
    candidates: Sequence[Found], image_of: ImageOf, named: Named
) -> tuple[list[Read], list[Read], list[DataRefusedError | UsageError]]:
    """Tables that name images, those that do so by bare numbers, and why others that name images say no class."""
    sure: list[Read] = []
    unsure: list[Read] = []
    refusals: list[DataRefusedError | UsageError] = []
    for candidate in candidates:
        try:
            table = table_at(candidate.path)
            rows = list(itertools.islice(table.rows(), LOOKED_AT))
        except DataRefusedError:
            continue
        try:
            columns = of_files(table, rows, lambda value: image_of(value) is not None, named)
        except (DataRefusedError, UsageError) as refusal:
            refusals.append(refusal)
            continue
        if columns is not None:
            (unsure if _by_number(rows, columns) else sure).append((table, columns))
    return sure, unsure, refusals


def _by_number(rows: Sequence[Row], columns: Columns) -> bool:
    return sum(row[columns.content].strip().isdecimal() for row in rows) * 2 > len(rows)


def _items(found: Sequence[Read], image_of: ImageOf) -> tuple[dict[str, Item], list[str]]:
    items: dict[str, Item] = {}
    absent, twice = 0, 0
    for table, columns in found:
        for row in table.rows():
            image = image_of(row[columns.content])
            if image is None:
                absent += 1
            elif image.name in items and items[image.name].label != columns.label_of(row):
                twice += 1
            else:
                items[image.name] = Item(
                    image.name, image.path, columns.label_of(row), columns.domain_of(row), columns.split_of(row, table)
                )
    told = (
        (absent, "rows name files that are not there, or that two folders have: they are left out."),
        (twice, "rows give a file another class than an earlier row: the first counts."),
    )
    return items, [f"{number} {what}" for number, what in told if number]


def _agree(items: Mapping[str, Item], folders: Layout) -> bool:
    """Whether classes and folders are one and the same under other names."""
    pairs = {(item.label, (folders.read(name) or {}).get("label")) for name, item in items.items()}
    return len(pairs) == len({label for label, _ in pairs}) == len({folder for _, folder in pairs})
