"""The bucket that the state lies in, seen from a scratch folder: files come when they are asked for, and go when made.

The scratch folder has the form of the state folder, and begins empty. What is written to the bucket under a name that
others may write too is guarded by the fencing number of the run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from evernas.state.layout import folders_of, is_apart, key_of, prefixes_of
from evernas.storage import FileStorage, Storage

# Requests at the same time; each may hold an object of tens of megabytes.
AT_ONCE = 4


def unfenced() -> None:
    """For what is done before a run holds its project's lease."""


@dataclass(frozen=True)
class Bucket:
    """A bucket and the scratch folder. `fence` raises OwnershipError once another run has taken the project."""

    root: Path
    storage: Storage
    fence: Callable[[], None] = unfenced

    def fetch(self, path: Path) -> None:
        """Bring a file of the scratch folder from the bucket, unless it is here; nothing happens if there is none."""
        if path.exists():
            return
        relative = self._relative(path)
        # Refuses a name, from a listing perhaps, that would leave the folder.
        here = FileStorage(self.root).path(relative)
        with contextlib.suppress(KeyError):
            self.storage.read_file(key_of(relative), here)

    def publish(self, path: Path) -> None:
        """Set a file's key to what the file holds."""
        self.fence()
        with path.open("rb") as file:
            self.storage.write_file(key_of(self._relative(path)), file)

    def area(self, folder: Path, *, kept: bool) -> Area:
        """The keys under a folder; `kept` where they never change, so that what was read once is read here."""
        return Area(self, self._relative(folder), kept)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


@dataclass(frozen=True)
class Area(Storage):
    """A folder of the state as a storage."""

    bucket: Bucket
    folder: str
    kept: bool

    def __str__(self) -> str:
        return f"{self.bucket.storage}/{key_of(self.folder)}"

    def read(self, key: str) -> bytes:
        if self.kept and self._here.exists(key):
            return self._here.read(key)
        data = self._there.read(self._key(key))
        if self.kept:
            self._here.write(key, data)
        return data

    def read_within(self, key: str, largest: int) -> bytes:
        return self._there.read_within(self._key(key), largest)

    def write(self, key: str, data: bytes) -> None:
        self.bucket.fence()
        self._there.write(self._key(key), data)
        if self.kept:
            self._here.write(key, data)

    def create(self, key: str, data: bytes) -> None:
        self.bucket.fence()
        self._there.create(self._key(key), data)
        if self.kept:
            self._here.write(key, data)

    def list(self, prefix: str = "") -> list[str]:
        inner, _, begin = prefix.rpartition("/")
        folder = f"{self.folder}/{inner}" if inner else self.folder
        found: list[str] = []
        for there in folders_of(folder):
            names = [key.removeprefix(there) for key in self._there.list(there + begin)]
            found += [f"{inner}/{name}" if inner else name for name in names]
        return sorted(found)

    def exists(self, key: str) -> bool:
        return (self.kept and self._here.exists(key)) or self._there.exists(self._key(key))

    def age_s(self, key: str) -> float:
        return self._there.age_s(self._key(key))

    def delete(self, key: str) -> None:
        self.bucket.fence()
        self._there.delete(self._key(key))
        self._here.delete(key)

    def erase(self, key: str) -> None:
        self.bucket.fence()
        self._there.erase(self._key(key))
        self._here.delete(key)

    def erase_versions(self, prefix: str) -> None:
        self.bucket.fence()
        for there in prefixes_of(f"{self.folder}/{prefix}".rstrip("/")):
            self._there.erase_versions(there)

    def clear(self, prefix: str) -> None:
        """Remove all keys with a prefix."""
        found = self.list(prefix)
        if found:
            self.bucket.fence()
        for key in found:
            self._there.delete(self._key(key))
            self._here.delete(key)

    def keep(self, key: str, data: bytes) -> None:
        # Not fenced: whoever writes it writes the same.
        self._there.keep(self._key(key), data)

    def read_file(self, key: str, path: Path, digest: str | None = None) -> None:
        self._there.read_file(self._key(key), path, digest)

    def write_file(self, key: str, file: BinaryIO) -> None:
        self.bucket.fence()
        self._there.write_file(self._key(key), file)

    def keep_file(self, key: str, file: BinaryIO, digest: str) -> None:
        # Not fenced: whoever writes it writes the same.
        self._there.keep_file(self._key(key), file, digest)

    def withholds(self, key: str) -> bool:
        return is_apart(self._key(key))

    def prefetch(self, keys: Sequence[str]) -> None:
        missing = [key for key in dict.fromkeys(keys) if not self._here.exists(key)]
        if self.kept and len(missing) > 1:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(self._bring, missing))

    def _bring(self, key: str) -> None:
        try:
            data = self._there.read(self._key(key))
        except KeyError:
            return
        self._here.write(key, data)

    @property
    def _here(self) -> FileStorage:
        return FileStorage(self.bucket.root / self.folder)

    @property
    def _there(self) -> Storage:
        return self.bucket.storage

    def _key(self, key: str) -> str:
        return key_of(f"{self.folder}/{key}")
