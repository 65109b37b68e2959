"""Numbered records that are only ever added to, such as releases and erasures; what they say is their writer's."""

from __future__ import annotations

import json
from typing import Any

from evernas.errors import IntegrityError
from evernas.storage import AlreadyExists, Storage

RECORDS_VERSION = 1


class Records:
    """The records of one kind of a project, each a JSON document under its number."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def count(self) -> int:
        """How many there are."""
        return len(self._numbers())

    def all(self, first: int | None = None) -> list[dict[str, Any]]:
        """The documents in order, or the first so many. IntegrityError for one of another version, or that is none."""
        numbers = self._numbers()[:first]
        return [self._read(number) for number in numbers]

    def append(self, document: dict[str, Any]) -> int:
        """Add a record under the next number, which is returned; of several at once each gets its own."""
        while True:
            number = max(self._numbers(), default=0) + 1
            text = json.dumps({"version": RECORDS_VERSION, "number": number, **document}, indent=1, sort_keys=True)
            try:
                self._storage.create(_key(number), text.encode())
            except AlreadyExists:
                # Also a first try of ours whose answer was lost: then the same is said twice, which changes nothing.
                continue
            return number

    def _numbers(self) -> list[int]:
        return sorted(int(key.removesuffix(".json")) for key in self._storage.list() if key[:1].isdigit())

    def _read(self, number: int) -> dict[str, Any]:
        key = _key(number)
        try:
            document: dict[str, Any] = json.loads(self._storage.read(key))
            version = document["version"]
        except (KeyError, ValueError, TypeError):
            raise IntegrityError(f"The record {self._storage}/{key} is no JSON with a version: restore it.") from None
        if version != RECORDS_VERSION:
            raise IntegrityError(
                f"The record {self._storage}/{key} has version {version}, this evernas reads {RECORDS_VERSION}: "
                "upgrade evernas."
            )
        return document


def _key(number: int) -> str:
    return f"{number:06d}.json"
