"""What finding copies has to know of rows, kept in packs so that no shard is read for it again.

A pack saves reading and nothing else: without one, or with a damaged one, the shards are read, and it is made anew.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evernas.config import SplitConfig
from evernas.data.near import Fingerprint
from evernas.data.repeats import DIGEST_BYTES, Digests
from evernas.data.shards import Shard, printed, read_prints, read_rows, read_shard, shard_key
from evernas.data.units import UNIT_BYTES, Hexadecimal, unit_number
from evernas.digest import canonical_json, digest_bytes
from evernas.storage import Storage

VERSION = 1
PACK_BYTES = 32 * 2**20
# So many packs that are small, or mostly of shards that have gone, are made one.
LOOSE_PACKS = 32
_CODE_BYTES = 4
_READERS = 2
_FOLDER = "told/"


@dataclass(frozen=True)
class Pack:
    """A kept pack: its key, its size, and the digests of the shards that it tells of."""

    key: str
    bytes: int
    shards: tuple[str, ...]


class Told:
    """Of rows by shard, in files that go with this process: digest, group and, with a `fingerprint`, print.

    The group is what is never parted. That is the domain, as a number: the place of its name among those of its shard,
    sorted; or where recordings are split by the rule of `splits` the recording, as a part of the SHA-256 of its name.
    `shape` is that of a sample.
    """

    def __init__(
        self,
        fingerprint: Fingerprint | None,
        shape: tuple[int, ...],
        folder: Path | None = None,
        splits: SplitConfig | None = None,
    ) -> None:
        self.fingerprint, self.shape = fingerprint, shape
        self.splits = splits if splits is not None and splits.by_recording else None
        self.digests = Digests(folder)
        self.width = 0
        if fingerprint is not None:
            self.width = int(fingerprint.prints(np.zeros((1, *shape), np.float32)).shape[1])
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._at: dict[str, tuple[int, int]] = {}
        self._end = 0

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        self.digests.close()
        self._file.close()

    def __contains__(self, shard: str) -> bool:
        return shard in self._at

    def add(self, shard: Shard, table: Any, prints: Any = None) -> None:
        """Note the rows of a shard: digest, group, and payload where the prints are not known yet."""
        self.digests.add(shard.digest, table.column("digest"))
        codes = self._codes(shard, table)
        if self.fingerprint is not None and prints is None:
            prints = printed(table.column("payload"), self.fingerprint, self.shape)
        self._put(shard.digest, shard.rows, codes.tobytes() + self._raw(prints, shard.rows))

    @property
    def columns(self) -> list[str]:
        """The columns of a shard that are needed of it."""
        return ["digest", "domain" if self.splits is None else "recording"]

    def _codes(self, shard: Shard, table: Any) -> npt.NDArray[Any]:
        if self.splits is None:
            names = pa.array(sorted(shard.domains), pa.string())
            found: npt.NDArray[Any] = pc.index_in(pc.fill_null(table.column("domain"), ""), names).to_numpy()
            return found.astype("<i4")
        encoded = pc.fill_null(table.column("recording"), "").combine_chunks().dictionary_encode()
        numbers = np.array([unit_number(name, self.splits) for name in encoded.dictionary.to_pylist()], "<u8")
        units: npt.NDArray[Any] = numbers[encoded.indices.to_numpy()]
        return units

    def _raw(self, prints: Any, rows: int) -> bytes:
        if self.fingerprint is None:
            return b""
        return np.ascontiguousarray(np.broadcast_to(prints, (rows, self.width)), self._dtype).tobytes()

    def _put(self, shard: str, rows: int, data: bytes) -> None:
        if shard not in self._at:
            os.pwrite(self._file.fileno(), data, self._end)
            self._at[shard] = (self._end, rows)
            self._end += len(data)

    @property
    def _dtype(self) -> npt.DTypeLike:
        return np.float16 if self.fingerprint is None else self.fingerprint.form[0]

    @property
    def _code_bytes(self) -> int:
        return _CODE_BYTES if self.splits is None else UNIT_BYTES

    @property
    def _row_bytes(self) -> int:
        return self._code_bytes + self.width * np.dtype(self._dtype).itemsize

    def prints(self, shard: Shard) -> Any:
        """(rows, width): the prints of a shard; what says nothing for a row without payload."""
        begin, rows = self._at[shard.digest]
        size, before = rows * (self._row_bytes - self._code_bytes), rows * self._code_bytes
        data = os.pread(self._file.fileno(), size, begin + before)
        return np.frombuffer(data, self._dtype).reshape(rows, self.width)

    def groups(self, shards: Sequence[Shard]) -> tuple[npt.NDArray[np.int32], Sequence[str]]:
        """The number of each row's group, -1 for none, and the names in the order of their numbers.

        Of a recording what stands for its name: 16 hexadecimal digits (`unit_number`).
        """
        if self.splits is not None:
            held = np.concatenate([np.zeros(0, np.uint64), *(self.units(shard) for shard in shards)])
            units, at = np.unique(held, return_inverse=True)
            # Nobody's rows have the lowest number, 0.
            nobody = int(len(units) > 0 and units[0] == 0)
            return (at - nobody).astype(np.int32), Hexadecimal(units[nobody:])
        names = tuple(sorted({domain for shard in shards for domain in shard.domains if domain}))
        number = {name: at for at, name in enumerate(names)} | {"": -1}
        of = [np.zeros(0, np.int32)]
        for shard in shards:
            begin, rows = self._at[shard.digest]
            codes = np.frombuffer(os.pread(self._file.fileno(), rows * _CODE_BYTES, begin), "<i4")
            of.append(np.array([number[name] for name in sorted(shard.domains)], np.int32)[codes])
        return np.concatenate(of), names

    def units(self, shard: Shard) -> npt.NDArray[np.uint64]:
        """By recording: what stands for the recording of each row of a shard, 0 for none."""
        begin, rows = self._at[shard.digest]
        found = np.frombuffer(os.pread(self._file.fileno(), rows * UNIT_BYTES, begin), "<u8")
        return found.astype(np.uint64, copy=False)

    def pack(self, shards: Sequence[str]) -> bytes:
        """A pack that tells of these shards."""
        about = [{"digest": shard, "rows": self._at[shard][1]} for shard in shards]
        head = canonical_json({**self._head, "shards": about})
        parts = [head.encode(), b"\n"]
        for shard in shards:
            begin, rows = self._at[shard]
            parts += [self.digests.of(shard), os.pread(self._file.fileno(), rows * self._row_bytes, begin)]
        return b"".join(parts)

    def unpack(self, data: bytes) -> tuple[str, ...]:
        """Take in what a pack tells: of which shards. None where it has other prints."""
        head, _, body = data.partition(b"\n")
        document = json.loads(head)
        if {name: value for name, value in document.items() if name != "shards"} != self._head:
            return ()
        at = 0
        for about in document["shards"]:
            shard, rows = about["digest"], about["rows"]
            self.digests.add_bytes(shard, body[at : at + rows * DIGEST_BYTES])
            at += rows * DIGEST_BYTES
            self._put(shard, rows, body[at : at + rows * self._row_bytes])
            at += rows * self._row_bytes
        return tuple(about["digest"] for about in document["shards"])

    def bytes_of(self, shard: str) -> int:
        """How many bytes a shard takes in a pack."""
        return self._at[shard][1] * (DIGEST_BYTES + self._row_bytes)

    @property
    def _head(self) -> dict[str, Any]:
        """What a pack has to be of for what it tells to be used."""
        name = "none" if self.fingerprint is None else self.fingerprint.name
        head: dict[str, Any] = {"version": VERSION, "print": name, "width": self.width}
        return head if self.splits is None else {**head, "recordings": self.splits.group or ""}


def recall(storage: Storage, told: Told, keys: Sequence[str]) -> list[Pack]:
    """Take in what these packs tell; those that are there and whole."""
    storage.prefetch(keys)
    found = []
    for key in keys:
        try:
            data = storage.read(key)
        except KeyError:
            continue
        if pack_key(data) == key:
            found.append(Pack(key, len(data), told.unpack(data)))
    return found


def learn(storage: Storage, told: Told, shards: Sequence[Shard]) -> None:
    """Read those of the shards of which nothing was told: of one that is withheld, what lies beside it."""

    fingerprint = told.fingerprint

    def read(shard: Shard) -> tuple[Any, Any]:
        if fingerprint is None:
            return read_rows(storage, shard, told.columns), None
        if storage.withholds(shard_key(shard.split, shard.digest)):
            return read_rows(storage, shard, told.columns), read_prints(storage, shard, fingerprint)
        table = read_shard(storage, shard, [*told.columns, "payload"])
        return table.drop_columns(["payload"]), printed(table.column("payload"), fingerprint, told.shape)

    unknown = list({shard.digest: shard for shard in shards if shard.digest not in told}.values())
    with ThreadPoolExecutor(_READERS) as pool:
        # No more at a time than there are readers, so that memory is bounded.
        for at in range(0, len(unknown), _READERS):
            some = unknown[at : at + _READERS]
            for shard, (table, prints) in zip(some, pool.map(read, some), strict=True):
                told.add(shard, table, prints)


def keep_told(
    storage: Storage, told: Told, shards: Sequence[Shard], packs: Sequence[Pack], guard: Callable[[], None]
) -> list[str]:
    """Keep packs that tell of all these shards: the ones that there are, and new ones for the rest; their keys.

    When many are loose, small or of little that is still there, what they tell is packed again.
    """
    wanted = dict.fromkeys(shard.digest for shard in shards)
    live = [pack for pack in packs if wanted.keys() & set(pack.shards)]
    loose = [pack for pack in live if sum(told.bytes_of(s) for s in pack.shards if s in wanted) < PACK_BYTES // 2]
    kept = [pack for pack in live if pack not in loose] if len(loose) > LOOSE_PACKS else live
    covered = {shard for pack in kept for shard in pack.shards}
    keys = [pack.key for pack in kept]
    for some in _parted(told, [shard for shard in wanted if shard not in covered]):
        data = told.pack(some)
        guard()
        storage.keep(pack_key(data), data)
        keys.append(pack_key(data))
    return sorted(keys)


def _parted(told: Told, shards: Sequence[str]) -> Iterator[list[str]]:
    some, size = list[str](), 0
    for shard in shards:
        some.append(shard)
        size += told.bytes_of(shard)
        if size >= PACK_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def pack_key(data: bytes) -> str:
    """Where a pack lies: its name is its digest."""
    return f"{_FOLDER}{digest_bytes(data)}"


def erase_told(storage: Storage, guard: Callable[[], None]) -> None:
    """Remove all packs: what was erased may be in any of them, and the next increment makes them anew."""
    for key in storage.list(_FOLDER):
        guard()
        storage.erase(key)
