"""What a snapshot holds, in memory: one split's samples, or all rows without payload; nothing here judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evernas.data.copies import read_copies, twins
from evernas.data.manifest import sample_shape
from evernas.data.shards import STATISTICS, TIME, read_rows, read_shard, rows_key, shard_key
from evernas.data.snapshot import Snapshot
from evernas.data.splits import SPLITS, Split
from evernas.errors import IntegrityError

_ROW_COLUMNS = ["sample_id", "recording", "position", "start", "domain", "label", "digest", "decode_error", *STATISTICS]
_KEY_COLUMNS = ["sample_id", "recording", "start", "domain", "label"]


@dataclass(frozen=True)
class Samples:
    """The good samples of one split: x is (n, *shape) float32, channels first, y the index of the label, int64."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]
    domains: tuple[str, ...]
    recordings: tuple[str, ...]
    sample_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)


def load_rows(snapshot: Snapshot) -> Any:
    """The row table (Arrow): all rows of all splits in order of arrival, without payload.

    Beside the shards' columns, of which time is null where nothing is known: row (its number, which `load_split`
    takes), object (name of the file), split, generation, new (whether this snapshot brought the row), and twins (the
    numbers of all rows of other splits that are nearly the same). IntegrityError if a shard is not as the manifest
    says.
    """
    storage, shards = snapshot.store, snapshot.manifest.shards()
    storage.prefetch([rows_key(storage, shard) for _, _, shard in shards])
    fresh = {*snapshot.manifest.added, *snapshot.manifest.changed}
    tables = []
    for name, entry, shard in shards:
        n = shard.rows
        table = _timed(read_rows(storage, shard, [*_ROW_COLUMNS, TIME]))
        table = table.append_column("object", pa.array([name] * n, pa.string()))
        table = table.append_column("split", pa.array([shard.split] * n, pa.string()))
        table = table.append_column("generation", pa.array(np.full(n, entry.generation, np.int64)))
        tables.append(table.append_column("new", pa.array(np.full(n, name in fresh))))
    rows = pa.concat_tables(tables) if tables else _no_rows()
    rows = rows.append_column("twins", _twins(snapshot, [(shard.split, shard.rows) for _, _, shard in shards]))
    return rows.add_column(0, "row", pa.array(np.arange(rows.num_rows, dtype=np.int64)))


def _timed(table: Any) -> Any:
    """The rows of a shard with their times, which it may lack."""
    if TIME in table.column_names:
        return table
    return table.append_column(TIME, pa.nulls(table.num_rows, pa.float64()))


def _twins(snapshot: Snapshot, runs: Sequence[tuple[Split, int]]) -> Any:
    splits = np.repeat([SPLITS.index(split) for split, _ in runs], [rows for _, rows in runs]).astype(np.int64)
    found = snapshot.manifest.duplicates
    # Earlier releases did not look for any.
    none = pa.ListArray.from_arrays(np.zeros(len(splits) + 1, np.int32), pa.array([], pa.int64()))
    return none if found is None else twins(read_copies(snapshot.store, found), splits)


def load_split(
    snapshot: Snapshot, split: Split, labels: Sequence[str], keep: npt.NDArray[np.int64] | None = None
) -> Samples:
    """The samples of a split, sorted by domain, recording and start; no other split's shards are opened.

    `keep` holds the row numbers that validation kept; rows without payload or with a label not in `labels` are never
    loaded. IntegrityError if a shard is not what the manifest says, or `keep` is of another snapshot.
    """
    manifest, storage = snapshot.manifest, snapshot.store
    if keep is not None and len(keep) and (int(np.min(keep)) < 0 or int(np.max(keep)) >= manifest.rows):
        raise IntegrityError(
            f"The kept rows go up to {int(np.max(keep))}, but the snapshot {snapshot.id} has {manifest.rows}: "
            "validate this snapshot again."
        )
    kept = np.ones(manifest.rows, bool) if keep is None else np.zeros(manifest.rows, bool)
    if keep is not None:
        kept[keep] = True
    class_of = {label: index for index, label in enumerate(labels)}
    payloads: list[npt.NDArray[np.float32]] = []
    keys: list[tuple[str, str, int, str, int]] = []
    first = 0
    shape = (-1, *sample_shape(manifest.schema))
    wanted = dict.fromkeys(shard_key(split, shard.digest) for _, _, shard in manifest.shards() if shard.split == split)
    storage.prefetch(list(wanted))
    for _, _, shard in manifest.shards():
        mine = kept[first : first + shard.rows]
        first += shard.rows
        if shard.split != split or not mine.any():
            continue
        table = read_shard(storage, shard, [*_KEY_COLUMNS, "payload"])
        known = np.array([label in class_of for label in table.column("label").to_pylist()], bool)
        table = table.filter(pa.array(mine & known & table.column("payload").is_valid().to_numpy()))
        raw = b"".join(table.column("payload").to_pylist())
        payloads.append(np.frombuffer(raw, dtype="<f4").reshape(shape))
        columns = [table.column(name).to_pylist() for name in ("domain", "recording", "start", "sample_id", "label")]
        keys += [(d or "", r or "", s, i, class_of[label]) for d, r, s, i, label in zip(*columns, strict=True)]
    order = sorted(range(len(keys)), key=lambda index: keys[index][:3])
    x = np.concatenate(payloads) if payloads else np.zeros((0, *shape[1:]), np.float32)
    return Samples(
        x=np.ascontiguousarray(x[order], dtype=np.float32),
        y=np.array([keys[index][4] for index in order], np.int64),
        domains=tuple(keys[index][0] for index in order),
        recordings=tuple(keys[index][1] for index in order),
        sample_ids=tuple(keys[index][3] for index in order),
    )


def _no_rows() -> Any:
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    kinds = {"position": whole, "start": whole, "n_nonfinite": whole, "length": whole, "generation": whole}
    kinds |= dict.fromkeys(("min", "max", "mean", "min_channel_std", TIME), real) | {"new": pa.bool_()}
    return pa.schema(
        [(n, kinds.get(n, text)) for n in (*_ROW_COLUMNS, TIME, "object", "split", "generation", "new")]
    ).empty_table()
