"""What stands for a recording where names would be too many: eight bytes of the SHA-256 of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evernas.config import SplitConfig
from evernas.data.shards import Shard, read_rows
from evernas.storage import Storage

if TYPE_CHECKING:
    from evernas.data.told import Told

UNIT_BYTES = 8

Units = npt.NDArray[np.uint64]


def unit_number(recording: str, splits: SplitConfig) -> int:
    """What stands for a recording, or for what it is a part of; 0 for no name."""
    if not recording:
        return 0
    text = splits.unit_of(recording).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:UNIT_BYTES], "big") or 1


def named_units(
    storage: Storage, told: Told, shards: Iterable[Shard], wanted: Units, splits: SplitConfig
) -> dict[int, str]:
    """The names of what these stand for, from the shards that hold any; no other is read."""
    found = dict[int, str]()
    for shard in shards:
        at = np.isin(told.units(shard), wanted)
        if at.any():
            column = read_rows(storage, shard, ["recording"]).column("recording").filter(pa.array(at))
            found |= {unit_number(name, splits): splits.unit_of(name) for name in pc.unique(column).to_pylist()}
    return found


def held_units(told: Told, shards: Iterable[Shard], wanted: Units) -> set[int]:
    """Which of these any of the shards holds."""
    found = set[int]()
    for shard in shards:
        found.update(np.intersect1d(told.units(shard), wanted).tolist())
    return found


class Hexadecimal(Sequence[str]):
    """Numbers as 16 hexadecimal digits each, written out when they are asked for: there may be millions."""

    def __init__(self, numbers: Units) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [f"{number:016x}" for number in self._numbers[at].tolist()]
        return f"{int(self._numbers[at]):016x}"
