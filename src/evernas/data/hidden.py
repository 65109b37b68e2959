"""Near copies that a snapshot's table of them lacks, because rows that are left out now were nearer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evernas.config import NearDuplicatesConfig, SplitConfig
from evernas.data.copies import copies_between, least_similarity, parts_of
from evernas.data.manifest import sample_shape
from evernas.data.near import fingerprint_of
from evernas.data.shards import Shard
from evernas.data.snapshot import Snapshot, told_keys
from evernas.data.told import Told, recall

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


def hidden_copies(
    snapshot: Snapshot, config: NearDuplicatesConfig, asking: Mask, others: Mask, scratch: Path | None = None
) -> tuple[Rows, Rows]:
    """Pairs of rows of different splits that are nearly the same, one of which asks, the other one of both kinds.

    Rows have the numbers of the row table. Where ingest looks for no near copies there are none. Only shards that hold
    such rows are looked at, and read only where no pack tells of them; files go into `scratch`, and with this call.
    """
    schema = snapshot.manifest.schema
    least = least_similarity(config, schema)
    if least is None or not asking.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    shards, number = _holding([shard for _, shard in parts_of(snapshot.manifest)], asking | others)
    rule = snapshot.manifest.rule
    # The packs of a snapshot whose recordings are split tell of these.
    splits = None if rule is None else SplitConfig(**rule)
    with Told(fingerprint_of(schema), sample_shape(schema), scratch, splits) as told:
        recall(snapshot.store, told, sorted(told_keys(snapshot.store, snapshot.id)))
        found = copies_between(snapshot.store, shards, told, least, asking[number], others[number], scratch)
    return number[found.first], number[found.second]


def _holding(shards: Sequence[Shard], wanted: Mask) -> tuple[list[Shard], Rows]:
    """The shards that hold any of the rows wanted, and the numbers of all rows of those."""
    held, numbers, first = list[Shard](), [np.zeros(0, np.int64)], 0
    for shard in shards:
        if wanted[first : first + shard.rows].any():
            held.append(shard)
            numbers.append(np.arange(first, first + shard.rows))
        first += shard.rows
    return held, np.concatenate(numbers)
