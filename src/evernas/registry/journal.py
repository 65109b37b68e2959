"""The journal of champions: a numbered, append-only record of decisions, one per project and device; the truth.

Entry n + 1 is claimed by filling a place that must be empty. A claim carries a token, so that a claimant whose
answer was lost can read the entry back and see that it won.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable

from evernas.errors import HoldError, UsageError
from evernas.registry.entries import Entry
from evernas.registry.slots import PROBE, Slots
from evernas.storage import AlreadyExists
from evernas.storage.claiming import created


class Journal:
    """The journal of one project, wherever its entries lie."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._probed = False

    @property
    def place(self) -> str:
        """Where it is kept, in words."""
        return self._slots.place

    def head_number(self, device: str) -> int:
        """Number of the newest entry; 0 where the device has no champion."""
        return self._slots.newest(device)

    def devices(self) -> list[str]:
        """The devices that have, or once had, a champion."""
        return self._slots.devices()

    def heads(self, devices: Iterable[str]) -> dict[str, int]:
        """The newest entry's number for each device."""
        return {device: self.head_number(device) for device in devices}

    def read(self, device: str, number: int) -> Entry:
        """An entry. KeyError if there is none; IntegrityError if it is damaged or of another version."""
        return Entry.from_bytes(self._slots.read(device, number), device, number)

    def head(self, device: str) -> Entry | None:
        """The champion's entry, or None where the device has none."""
        number = self.head_number(device)
        return self.read(device, number) if number else None

    def claim(self, entry: Entry) -> Entry:
        """Append an entry; a repeated claim of the same is a success, and returns what was written first.

        HoldError if another decision took its number, or the number before it is not taken. UnknownOutcome if the
        storage gave no answer to the end: the same claim again finds out.
        """
        self.probe()
        if entry.number > 1 and not self._taken(entry.device, entry.number - 1):
            raise _lost(entry, None)
        if created(lambda: self._slots.create(entry.device, entry.number, entry.to_bytes())):
            return entry
        # It may be our own, written by a try whose answer was lost: only the token tells.
        existing = self.read(entry.device, entry.number)
        if existing.token != entry.token:
            raise _lost(entry, existing)
        return existing

    def probe(self) -> None:
        """UsageError if the storage lets one place be filled twice: there two promoters could both believe they won.

        The place is one of its own, filled for good by the first who asks; all after it are refused, which is the
        proof.
        """
        if self._probed:
            return
        for _ in range(2):
            try:
                self._slots.create(PROBE, 0, secrets.token_hex(16).encode())
            except AlreadyExists:
                self._probed = True
                return
        raise UsageError(
            f"The storage {self.place} accepted a second write to a place that was taken: two promotions at once could "
            "both succeed there, so evernas keeps no journal in it. Use a storage that honours create-only writes "
            "(for S3: PutObject with IfNoneMatch), or registry.journal on PostgreSQL."
        )

    def _taken(self, device: str, number: int) -> bool:
        with contextlib.suppress(KeyError):
            self._slots.read(device, number)
            return True
        return False


def _lost(entry: Entry, existing: Entry | None) -> HoldError:
    taken = (
        "the journal is shorter"
        if existing is None
        else f"{existing.kind} of {existing.bundle[:12]} by run {existing.run} is that entry"
    )
    return HoldError(
        f"Journal entry {entry.number} of {entry.device} cannot be claimed, {taken}: "
        "the verdict was made at another journal number. Run again for a new verdict."
    )
