"""One sample of a folder or a table before it is delivered, and the files under a folder; no file's content is read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evernas.errors import DataRefusedError, UsageError

MAX_FILES = 2_000_000
# What archives of a Mac hold beside the files.
_NO_DATA = ("__macosx",)


@dataclass(frozen=True)
class Found:
    """A file under a folder: its path, and its name from the folder on, with slashes."""

    name: str
    path: Path


@dataclass(frozen=True)
class Encoded:
    """An image in a row of a Parquet file, in this column."""

    path: Path
    column: str
    row: int


@dataclass(frozen=True)
class Item:
    """A sample: its id, the file or text that it is, and what is said of it; None for what nothing says."""

    id: str
    content: Path | str | Encoded
    label: str | None
    domain: str | None = None
    split: str | None = None


def files(folder: Path, suffixes: Collection[str]) -> list[Found]:
    """The files under a folder whose names end so, in order. UsageError for a link to a file outside, or a bad name."""
    found = under(folder, suffixes)
    refuse_links(folder, (one.path for one in found))
    return [one for one in found if one.path.is_file()]


def under(folder: Path, suffixes: Collection[str]) -> list[Found]:
    """What under a folder is named so, in order, and may be a link to anywhere. UsageError for a name of no UTF-8."""
    found: list[Found] = []
    for path in _walk(folder):
        if path.suffix.lower() not in suffixes:
            continue
        name = path.relative_to(folder).as_posix()
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"The name of {name!a} is no UTF-8: rename it, or its folder.") from None
        found.append(Found(name, path))
        if len(found) > MAX_FILES:
            raise DataRefusedError(f"{folder} has more than {MAX_FILES:,} files: name a part of it.")
    return sorted(found, key=lambda one: one.name)


def linked_folders(folder: Path) -> list[str]:
    """The folders under a folder that are links, and so are passed over, by their names from it on."""
    return sorted(
        Path(parent, name).relative_to(folder).as_posix()
        for parent, folders, _ in _tree(folder)
        for name in folders
        if Path(parent, name).is_symlink()
    )


def refuse_links(folder: Path, paths: Iterable[Path]) -> None:
    """UsageError if one of the paths leads out of the folder."""
    root = folder.resolve()
    for path in paths:
        # Of an archive that somebody sent, a link could take any file of this machine into what is delivered.
        if not path.resolve().is_relative_to(root):
            name = path.relative_to(folder).as_posix()
            raise UsageError(f"{name!a} is a link to a file outside of {folder}: put the file in its place.")


def _tree(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name.lower() not in _NO_DATA]
        yield parent, folders, names


def _walk(folder: Path) -> Iterator[Path]:
    for parent, _, names in _tree(folder):
        yield from (Path(parent, name) for name in names if not name.startswith("."))
