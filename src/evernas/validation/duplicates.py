"""Which good rows are the same sample twice, and which claim another recording's id; pure functions on columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
_PRIORITY = {"gate": 0, "search": 1, "train": 2}


@dataclass(frozen=True)
class Duplicates:
    """keeper[i] is the row that holds row i's sample (i itself if it is the first); conflict marks unequal labels."""

    keeper: npt.NDArray[np.int64]
    conflict: Mask


@dataclass(frozen=True)
class NearPairs:
    """Rows of different splits that are nearly the same, each pair both ways."""

    row: Codes
    other: Codes


@dataclass(frozen=True)
class Again:
    """Looking for near copies once more: of rows that ask, among those and some others, all else left out.

    Before, each row was paired with the nearest of each split, with so many at `most`; rows that are no good took
    places among them. `near` takes which rows ask, and which are the others, and gives pairs of row numbers.
    """

    near: Callable[[Mask, Mask], tuple[Codes, Codes]]
    most: int


def taken_ids(good: Mask, rows: Any) -> Mask:
    """Rows whose recording id belongs to another recording that came earlier.

    The first good row of an id claims it for its recording (object and position). An exact copy of one of that
    recording's windows is a duplicate, not a conflict.
    """
    ids, objects, digests = (_codes(rows[name]) for name in ("recording", "object", "digest"))
    positions = rows["position"].to_numpy(np.int64)
    owner = _first(ids, np.flatnonzero(good))[ids]
    owned: Mask = (owner >= 0) & (objects == objects[owner]) & (positions == positions[owner])
    of_another: Mask = (owner >= 0) & ~owned
    if not of_another.any():
        return of_another
    windows = ids * (int(digests.max()) + 1) + digests
    conflict: Mask = of_another & ~np.isin(windows, windows[good & owned])
    return conflict


def exact_duplicates(good: Mask, rows: Any) -> Duplicates:
    """Equal payloads among good rows: one stays, in gate before search before train, then by arrival, then by id."""
    digests = _codes(rows["digest"])
    keeper = np.arange(len(digests), dtype=np.int64)
    conflict = np.zeros(len(digests), bool)
    # Only rows whose payload is there twice need an order: of a million, that is a few.
    twice = np.flatnonzero(good & (np.bincount(digests[good], minlength=len(digests))[digests] > 1))
    if len(twice):
        labels = _codes(rows["label"])[twice]
        order = _order(rows.iloc[twice])
        first = np.empty(len(digests), np.int64)
        first[digests[twice[order]][::-1]] = order[::-1]
        kept = first[digests[twice]]
        keeper[twice] = twice[kept]
        conflict[twice] = labels != labels[kept]
    return Duplicates(keeper, conflict)


def near_pairs(rows: Any) -> NearPairs:
    """All pairs that the row table (Arrow) tells of."""
    twins = rows.column("twins").combine_chunks()
    return NearPairs(*(np.asarray(of(twins), np.int64) for of in (pc.list_parent_indices, pc.list_flatten)))


def with_hidden_copies(kept: Mask, bad: Mask, same: Duplicates, near: NearPairs, rows: Any, again: Again) -> NearPairs:
    """The pairs, and those that bad rows kept out of them.

    A kept row that repeats bad rows of a stricter split, and as yet no kept one, may be near a kept one that is further
    off: it is looked for among the kept ones alone.
    """
    priorities = rows["split"].map(_PRIORITY).to_numpy(np.int64)
    known = near_duplicates(kept, same, near, rows["split"]) >= 0
    row = same.keeper[near.row]
    asking = np.zeros(len(kept), bool)
    asking[row[bad[near.other] & (priorities[near.other] < priorities[row])]] = True
    # What has the bytes of bad rows found those the nearest, and is paired with none of them.
    codes = _codes(rows["digest"])
    strictest = np.full(int(codes.max(initial=-1)) + 1, len(_PRIORITY), np.int64)
    np.minimum.at(strictest, codes[bad], priorities[bad])
    asking |= strictest[codes] < priorities
    asking &= kept & ~known
    if not asking.any():
        return near
    return _joined(near, *again.near(asking, kept & ~known & (priorities < _PRIORITY["train"])))


def with_trained_copies(rows: Any, trained: Collection[str], near: NearPairs, again: Again) -> NearPairs:
    """The pairs, and those of rows of the gate with rows that were trained on which others kept out of them.

    A row of the gate that has as many copies as it is paired with, none of them trained on, may be near one more.
    """
    if not trained:
        return near
    in_gate = (rows["split"] == "gate").to_numpy(bool)
    codes = _codes(rows["digest"])
    copies = np.bincount(near.row, minlength=len(codes)) + np.bincount(codes[~in_gate], minlength=len(codes))[codes]
    asking = in_gate & (copies >= again.most) & ~seen_in_training(rows["digest"], trained, near)
    if not asking.any():
        return near
    others = ~in_gate & rows["digest"].isin(set(trained)).to_numpy(bool)
    return _joined(near, *again.near(asking, others))


def _joined(near: NearPairs, row: Codes, other: Codes) -> NearPairs:
    """The pairs and some more of them, those both ways."""
    return NearPairs(np.concatenate([near.row, row, other]), np.concatenate([near.other, other, row]))


def near_duplicates(kept: Mask, same: Duplicates, near: NearPairs, splits: Any) -> Codes:
    """For each kept row, a kept row of a stricter split that is nearly the same, of several the first of the strictest.

    -1 where there is none. What is near an exact duplicate is near the row that holds its sample.
    """
    priorities = splits.map(_PRIORITY).to_numpy(np.int64)
    row, other = same.keeper[near.row], same.keeper[near.other]
    leaks = kept[row] & kept[other] & (priorities[other] < priorities[row])
    row, other = row[leaks], other[leaks]
    order = np.lexsort((other, priorities[other], row))[::-1]
    found = np.full(len(kept), -1, np.int64)
    found[row[order]] = other[order]
    return found


def seen_in_training(digests: Any, trained: Collection[str], near: NearPairs) -> Mask:
    """Rows whose payload was trained on, or is nearly the same as one that was: they judge no better."""
    if not trained:
        return np.zeros(len(digests), bool)
    seen = digests.isin(set(trained)).to_numpy(bool)
    codes = _codes(digests)
    nearly = np.zeros(len(codes), bool)
    nearly[codes[near.row[seen[near.other]]]] = True
    found: Mask = seen | nearly[codes]
    return found


def straddling(names: Any, splits: Any) -> int:
    """How many of the names have rows in more than one split."""
    pairs = _codes(names) * len(_PRIORITY) + splits.map(_PRIORITY).to_numpy(np.int64)
    there = np.bincount(pairs, minlength=-(-(int(pairs.max(initial=-1)) + 1) // len(_PRIORITY)) * len(_PRIORITY)) > 0
    return int((there.reshape(-1, len(_PRIORITY)).sum(1) > 1).sum())


def _codes(column: Any) -> Codes:
    """Equal values as equal numbers from 0; a missing value is a value too."""
    import pandas as pd

    return np.asarray(pd.factorize(column, use_na_sentinel=False)[0], np.int64)


def _first(codes: Codes, rows: Codes) -> Codes:
    """The first of these rows for each code, -1 for a code that none of them has."""
    found = np.full(int(codes.max(initial=-1)) + 1, -1, np.int64)
    found[codes[rows][::-1]] = rows[::-1]
    return found


def _order(rows: Any) -> Codes:
    """Rows by what is kept first."""
    import pandas as pd

    ids = pd.factorize(rows["sample_id"], sort=True)[0]
    priorities = rows["split"].map(_PRIORITY).to_numpy(np.int64)
    return np.lexsort((np.arange(len(rows)), ids, rows["generation"].to_numpy(np.int64), priorities))
