"""Shards: immutable Parquet files of samples, named by their digest; nothing here decides which samples go where."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evernas.config import SignalConfig
from evernas.data.splits import Split
from evernas.data.storage import Storage
from evernas.data.windows import Recording, cut, signal_error
from evernas.digest import digest_bytes
from evernas.errors import IntegrityError

SHARD_PAYLOAD_BYTES = 32 * 2**20
STATISTICS = ("n_nonfinite", "min", "max", "mean", "min_channel_std", "length")
_NAMES = (
    "sample_id",
    "recording",
    "position",
    "start",
    "domain",
    "label",
    "digest",
    "decode_error",
    *STATISTICS,
    "payload",
)
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
            "payload": payload,
        }
    )


@dataclass
class ShardWriter:
    """Gathers the samples of one object and split, and publishes a shard whenever enough have come."""

    storage: Storage
    split: Split
    signal: SignalConfig
    guard: Callable[[], None]
    shards: list[Shard] = field(default_factory=list)
    _columns: dict[str, list[Any]] = field(default_factory=dict)
    _payload_bytes: int = 0

    def add(self, recording: Recording) -> None:
        """Add all samples of a recording; one row without payload if it gives none."""
        error = recording.decode_error
        if error is None and recording.payload is not None:
            error = signal_error(recording.payload, self.signal)
        length = 0 if recording.payload is None else recording.payload.shape[1]
        if error is not None or recording.payload is None:
            self._extend(recording, 1, {"sample_id": [recording.id or ""], "decode_error": [error], "length": [length]})
            return
        windows = cut(recording.payload, self.signal)
        n = len(windows.starts)
        self._extend(
            recording,
            n,
            {
                "sample_id": [f"{recording.id or ''}/{start}" for start in windows.starts],
                "start": windows.starts,
                "digest": windows.digests,
                "n_nonfinite": windows.nonfinite.tolist(),
                "min": windows.minimum.tolist(),
                "max": windows.maximum.tolist(),
                "mean": windows.mean.tolist(),
                "min_channel_std": windows.min_channel_std.tolist(),
                "length": [length] * n,
                # Bytes, not views: pyarrow never lets go of a view that it read from a list.
                "payload": [window.tobytes() for window in windows.payload.astype("<f4", copy=False)],
            },
        )
        self._payload_bytes += windows.payload.nbytes
        if self._payload_bytes >= SHARD_PAYLOAD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Publish what was gathered."""
        if not self._columns:
            return
        table = pa.table(self._columns, schema=shard_schema(self.signal))
        self._columns, self._payload_bytes = {}, 0
        data = _encode(table)
        digest = digest_bytes(data)
        key = shard_key(self.split, digest)
        if not (self.storage.exists(key) and digest_bytes(self.storage.read(key)) == digest):
            self.guard()
            self.storage.write(key, data)
        domains, labels = (Counter(text or "" for text in table.column(n).to_pylist()) for n in ("domain", "label"))
        self.shards.append(Shard(digest, self.split, table.num_rows, len(data), dict(domains), dict(labels)))

    def _extend(self, recording: Recording, n: int, known: dict[str, list[Any]]) -> None:
        shared = {
            "recording": recording.id,
            "position": recording.position,
            "start": 0,
            "domain": recording.domain,
            "label": recording.label,
        }
        for name in _NAMES:
            values = known[name] if name in known else [shared.get(name)] * n
            self._columns.setdefault(name, []).extend(values)


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


def _encode(table: Any) -> bytes:
    # Windows of floats hardly shrink and dictionaries of them cost time; plain pages also keep the bytes repeatable.
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="none",
        use_dictionary=["recording", "domain", "label"],
        write_statistics=False,
        store_schema=False,
        row_group_size=2**20,
    )
    return sink.getvalue()
