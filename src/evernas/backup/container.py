"""The file of a backup: a tar of members, the last of which lists the digests of the others, and a seal over all of it.

The seal is one block after the tar's end, which other programs ignore: the SHA-256 of every byte before it. So a byte
that was changed anywhere, in a member, a header, the padding or the seal itself, is found.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from evernas.digest import digest_bytes
from evernas.errors import IntegrityError, UsageError
from evernas.state.formats import newer
from evernas.storage import sync_folder

VERSION = 1
INDEX = "backup.json"
BLOCK = 512
PIECE = 1 << 20
SEAL = b"evernas backup sha256 "


class _Hashing(io.RawIOBase):
    """Writes through to a file, and digests what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


class Writer:
    """Adds members, each once."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.digests: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        """Add a member."""
        assert name not in self.digests, name
        self.digests[name] = digest_bytes(data)
        _add(self._archive, name, data)


@contextmanager
def writing(path: Path, about: Callable[[], dict[str, Any]]) -> Iterator[Writer]:
    """Write a backup: under another name until it is whole and on the disk, then under its own.

    `about` is asked last, for what the index says besides. UsageError if there is a file of this name.
    """
    if path.exists():
        raise UsageError(f"{path} is there already, and a backup is never written over: name another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        # It may hold keys, and what the gate keeps to itself.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            hashing = _Hashing(file)
            with tarfile.open(fileobj=cast(Any, hashing), mode="w|", format=tarfile.PAX_FORMAT) as archive:
                writer = Writer(archive)
                yield writer
                index = {"version": VERSION, **about(), "members": writer.digests}
                _add(archive, INDEX, json.dumps(index, indent=1, sort_keys=True).encode())
            file.write(_seal(hashing.digest.hexdigest()))
            file.flush()
            os.fsync(file.fileno())
        # A link refuses a name that was taken meanwhile, which a rename would replace.
        os.link(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Backup:
    """A backup whose every byte was checked. `digest` is the file's own."""

    path: Path
    digest: str
    index: dict[str, Any]

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents, in the order of writing, without the index."""
        with tarfile.open(self.path) as archive:
            for member in archive:
                if member.name != INDEX:
                    yield member.name, _content(archive, member)


def checked(path: Path) -> Backup:
    """A backup, every byte checked; IntegrityError says what is damaged, UsageError if there is no such file."""
    digest, sealed = _digests(path)
    if not sealed:
        raise IntegrityError(f"{path} is damaged, or was cut off: {_damage(path)}. Take an older backup.")
    with tarfile.open(path) as archive:
        names = archive.getnames()
        if not names or names[-1] != INDEX:
            raise IntegrityError(f"{path} has no index at its end: it is no backup of evernas.")
        index = json.loads(_content(archive, archive.getmember(INDEX)))
        if index.get("version") != VERSION:
            raise newer(str(path), index.get("version"), VERSION)
        found = {m.name: digest_bytes(_content(archive, m)) for m in archive.getmembers() if m.name != INDEX}
    if found != index["members"] or len(names) != len(found) + 1:
        raise IntegrityError(f"{path} holds other members than its index lists: it was put together by somebody else.")
    return Backup(path, digest, index)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    archive.addfile(member, io.BytesIO(data))


def _seal(digest: str) -> bytes:
    return (SEAL + digest.encode() + b"\n").ljust(BLOCK, b"\0")


def _digests(path: Path) -> tuple[str, bool]:
    """The digest of all but the seal, and whether the seal says so."""
    try:
        size = path.stat().st_size
        if size < 2 * BLOCK:
            return "", False
        found, left = hashlib.sha256(), size - BLOCK
        with path.open("rb") as file:
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    return "", False
                found.update(piece)
                left -= len(piece)
            return found.hexdigest(), file.read() == _seal(found.hexdigest())
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name a backup.") from None


def _damage(path: Path) -> str:
    """Which members are not what the index says, as far as that can be told."""
    try:
        with tarfile.open(path) as archive:
            contents = {member.name: _content(archive, member) for member in archive}
        listed = json.loads(contents.pop(INDEX))["members"]
        wrong = [name for name in sorted({*listed, *contents}) if listed.get(name) != _digest(contents.get(name))]
    except (tarfile.TarError, KeyError, ValueError, TypeError, AttributeError, OSError, EOFError):
        return "its list of contents cannot be read"
    return f"{', '.join(wrong[:5])} changed" if wrong else "what is between its members, or its seal, changed"


def _digest(data: bytes | None) -> str | None:
    return None if data is None else digest_bytes(data)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()
