"""The book of costs: a file for each attempt at each step of each run, by month; it outlives the runs' folders.

Each file has one writer, the attempt itself, which writes it anew while it works: so nothing is lost when two work at
once, and a kill loses what was spent since the last write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evernas.budget.spending import Spent
from evernas.errors import IntegrityError
from evernas.storage import Storage

VERSION = 1
AT_ONCE = 8


class CostBook:
    """What a project's runs have cost, in a storage of its own.

    Entries of attempts that have ended are read once and remembered: whoever asks often keeps the book.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ended: dict[str, dict[str, Any]] = {}

    def write(self, month: str, run: str, part: str, spent: Spent, ended: bool = False) -> str:
        """Note what an attempt, named by `part` within its run, has cost in a month up to now; returns the entry's key.

        `ended` when that will not change any more.
        """
        key = key_of(month, run, part)
        document = {"version": VERSION, "run": run, "part": part, "ended": ended, **vars(spent)}
        self._storage.write(key, json.dumps(document, sort_keys=True).encode())
        return key

    def of_month(self, month: str, but: str = "") -> Spent:
        """What all runs of a month have cost, without the attempt whose entry has the key `but`."""
        return _sum(self._entries(f"{month}/", but))

    def of_run(self, run: str, but: str = "") -> Spent:
        """What one run has cost, in whatever months, without the attempt that has an entry of the key `but`."""
        return _sum(entry for entry in self._entries("", but, run) if entry["run"] == run)

    def months(self) -> list[str]:
        """The months in which something was spent, oldest first."""
        return sorted({key.partition("/")[0] for key in self._storage.list()})

    def _entries(self, prefix: str, but: str, run: str = "") -> list[dict[str, Any]]:
        keys = [key for key in self._storage.list(prefix) if _attempt(key) != _attempt(but) and f"/{run}" in key]
        unknown = [key for key in keys if key not in self._ended]
        if len(unknown) <= AT_ONCE:
            read = dict(zip(unknown, map(self._read, unknown), strict=True))
        else:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                read = dict(zip(unknown, pool.map(self._read, unknown), strict=True))
        self._ended |= {key: entry for key, entry in read.items() if entry.get("ended")}
        return [self._ended[key] if key in self._ended else read[key] for key in keys]

    def _read(self, key: str) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(self._storage.read(key))
            version = document["version"]
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(
                f"The cost entry {key} of {self._storage} cannot be read: restore it from a backup, or remove it, and "
                "what it held is not counted."
            ) from None
        if version > VERSION:
            raise IntegrityError(
                f"The cost entry {key} was written by a newer evernas, which has version {version} of its format, and "
                f"this one reads up to {VERSION}. Upgrade evernas here; nothing was changed."
            )
        return document


def key_of(month: str, run: str, part: str) -> str:
    """The key of an attempt's entry of a month."""
    return f"{month}/{run}.{part}.json"


def _attempt(key: str) -> str:
    """The attempt that an entry is of, in whatever month."""
    return key.partition("/")[2]


def _sum(entries: Iterable[dict[str, Any]]) -> Spent:
    total = Spent()
    for entry in entries:
        total += Spent(int(entry["evaluations"]), float(entry["cpu_seconds"]), float(entry["gpu_seconds"]))
    return total
