"""A folder as a source of data: listing its files and opening them as untrusted input; nothing here writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from evernas.data.source import ChangedWhileReadError, RefusedObjectError, Source, SourceObject, Stamp, is_data
from evernas.errors import EvernasError, UsageError


class FolderSource(Source):
    """The files under a folder. A listing that succeeds is complete: what it lacks has gone."""

    lists_all = True
    is_near = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def refuse_missing(self) -> None:
        if not self.folder.is_dir():
            raise UsageError(f"data.source is {self.folder}, and there is no such folder: create it or name another.")

    def objects(self) -> list[SourceObject]:
        self.refuse_missing()
        found: list[SourceObject] = []
        for parent, folders, names in os.walk(self.folder, onerror=_refuse_unlisted):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            for name in filter(is_data, names):
                path = Path(parent, name)
                try:
                    status = path.stat()
                except OSError:
                    continue
                # Bytes that are no UTF-8 would break the manifest: the escape keeps the name readable and unique.
                shown = path.relative_to(self.folder).as_posix().encode("utf-8", "backslashreplace").decode()
                found.append(SourceObject(shown, _stamp(status), str(path)))
        return sorted(found, key=lambda item: item.name)

    def look(self, name: str) -> SourceObject | None:
        return next((item for item in self.objects() if item.name == name), None)

    def open(self, item: SourceObject) -> BinaryIO:
        return open_file(item)

    def stamp_of(self, file: BinaryIO, item: SourceObject) -> Stamp:
        return _stamp(os.fstat(file.fileno()))

    def refuse_if_changed(self, file: BinaryIO, before: Stamp) -> None:
        after = _stamp(os.fstat(file.fileno()))
        if after[:2] != before[:2]:
            raise ChangedWhileReadError(
                "It changed while it was read: write files under another name, then rename them."
            )


def open_file(item: SourceObject) -> BinaryIO:
    """The open file. FileNotFoundError if it has gone; RefusedObjectError if it is no file that can be read."""
    path = Path(item.place)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedObjectError("It is no regular file: replace it by a file of recordings.")
        return path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RefusedObjectError(
            f"It cannot be read ({error.strerror}): mend its permissions or its storage."
        ) from None


def _stamp(status: os.stat_result) -> Stamp:
    """Size, times and inode: ctime too, because tools that copy files set the mtime back."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _refuse_unlisted(error: OSError) -> None:
    # A folder that went while the others were listed holds nothing; one that may not be listed would seem empty.
    if not isinstance(error, FileNotFoundError):
        raise EvernasError(
            f"The folder {error.filename} cannot be listed ({error.strerror}): mend its permissions or its storage."
        )
