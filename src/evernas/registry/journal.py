"""The journal of champions: a numbered, append-only record of decisions, one per project and device.

Entry n + 1 is claimed by creating a key that must not exist. A claim carries a token, so that a claimant whose
answer was lost can read the entry back and see that it won.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evernas.config import Config
from evernas.data.storage import AlreadyExists, FileStorage
from evernas.errors import HoldError, IntegrityError

ENTRY_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """A decision that made a bundle the champion."""

    number: int
    device: str
    bundle: str
    architecture: dict[str, Any]
    run: str
    verdict: str
    model: str
    promoted_at: str
    token: str

    def to_json(self) -> dict[str, Any]:
        """The entry as it is kept."""
        return {"version": ENTRY_VERSION, **asdict(self)}


def _key(device: str, number: int) -> str:
    return f"{device}/{number:06d}.json"


def head_number(folder: Path, device: str) -> int:
    """Number of the newest entry; 0 where the device has no champion."""
    return max((int(Path(key).stem) for key in FileStorage(folder).list(f"{device}/")), default=0)


def heads(folder: Path, config: Config) -> dict[str, int]:
    """The newest entry's number for each device of the config."""
    return {device.name: head_number(folder, device.name) for device in config.devices}


def read(folder: Path, device: str, number: int) -> Entry:
    """An entry; IntegrityError if it is of another version."""
    document = json.loads(FileStorage(folder).read(_key(device, number)))
    if document.pop("version", None) != ENTRY_VERSION:
        raise IntegrityError(
            f"Journal entry {number} of {device} was written by another version of evernas: use that version."
        )
    return Entry(**document)


def head(folder: Path, device: str) -> Entry | None:
    """The champion's entry, or None where the device has none."""
    number = head_number(folder, device)
    return read(folder, device, number) if number else None


def claim(folder: Path, entry: Entry) -> Entry:
    """Append an entry; a repeated claim of the same is a success. HoldError if another decision took its number."""
    if entry.number != head_number(folder, entry.device) + 1:
        existing = _existing(folder, entry)
        if existing is not None and existing.token == entry.token:
            return existing
        raise _lost(entry, existing)
    document = json.dumps(entry.to_json(), indent=1, sort_keys=True).encode()
    try:
        FileStorage(folder).create(_key(entry.device, entry.number), document)
        return entry
    except AlreadyExists:
        existing = read(folder, entry.device, entry.number)
        if existing.token != entry.token:
            raise _lost(entry, existing) from None
        return existing


def _existing(folder: Path, entry: Entry) -> Entry | None:
    if entry.number > head_number(folder, entry.device):
        return None
    return read(folder, entry.device, entry.number)


def _lost(entry: Entry, existing: Entry | None) -> HoldError:
    taken = (
        "the journal is shorter"
        if existing is None
        else f"run {existing.run} promoted {existing.bundle[:12]} as that entry"
    )
    return HoldError(
        f"Journal entry {entry.number} of {entry.device} cannot be claimed, {taken}: "
        "the verdict was made at another journal number. Run again for a new verdict."
    )
