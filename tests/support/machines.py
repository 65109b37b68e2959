"""Machines that share nothing but a bucket, which is a folder here; for tests of what they see of one another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evernas.state import Home
from evernas.state.bucket import Bucket
from evernas.storage import AlreadyExists, FileStorage, Refused, Storage


class Killed(BaseException):
    """What a test ends a machine with."""


@dataclass
class Server(FileStorage):
    """A bucket that says what was asked of it.

    Its asker dies after so many writes; it may lose the answers to creates, and refuse to give keys of a prefix.
    """

    root: Path
    writes_left: int = 1000
    loses_answers: bool = False
    refuses: str | None = None
    asked: list[str] = field(default_factory=list)

    def read(self, key: str) -> bytes:
        self.asked.append(f"read {key}")
        if self.refuses is not None and key.startswith(self.refuses):
            raise Refused(f"{key} could not be read: the server refuses it.")
        return super().read(key)

    def read_within(self, key: str, largest: int) -> bytes:
        return Storage.read_within(self, key, largest)

    def write(self, key: str, data: bytes) -> None:
        self._writing(key)
        super().write(key, data)

    def create(self, key: str, data: bytes) -> None:
        self._writing(key)
        super().create(key, data)
        if self.loses_answers:
            raise AlreadyExists(key)

    def keep(self, key: str, data: bytes) -> None:
        # As on S3: it asks for no right to read.
        with contextlib.suppress(AlreadyExists):
            self.create(key, data)

    def _writing(self, key: str) -> None:
        if self.writes_left == 0:
            raise Killed
        self.writes_left -= 1
        self.asked.append(f"write {key}")


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "bucket")


@pytest.fixture
def machine(server: Server, tmp_path: Path) -> Callable[..., Home]:
    """Makes a machine: an empty scratch folder before the bucket."""
    made: list[Home] = []

    def make() -> Home:
        scratch = tmp_path / f"scratch-{len(made)}"
        scratch.mkdir()
        made.append(Home(scratch, Bucket(scratch, server)))
        return made[-1]

    return make
