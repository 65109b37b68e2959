"""Which good rows are the same sample twice, and which claim another recording's id; pure functions on columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
_PRIORITY = {"gate": 0, "search": 1, "train": 2}


@dataclass(frozen=True)
class Duplicates:
    """keeper[i] is the row that holds row i's sample (i itself if it is the first); conflict marks unequal labels."""

    keeper: npt.NDArray[np.int64]
    conflict: Mask


def taken_ids(good: Mask, rows: Any) -> Mask:
    """Rows whose recording id belongs to another recording that came earlier.

    The first good row of an id claims it for its recording (object and position). An exact copy of one of that
    recording's windows is a duplicate, not a conflict.
    """
    ids, objects, positions = (rows[name].tolist() for name in ("recording", "object", "position"))
    digests = rows["digest"].tolist()
    owner: dict[str, tuple[str, int]] = {}
    owned: dict[str, set[str]] = {}
    for index in np.flatnonzero(good).tolist():
        key = (objects[index], positions[index])
        if owner.setdefault(ids[index], key) == key:
            owned.setdefault(ids[index], set()).add(digests[index])
    taken = np.zeros(len(ids), bool)
    for index, id in enumerate(ids):
        if id in owner and owner[id] != (objects[index], positions[index]):
            taken[index] = digests[index] not in owned[id]
    return taken


def exact_duplicates(good: Mask, rows: Any) -> Duplicates:
    """Equal payloads among good rows: one stays, in gate before search before train, then by arrival, then by id."""
    order = _order(good, rows)
    digests, labels = rows["digest"].tolist(), rows["label"].tolist()
    keeper = np.arange(len(digests), dtype=np.int64)
    conflict = np.zeros(len(digests), bool)
    first: dict[str, int] = {}
    for index in order:
        keeper[index] = first.setdefault(digests[index], index)
        conflict[index] = labels[index] != labels[keeper[index]]
    return Duplicates(keeper, conflict)


def _order(good: Mask, rows: Any) -> Sequence[int]:
    splits, generations, ids = (rows[name].tolist() for name in ("split", "generation", "sample_id"))
    return sorted(np.flatnonzero(good).tolist(), key=lambda i: (_PRIORITY[splits[i]], generations[i], ids[i], i))
