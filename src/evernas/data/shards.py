"""Shards: immutable Parquet files of samples, named by their digest; nothing here decides which samples go where."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evernas.config import SignalConfig
from evernas.data.blocks import Block
from evernas.data.near import Fingerprint
from evernas.data.splits import Split
from evernas.data.windows import Windows, cuts, signal_error
from evernas.digest import digest_bytes
from evernas.errors import IntegrityError
from evernas.storage import Storage

SHARD_PAYLOAD_BYTES = 32 * 2**20
# Windows are made so many bytes at a time, which a processor's cache holds.
CUT_BYTES = 2**20
# Seconds since 1970 of the recording that a row is of; a shard of which no row has any lacks the column.
TIME = "time"
STATISTICS = ("n_nonfinite", "min", "max", "mean", "min_channel_std", "length")
# Of the SHA-256 that stands before prints.
_SUM_BYTES = 64
_TEXT = pa.string()
_REAL = pa.float64()


@dataclass(frozen=True)
class Shard:
    """What a manifest says of a shard."""

    digest: str
    split: Split
    rows: int
    bytes: int
    domains: dict[str, int]
    labels: dict[str, int]


class Listener(Protocol):
    """Who is told of every shard that is published."""

    def add(self, shard: Shard, table: Any) -> None:
        """Take in a shard and its rows, with payload."""


def shard_key(split: str, digest: str) -> str:
    """Where a shard lies: a folder per split, so that storage can refuse one to those who must not read it."""
    return f"shards/{split}/{digest}.parquet"


def shard_schema(signal: SignalConfig) -> Any:
    """Columns of a shard; payload is float32, little-endian, (channels, time)."""
    payload = pa.binary(4 * len(signal.channels) * signal.length)
    return pa.schema(
        {
            "sample_id": _TEXT,
            "recording": _TEXT,
            "position": pa.int64(),
            "start": pa.int64(),
            "domain": _TEXT,
            "label": _TEXT,
            "digest": _TEXT,
            "decode_error": _TEXT,
            "n_nonfinite": pa.int64(),
            "min": _REAL,
            "max": _REAL,
            "mean": _REAL,
            "min_channel_std": _REAL,
            "length": pa.int64(),
            TIME: _REAL,
            "payload": payload,
        }
    )


@dataclass
class ShardWriter:
    """Gathers the samples of one object and split, and publishes a shard whenever enough have come.

    `pool` encodes and writes shards while the next is gathered; one at a time is under way, so that memory is bounded.
    `told` is told of every row. Of a shard that may not be read again, the prints are kept beside it, where there is a
    `fingerprint` for samples of this `shape`.
    """

    storage: Storage
    split: Split
    signal: SignalConfig
    guard: Callable[[], None]
    pool: Executor
    told: Listener
    fingerprint: Fingerprint | None
    shape: tuple[int, ...]
    _shards: list[Future[Shard]] = field(default_factory=list)
    _parts: list[Any] = field(default_factory=list)
    _payload_bytes: int = 0
    _cut: list[tuple[Block, slice, Windows]] = field(default_factory=list)
    _cut_bytes: int = 0

    @cached_property
    def _schema(self) -> Any:
        return shard_schema(self.signal)

    def add(self, block: Block) -> None:
        """Add all samples of a block; one row without payload for each recording that gives none."""
        error = block.error
        if error is None and block.payload is not None:
            error = signal_error(block.payload.shape[1:], self.signal)
        if error is not None or block.payload is None:
            self._gather()
            self._parts.append(self._unsampled(block, error))
            return
        at_once = min(CUT_BYTES, SHARD_PAYLOAD_BYTES // 8)
        for rows, windows in cuts(block.payload, self.signal, at_once):
            self._cut.append((block, rows, windows))
            self._cut_bytes += windows.payload.nbytes
            # Blocks of one recording each, of which no two are equally long, become one part too.
            if self._cut_bytes >= at_once:
                self._gather()
            if self._payload_bytes >= SHARD_PAYLOAD_BYTES:
                self._flush()

    def _gather(self) -> None:
        if self._cut:
            self._parts.append(self._samples(self._cut))
            self._payload_bytes += self._cut_bytes
            self._cut, self._cut_bytes = [], 0

    def shards(self) -> tuple[Shard, ...]:
        """All that was added, published."""
        self._flush()
        return tuple(shard.result() for shard in self._shards)

    def _flush(self) -> None:
        self._gather()
        if not self._parts:
            return
        table = pa.Table.from_batches(self._parts)
        self._parts, self._payload_bytes = [], 0
        if self._shards:
            self._shards[-1].result()
        self._shards.append(self.pool.submit(self._publish, table))

    def _publish(self, table: Any) -> Shard:
        shard = keep_table(self.storage, self.split, table, self.guard, self.fingerprint, self.shape)
        self.told.add(shard, table)
        return shard

    def _unsampled(self, block: Block, error: str | None) -> Any:
        n = len(block)
        length = 0 if block.payload is None else block.payload.shape[2]
        known = {
            "sample_id": pc.fill_null(block.ids, ""),
            "start": pa.array(np.zeros(n, np.int64)),
            "decode_error": pa.array([error] * n, _TEXT),
            "length": pa.array(np.full(n, length, np.int64)),
        }
        return self._batch(known | _columns(block), n)

    def _samples(self, cut: list[tuple[Block, slice, Windows]]) -> Any:
        blocks = [(block, rows) for block, rows, _ in cut]
        names = ("recording", "position", "domain", "label", TIME)
        columns = {name: pa.concat_arrays([_columns(block)[name][rows] for block, rows in blocks]) for name in names}
        recordings = [rows.stop - rows.start for _, rows in blocks]
        samples = np.repeat([windows.per_recording for _, _, windows in cut], recordings)
        if samples.max() > 1:
            origin = pa.array(np.repeat(np.arange(len(samples)), samples))
            columns = {name: column.take(origin) for name, column in columns.items()}

        def joined(name: str) -> Any:
            arrays = [getattr(windows, name) for _, _, windows in cut]
            return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

        payload, starts = joined("payload"), pa.array(joined("starts"))
        lengths = np.repeat([block.payload.shape[2] for block, _ in blocks if block.payload is not None], recordings)
        n, kind = len(payload), self._schema.field("payload").type
        known = {
            "sample_id": pc.binary_join_element_wise(pc.fill_null(columns["recording"], ""), starts.cast(_TEXT), "/"),
            "start": starts,
            "digest": _hexadecimal(b"".join(windows.digests for _, _, windows in cut), n),
            "n_nonfinite": pa.array(joined("nonfinite")),
            # As floats with NaN, not with nulls: a window without any number has no extremes, which a rule catches.
            "min": pa.array(joined("minimum")),
            "max": pa.array(joined("maximum")),
            "mean": pa.array(joined("mean")),
            "min_channel_std": pa.array(joined("min_channel_std")),
            "length": pa.array(np.repeat(lengths, samples)),
            "payload": pa.FixedSizeBinaryArray.from_buffers(kind, n, [None, pa.py_buffer(payload)]),
        }
        return self._batch(known | columns, n)

    def _batch(self, known: dict[str, Any], n: int) -> Any:
        names, kinds = self._schema.names, self._schema.types
        columns = [known[name] if name in known else pa.nulls(n, kind) for name, kind in zip(names, kinds, strict=True)]
        return pa.record_batch(columns, schema=self._schema)


def keep_table(
    storage: Storage,
    split: Split,
    table: Any,
    guard: Callable[[], None],
    fingerprint: Fingerprint | None = None,
    shape: tuple[int, ...] = (),
) -> Shard:
    """Publish a table of `shard_schema` as a shard; `guard` is called before anything is written.

    Beside a shard that is withheld lie its rows and, with a `fingerprint` for samples of this `shape`, prints.
    """
    if TIME in table.column_names and table.column(TIME).null_count == table.num_rows:
        # As all shards are that were written before there were times.
        table = table.drop_columns([TIME])
    data = _encode(table)
    digest = digest_bytes(data)
    key = shard_key(split, digest)
    guard()
    if storage.withholds(key):
        storage.keep(_rows_beside(split, digest), _encode(table.drop_columns(["payload"]), checked=True))
        if fingerprint is not None:
            prints = printed(table.column("payload"), fingerprint, shape).tobytes()
            summed = digest_bytes(prints).encode("ascii") + prints
            storage.keep(_prints_beside(fingerprint, split, digest), summed)
    storage.keep(key, data)
    domains, labels = (_counts(table.column(name)) for name in ("domain", "label"))
    return Shard(digest, split, table.num_rows, len(data), domains, labels)


def _columns(block: Block) -> dict[str, Any]:
    known = {"recording": block.ids, "position": block.positions, "domain": block.domains, "label": block.labels}
    return known | {TIME: block.times}


def _hexadecimal(digests: bytes, n: int) -> Any:
    """Digests of 32 bytes, one after the other, as n strings."""
    offsets = np.arange(n + 1, dtype=np.int32) * 64
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(digests.hex().encode()))


def _counts(column: Any) -> dict[str, int]:
    counted = pc.value_counts(pc.fill_null(column, "")).to_pylist()
    return {entry["values"]: entry["counts"] for entry in counted}


def read_shard(storage: Storage, shard: Shard, columns: list[str]) -> Any:
    """The named columns of a shard whose bytes are what the manifest says; IntegrityError if they are not."""
    key = shard_key(shard.split, shard.digest)
    try:
        data = storage.read(key)
    except KeyError:
        raise IntegrityError(
            f"The shard {key} is missing: restore it, or ingest the source into a new folder."
        ) from None
    if digest_bytes(data) != shard.digest:
        raise IntegrityError(
            f"The shard {key} has the digest {digest_bytes(data)}, not that of its name: restore it from a backup, "
            "or remove it and ingest its source again."
        )
    return pq.ParquetFile(io.BytesIO(data)).read(columns=columns, use_threads=False)


def rows_key(storage: Storage, shard: Shard) -> str:
    """Where `read_rows` reads: the shard, or where that is withheld, what was told of it when it was taken in."""
    key = shard_key(shard.split, shard.digest)
    return _rows_beside(shard.split, shard.digest) if storage.withholds(key) else key


def read_rows(storage: Storage, shard: Shard, columns: list[str]) -> Any:
    """The named columns, payload not among them, for whoever may not read the shard; IntegrityError if damaged."""
    key = rows_key(storage, shard)
    if key == shard_key(shard.split, shard.digest):
        return read_shard(storage, shard, columns)
    try:
        data = storage.read(key)
        # Their name is the shard's: that these are the right bytes is said by the sums of their pages.
        table = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True).read(columns, use_threads=False)
    except (KeyError, OSError, ValueError) as error:
        raise IntegrityError(
            f"The rows {key} cannot be read ({error}): ingest their source into a new store."
        ) from None
    if table.num_rows != shard.rows:
        raise IntegrityError(f"{key} has {table.num_rows} rows, the manifest says {shard.rows}: restore it.")
    return table


def read_prints(storage: Storage, shard: Shard, fingerprint: Fingerprint) -> Any:
    """The prints of a shard that is withheld, (rows, width); what says nothing where none were kept."""
    dtype, nothing = fingerprint.form
    try:
        data = storage.read(_prints_beside(fingerprint, shard.split, shard.digest))
    except KeyError:
        return np.full((shard.rows, 1), nothing, dtype)
    if digest_bytes(data[_SUM_BYTES:]) != data[:_SUM_BYTES].decode("ascii", "replace"):
        raise IntegrityError(f"The prints beside the shard {shard.digest} were changed: ingest into a new store.")
    return np.frombuffer(data, dtype, offset=_SUM_BYTES).reshape(shard.rows, -1)


def floats(column: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A column of payloads without nulls as (n, *shape)."""
    parts = [np.zeros((0, *shape), np.float32)]
    for chunk in column.chunks:
        if len(chunk):
            values = np.frombuffer(chunk.buffers()[1], "<f4").reshape(-1, *shape)
            parts.append(values[chunk.offset : chunk.offset + len(chunk)])
    return parts[1] if len(parts) == 2 else np.concatenate(parts)


def printed(column: Any, fingerprint: Fingerprint, shape: tuple[int, ...]) -> Any:
    """The prints of a column of payloads (rows, width); what says nothing where there is no payload."""
    dtype, nothing = fingerprint.form
    parts = [np.zeros((0, 1), dtype)]
    for chunk in column.chunks:
        rows = np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False))
        found = np.full((len(chunk), 1), nothing, dtype)
        if len(rows):
            there = chunk if len(rows) == len(chunk) else chunk.take(pa.array(rows))
            prints = fingerprint.prints(floats(pa.chunked_array([there]), shape))
            found = np.full((len(chunk), prints.shape[1]), nothing, dtype)
            found[rows] = prints
        parts.append(found)
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.broadcast_to(part, (len(part), width)) for part in parts])


def _prints_beside(fingerprint: Fingerprint, split: str, digest: str) -> str:
    return f"prints/{fingerprint.name}/{split}/{digest}"


def _rows_beside(split: str, digest: str) -> str:
    """Where the rows of a shard lie, without their payload, where the shard itself is withheld."""
    return f"rows/{split}/{digest}.parquet"


def _encode(table: Any, checked: bool = False) -> bytes:
    # Windows of floats hardly shrink and dictionaries of them cost time; plain pages also keep the bytes repeatable.
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="none",
        use_dictionary=["domain", "label"],
        write_statistics=False,
        store_schema=False,
        row_group_size=2**20,
        write_page_checksum=checked,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data
