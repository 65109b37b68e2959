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
    """What a project's runs have cost, in a storage of its own."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def write(self, month: str, run: str, part: str, spent: Spent) -> str:
        """Note what an attempt, named by `part` within its run, has cost up to now; returns the entry's key."""
        key = f"{month}/{run}.{part}.json"
        document = {"version": VERSION, "run": run, "part": part, **vars(spent)}
        self._storage.write(key, json.dumps(document, sort_keys=True).encode())
        return key

    def of_month(self, month: str, but: str = "") -> Spent:
        """What all runs of a month have cost, without the entry of the key `but`."""
        return _sum(self._entries(f"{month}/", but))

    def of_run(self, run: str, but: str = "") -> Spent:
        """What one run has cost, in whatever months, without the entry of the key `but`."""
        return _sum(entry for entry in self._entries("", but, run) if entry["run"] == run)

    def months(self) -> list[str]:
        """The months in which something was spent, oldest first."""
        return sorted({key.partition("/")[0] for key in self._storage.list()})

    def _entries(self, prefix: str, but: str, run: str = "") -> list[dict[str, Any]]:
        keys = [key for key in self._storage.list(prefix) if key != but and f"/{run}" in key]
        if len(keys) <= AT_ONCE:
            return [self._read(key) for key in keys]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._read, keys))

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


def _sum(entries: Iterable[dict[str, Any]]) -> Spent:
    total = Spent()
    for entry in entries:
        total += Spent(int(entry["evaluations"]), float(entry["cpu_seconds"]), float(entry["gpu_seconds"]))
    return total
