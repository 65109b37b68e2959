"""Where bytes are kept: an interface over keys, and its form on a local folder; nothing here knows what they mean."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from evernas.digest import digest_bytes
from evernas.errors import EvernasError, IntegrityError, UsageError

TEMPORARY = ".tmp-"
# What is larger is better not held in memory as a whole, nor sent in one request.
LARGE_BYTES = 16 * 2**20


class AlreadyExists(EvernasError):  # noqa: N818 - it names the state, not a failure
    """A create-only write met a key that is taken; what it holds is unchanged."""


class Refused(EvernasError):  # noqa: N818 - it names the state, not a failure
    """A server answered that these credentials may not do this, or that it is none of its business."""


class TooLarge(EvernasError):  # noqa: N818 - it names the state, not a failure
    """A key holds more bytes than whoever reads it takes."""


@dataclass(frozen=True)
class LeftUpload:
    """An upload that was begun and has not ended: of which key, since when, and the bytes that are there of it."""

    key: str
    id: str
    age_s: float
    bytes: int


def check_key(key: str) -> list[str]:
    """The parts of a key; UsageError for one that could leave its root."""
    parts = key.split("/")
    if any(part in ("", ".", "..") or part.startswith(TEMPORARY) for part in parts) or "\0" in key or "\\" in key:
        raise UsageError(
            f"The key {key!r} is no plain relative path: use names joined by '/', without '.', '..', '\\' or a "
            f"name that starts with {TEMPORARY!r}."
        )
    return parts


class Storage(ABC):
    """Bytes by key. A key is a relative path with `/`; a write is seen whole or not at all."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The bytes of a key; KeyError if there is none."""

    def read_within(self, key: str, largest: int) -> bytes:
        """The same, of what somebody else may have made of any size; TooLarge for more bytes than these, never read."""
        data = self.read(key)
        if len(data) > largest:
            raise too_large(self, key, largest)
        return data

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Set a key, whatever it held."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> None:
        """Set a key that must not exist; of several at once one wins, the others raise AlreadyExists."""

    @abstractmethod
    def list(self, prefix: str = "") -> list[str]:
        """All keys that start with the prefix, sorted."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether the key is set."""

    @abstractmethod
    def age_s(self, key: str) -> float:
        """Seconds since a key was written, by the storage's clock and not this machine's; KeyError if there is none."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a key; nothing happens if there is none."""

    def erase(self, key: str) -> None:
        """Remove a key with all that it ever held, where the storage keeps earlier versions."""
        self.delete(key)

    def erase_versions(self, prefix: str) -> None:  # noqa: B027 - most storages keep none
        """Remove what keys with a prefix held before, and keys that were deleted, where the storage keeps versions."""

    @abstractmethod
    def keep(self, key: str, data: bytes) -> None:
        """Set a key that is named for its bytes; what it holds already is not written again."""

    def read_file(self, key: str, path: Path, digest: str | None = None) -> None:
        """Bring the bytes of a key to a file, which is then whole; KeyError if there is none.

        IntegrityError, and no file, if their SHA-256 is not the `digest` that is given.
        """
        data = self.read(key)
        with written_whole(path) as file:
            file.write(data)
            refuse_other(self, key, digest_bytes(data), digest)

    def write_file(self, key: str, file: BinaryIO) -> None:
        """Set a key to what an open file holds; IntegrityError if it grows or shrinks meanwhile."""
        file.seek(0)
        self.write(key, file.read())

    def keep_file(self, key: str, file: BinaryIO, digest: str) -> None:
        """Set a key that is named for its bytes to what an open file holds; IntegrityError if its SHA-256 is not this.

        Of several at once each may win: what they hold is the same.
        """
        file.seek(0)
        data = file.read()
        refuse_other(self, key, digest_bytes(data), digest)
        self.keep(key, data)

    def withholds(self, key: str) -> bool:
        """Whether the key lies where only few may read, so that others need to be told of it in another."""
        return False

    def prefetch(self, keys: Sequence[str]) -> None:  # noqa: B027 - a storage that is near has nothing to do
        """Say that these keys will be read soon; nothing happens for one that is not set."""

    def left_uploads(self, prefix: str, older_than_s: float) -> Sequence[LeftUpload]:
        """Uploads of keys with a prefix that were begun so long ago and have not ended, as a killed one never does."""
        return []

    def abort_upload(self, upload: LeftUpload) -> None:  # noqa: B027 - most storages have none
        """Remove what is there of an upload; nothing happens if it has ended."""

    def sweep(self, older_than_s: float = 86400.0) -> int:
        """Remove what killed writers left, if it is older; returns how many."""
        return 0


class FileStorage(Storage):
    """Keys as files under a root, each flushed to the disk before it gets its name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def path(self, key: str) -> Path:
        """The file of a key; UsageError for a key that could leave the root."""
        return self.root.joinpath(*check_key(key))

    def read(self, key: str) -> bytes:
        try:
            return self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None

    def read_within(self, key: str, largest: int) -> bytes:
        try:
            if self.path(key).stat().st_size > largest:
                raise too_large(self, key, largest)
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(key) from None
        return self.read(key)

    def write(self, key: str, data: bytes) -> None:
        path = self.path(key)
        with self._temporary(path, data) as temporary:
            temporary.replace(path)
            sync_folder(path.parent)

    def create(self, key: str, data: bytes) -> None:
        path = self.path(key)
        with self._temporary(path, data) as temporary:
            # link(2) refuses an existing name, which rename(2) would silently replace.
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise AlreadyExists(f"The key {key!r} is taken already: read it, or use another key.") from None
            sync_folder(path.parent)

    def list(self, prefix: str = "") -> list[str]:
        # Only the folder that the prefix names can hold matches: a walk over the root would grow with its siblings.
        folder = prefix.rpartition("/")[0]
        top = self.path(folder) if folder else self.root
        keys: list[str] = []
        for parent, _, names in os.walk(top):
            relative = Path(parent).relative_to(self.root)
            keys += [(relative / name).as_posix() for name in names if not name.startswith(TEMPORARY)]
        return sorted(key for key in keys if key.startswith(prefix))

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def age_s(self, key: str) -> float:
        path = self.path(key)
        try:
            written = path.stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(key) from None
        # A folder of another machine has that machine's clock, which a new file shows.
        with tempfile.TemporaryFile(dir=path.parent) as file:
            return os.fstat(file.fileno()).st_mtime - written

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.path(key).unlink()

    def erase(self, key: str) -> None:
        self.delete(key)
        # Names of folders may tell of whom they were, and an empty one holds nothing.
        for folder in list(self.path(key).parents)[: len(check_key(key)) - 1]:
            try:
                folder.rmdir()
            except OSError:
                break

    def keep(self, key: str, data: bytes) -> None:
        with contextlib.suppress(KeyError):
            if self.read(key) == data:
                return
        self.write(key, data)

    def sweep(self, older_than_s: float = 86400.0) -> int:
        """Remove temporary files that a killed writer left; the age spares writers that still run. Returns how many."""
        removed = 0
        for parent, _, names in os.walk(self.root):
            for name in names:
                path = Path(parent, name)
                with contextlib.suppress(FileNotFoundError):
                    if name.startswith(TEMPORARY) and time.time() - path.stat().st_mtime > older_than_s:
                        path.unlink()
                        removed += 1
        return removed

    @contextlib.contextmanager
    def _temporary(self, path: Path, data: bytes) -> Iterator[Path]:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp: its mode 0600 would hide the file from the other accounts that the umask lets read.
        name = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}")
        try:
            with name.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield name
        finally:
            with contextlib.suppress(FileNotFoundError):
                name.unlink()


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which gets its name and is durable once all is well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp: its mode 0600 would hide the file from the other accounts that the umask lets read.
    name = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}")
    try:
        with name.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        name.replace(path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            name.unlink()


def refuse_other(storage: Storage, key: str, found: str, digest: str | None) -> None:
    """IntegrityError if bytes have another digest than the one that was asked for."""
    if digest is not None and found != digest:
        raise IntegrityError(f"{storage}/{key} has the digest {found}, not the recorded {digest}.")


def too_large(storage: Storage, key: str, largest: int) -> TooLarge:
    """The refusal of a key that holds more than is taken."""
    return TooLarge(f"{storage}/{key} holds more than {largest} bytes, which nothing of evernas does there: remove it.")


def sync_folder(folder: Path) -> None:
    """Make what was renamed or linked in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
