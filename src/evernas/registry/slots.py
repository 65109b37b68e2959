"""Where a journal's entries lie: numbered places per device that are filled once, and never changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import PurePosixPath

from evernas.errors import IntegrityError
from evernas.storage import AlreadyExists, Storage

PROBE = "_probe"
"""No device's name begins with an underscore."""


def filled_otherwise(device: str, number: int) -> IntegrityError:
    """The refusal to fill a place that holds something else."""
    return IntegrityError(
        f"Entry {number} of {device} is in the journal already, and is another one: restore into an empty journal."
    )


class Slots(ABC):
    """Numbered places, from 1, for each device of one project."""

    @abstractmethod
    def newest(self, device: str) -> int:
        """The highest number that is filled; 0 if none is."""

    @abstractmethod
    def read(self, device: str, number: int) -> bytes:
        """What a place holds; KeyError if it is not filled."""

    @abstractmethod
    def create(self, device: str, number: int, data: bytes) -> None:
        """Fill a place. AlreadyExists if it is filled; UnknownOutcome if no answer came, and it may have been."""

    def fill(self, entries: Mapping[tuple[str, int], bytes]) -> None:
        """Fill places of a backup, by device and number: of each device the newest first, so that no earlier one is
        ever taken for it. IntegrityError for a place that holds something else.
        """
        for device, number in sorted(entries, key=lambda place: (place[0], -place[1])):
            try:
                self.create(device, number, entries[device, number])
            except AlreadyExists:
                if self.read(device, number) != entries[device, number]:
                    raise filled_otherwise(device, number) from None

    @abstractmethod
    def devices(self) -> list[str]:
        """The devices that have at least one place filled, sorted."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where this is, in words for a message; without passwords."""


class StorageSlots(Slots):
    """Places as keys of a storage, `<device>/<number>.json`: files in a folder, or objects of an S3 bucket."""

    def __init__(self, storage: Storage, place: str) -> None:
        self._storage = storage
        self._place = place

    def newest(self, device: str) -> int:
        keys = self._storage.list(f"{device}/")
        return max((int(PurePosixPath(key).stem) for key in keys), default=0)

    def read(self, device: str, number: int) -> bytes:
        return self._storage.read(_key(device, number))

    def create(self, device: str, number: int, data: bytes) -> None:
        self._storage.create(_key(device, number), data)

    def devices(self) -> list[str]:
        return sorted({key.partition("/")[0] for key in self._storage.list() if "/" in key})

    @property
    def place(self) -> str:
        return self._place


def _key(device: str, number: int) -> str:
    return PROBE if device == PROBE else f"{device}/{number:06d}.json"
