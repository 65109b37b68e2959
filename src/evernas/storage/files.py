"""Where bytes are kept: an interface over keys, and its form on a local folder; nothing here knows what they mean."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from evernas.errors import EvernasError, UsageError

TEMPORARY = ".tmp-"


class AlreadyExists(EvernasError):  # noqa: N818 - it names the state, not a failure
    """A create-only write met a key that is taken; what it holds is unchanged."""


class Refused(EvernasError):  # noqa: N818 - it names the state, not a failure
    """A server answered that these credentials may not do this, or that it is none of its business."""


class TooLarge(EvernasError):  # noqa: N818 - it names the state, not a failure
    """A key holds more bytes than whoever reads it takes."""


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

    def withholds(self, key: str) -> bool:
        """Whether the key lies where only few may read, so that others need to be told of it in another."""
        return False

    def prefetch(self, keys: Sequence[str]) -> None:  # noqa: B027 - a storage that is near has nothing to do
        """Say that these keys will be read soon; nothing happens for one that is not set."""

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
