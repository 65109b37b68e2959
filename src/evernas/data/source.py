"""What data comes from: an interface over named objects that somebody else writes; nothing here reads their rows."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import BinaryIO

SUFFIXES = (".parquet", ".npz", ".jsonl", ".csv")

Stamp = tuple[int | str, ...]


class RefusedObjectError(Exception):
    """An object that cannot be read as recordings; its text is the sentence that says why."""


class ChangedWhileReadError(RefusedObjectError):
    """An object that somebody writes while it is read: what was read is neither the old nor the new content."""


class UncertainError(Exception):
    """Whether an object is there cannot be told; the text is the sentence that says why, and what would mend it."""


@dataclass(frozen=True)
class SourceObject:
    """An object of a source: its name in it, the stamp that changes when its bytes do, and where the source has it."""

    name: str
    stamp: Stamp
    place: str


class Source(ABC):
    """Objects by name. Whatever cannot be told apart from a fault of the source's own raises an EvernasError."""

    # Whether an object that a listing lacks has certainly gone.
    lists_all: bool
    # Whether bytes may be read only to see if they changed.
    is_near: bool

    def name_of(self, bucket: str, key: str) -> str | None:
        """The name of an object that an event tells of; None if it is none of this source's."""
        return None

    @abstractmethod
    def refuse_missing(self) -> None:
        """UsageError if there is no such source, or it may not be listed."""

    @abstractmethod
    def objects(self) -> list[SourceObject]:
        """All objects that are data, by name; UsageError as `refuse_missing`."""

    @abstractmethod
    def look(self, name: str) -> SourceObject | None:
        """The object of this name, None if there is none now; UncertainError if that cannot be told."""

    @abstractmethod
    def open(self, item: SourceObject) -> BinaryIO:
        """Its bytes, seekable, of one version. FileNotFoundError if it has gone; RefusedObjectError says why not."""

    @abstractmethod
    def stamp_of(self, file: BinaryIO, item: SourceObject) -> Stamp:
        """The stamp of what was opened, which may be newer than the listing."""

    @abstractmethod
    def refuse_if_changed(self, file: BinaryIO, before: Stamp) -> None:
        """ChangedWhileReadError if what was opened has no longer this stamp."""


def is_data(name: str) -> bool:
    """Whether an object of this name is data: it ends in a known suffix, and no part of its name starts with a dot."""
    return name.endswith(SUFFIXES) and not any(part.startswith(".") for part in name.split("/"))


def digest_open(file: BinaryIO) -> str:
    """SHA-256 of an open file, which is left at its start."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return digest
