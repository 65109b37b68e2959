"""Where the monitor's memory of each champion lies, who may write it, and how an older one is brought up to date."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager

from evernas.monitor import MEMORY_VERSION, Memory
from evernas.registry.entries import Entry
from evernas.state import Home
from evernas.state.formats import newer
from evernas.state.ownership import exclusive
from evernas.state.sharing import storage_of
from evernas.storage import Storage


def sole(home: Home, project: str) -> AbstractContextManager[None]:
    """Be the only one that reads and writes a project's memories: others wait, and a kill frees it."""
    home.path.mkdir(parents=True, exist_ok=True)
    return exclusive(home.path / f"monitor-{project}.lock")


def read_memory(home: Home, project: str, head: Entry) -> Memory:
    """What is known of a champion; IntegrityError for what a newer evernas wrote."""
    try:
        memory = _read(_storage(home, project), _name(head))
    except KeyError:
        return Memory(head.bundle)
    return memory if memory.bundle == head.bundle else Memory(head.bundle)


def write_memory(home: Home, project: str, head: Entry, memory: Memory) -> None:
    """Keep what is known of a champion; a reader sees the former or this."""
    _write(_storage(home, project), _name(head), memory)


def renew(home: Home, project: str) -> None:
    """Write all memories in this version's form, in which names stand where they can be taken out."""
    storage = _storage(home, project)
    for name in storage.list():
        if name.endswith(".json"):
            _write(storage, name, _read(storage, name))


def _read(storage: Storage, name: str) -> Memory:
    document = json.loads(storage.read(name))
    version = document.get("version")
    if version not in range(1, MEMORY_VERSION + 1):
        raise newer(f"What the monitor knows of {name}", version, MEMORY_VERSION)
    return Memory.from_json(document)


def _write(storage: Storage, name: str, memory: Memory) -> None:
    storage.write(name, json.dumps(memory.to_json(), indent=1, sort_keys=True).encode())


def _storage(home: Home, project: str) -> Storage:
    return storage_of(home, home.project(project) / "monitor", kept=False)


def _name(head: Entry) -> str:
    return f"{head.device}-{head.number}.json"
