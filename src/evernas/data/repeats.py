"""Which rows of a snapshot have the very bytes of an earlier one: told from SHA-256 in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

DIGEST_BYTES = 32
# So many digests are sorted at a time.
PART_ROWS = 500_000
_BLOCK_ROWS = 2**16
_NONE = "0" * 64

Rows = npt.NDArray[np.int64]


class Digests:
    """The digests of rows by shard, in a file that goes with this process: 32 bytes a row."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close
        self._at: dict[str, tuple[int, int]] = {}
        self._end = 0

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def __contains__(self, shard: str) -> bool:
        return shard in self._at

    def add(self, shard: str, column: Any) -> None:
        """Note the digests of a shard: an Arrow column of hexadecimal text, null where a row has no payload."""
        if shard in self._at:
            return
        text = pa.concat_arrays(pc.fill_null(column, _NONE).chunks) if len(column) else pa.array([], pa.string())
        self.add_bytes(shard, bytes.fromhex(_characters(text)))

    def add_bytes(self, shard: str, digests: bytes) -> None:
        """Note the digests of a shard, one after the other; 0 everywhere where a row has no payload."""
        if shard in self._at:
            return
        self._file.seek(self._end)
        self._file.write(digests)
        self._at[shard] = (self._end, len(digests))
        self._end += len(digests)

    def of(self, shard: str) -> bytes:
        """The digests of a shard as they were noted."""
        begin, size = self._at[shard]
        self._file.seek(begin)
        return self._file.read(size)

    def repeated(self, shards: Iterable[str]) -> tuple[Rows, Rows]:
        """Of rows numbered through these shards in turn: those whose digest came before, and the first that has it."""
        held = list(shards)
        parts = -(-sum(self._at[shard][1] for shard in held) // (DIGEST_BYTES * PART_ROWS))
        found = [_repeated(*self._part(held, part, parts)) for part in range(parts)]
        rows = np.concatenate([rows for rows, _ in found] or [np.zeros(0, np.int64)])
        firsts = np.concatenate([firsts for _, firsts in found] or [np.zeros(0, np.int64)])
        order = np.argsort(rows)
        return rows[order], firsts[order]

    def _part(self, shards: list[str], part: int, parts: int) -> tuple[npt.NDArray[np.uint64], Rows]:
        """Digests (n, 4) and row numbers of those that fall to one part; which one is told by the digest itself."""
        digests, rows = [np.zeros((0, 4), np.uint64)], [np.zeros(0, np.int64)]
        for first, block in self._blocks(shards):
            mine = np.flatnonzero((block[:, 3] % np.uint64(parts) == part) & block.any(1))
            digests.append(block[mine])
            rows.append(mine + first)
        return np.concatenate(digests), np.concatenate(rows)

    def _blocks(self, shards: list[str]) -> Iterator[tuple[int, npt.NDArray[np.uint64]]]:
        first = 0
        for shard in shards:
            begin, size = self._at[shard]
            for at in range(begin, begin + size, _BLOCK_ROWS * DIGEST_BYTES):
                self._file.seek(at)
                data = self._file.read(min(_BLOCK_ROWS * DIGEST_BYTES, begin + size - at))
                block = np.frombuffer(data, "<u8").reshape(-1, 4)
                yield first, block
                first += len(block)


def _repeated(digests: npt.NDArray[np.uint64], rows: Rows) -> tuple[Rows, Rows]:
    """Of digests (n, 4) in the order of their rows: the rows whose digest came before, and the first that has it."""
    if len(rows) == 0:
        return rows, rows
    order = np.argsort(digests[:, 0], kind="stable")
    again = np.concatenate([[False], np.diff(digests[order, 0]) == 0])
    at = np.flatnonzero(again)
    if not (digests[order[at]] == digests[order[at - 1]]).all():
        # Two digests with the same first word, by a chance of 1 in 10^8: sorted by all of it.
        order = np.lexsort(digests.T[::-1])
        again = np.concatenate([[False], (np.diff(digests[order], axis=0) == 0).all(1)])
    begins = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    return rows[order[again]], rows[order[begins[again]]]


def _characters(text: Any) -> str:
    """All characters of an Arrow array of ASCII texts, one after the other."""
    _, offsets, data = text.buffers()
    if data is None or len(text) == 0:
        return ""
    bounds = np.frombuffer(offsets, np.int32)
    return bytes(data[int(bounds[text.offset]) : int(bounds[text.offset + len(text)])]).decode("ascii")
