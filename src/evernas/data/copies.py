"""Which rows of a snapshot repeat others, exactly or nearly, and which new groups are another under a new name.

A group is what is never parted: a domain, or where recordings are split a recording.
"""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evernas.config import NearDuplicatesConfig
from evernas.data.manifest import Duplicates, Manifest
from evernas.data.near import Candidates, candidates, fingerprint_of, nearest
from evernas.data.shards import Shard, floats, read_shard, shard_key
from evernas.data.splits import SPLITS, Split
from evernas.data.told import Told, learn
from evernas.digest import digest_bytes
from evernas.errors import IntegrityError
from evernas.storage import Storage

# Pairs whose payload is gathered at a time, and of those the ones that are compared at a time.
_PAIRS_AT_ONCE = 500_000
# What lies on disk of these pairs' payload at most.
_GATHERED_BYTES = 4 * 2**30
_COMPARED_AT_ONCE = 1024
_READERS = 2
_MAPPED_BYTES = 32 * 2**20
# Where the payload may not be read, only prints that are closer than this tell a copy.
CERTAIN = 0.995
_PAIRED_AT_ONCE = 4096
_BOTH = ("first", "second")
# By which prints near copies were found.
_PRINTS = b"prints"

Rows = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows and how similar they are."""

    first: Rows
    second: Rows
    similarity: Reals


@dataclass(frozen=True)
class Copies:
    """Rows that repeat others: `exact` names the first with the same bytes, `near` has pairs of different groups.

    group_of is the number of each row's group in `groups`, -1 for none.
    """

    exact: Pairs
    near: Pairs
    group_of: npt.NDArray[np.int32]
    groups: Sequence[str]

    def table(self) -> Any:
        """As Arrow: row, other, similarity, exact."""
        exact = np.concatenate([np.ones(len(self.exact.first), bool), np.zeros(len(self.near.first), bool)])
        columns = (
            np.concatenate([getattr(pairs, name) for pairs in (self.exact, self.near)])
            for name in ("second", "first", "similarity")
        )
        return pa.table([*map(pa.array, columns), pa.array(exact)], names=["row", "other", "similarity", "exact"])

    def shares(self) -> dict[tuple[str, str], float]:
        """By group and other group: the share of the first one's rows that are copies of the other's."""
        row, other = (np.concatenate([self.near.first, self.near.second][::step]) for step in (1, -1))
        row, other = _origins(row, self.exact), _origins(other, self.exact)
        # Rows with the same bytes are one sample, which is near all that any of them is near, and in all their groups.
        rows = np.unique(np.concatenate([self.exact.first, self.exact.second, self.near.first, self.near.second]))
        rows = rows[self.group_of[rows] >= 0]
        many = max(1, len(self.groups))
        held, counts = np.unique(_origins(rows, self.exact) * many + self.group_of[rows], return_counts=True)
        sample, group = held // many, held % many
        here, there = _matched(np.concatenate([other, np.unique(sample)]), sample)
        reached = np.unique(np.concatenate([row, np.unique(sample)])[here] * many + group[there])
        # A row counts once for each other group, however many rows of that it repeats.
        shared = np.zeros(0, np.int64), np.zeros(0, np.int64)
        for at in range(0, len(held), _PAIRED_AT_ONCE):
            here, there = _matched(sample[at : at + _PAIRED_AT_ONCE], reached // many)
            between = group[at + here] * many + reached[there] % many
            shared = _summed(*(np.concatenate(part) for part in zip(shared, (between, counts[at + here]), strict=True)))
        sizes = np.bincount(self.group_of[self.group_of >= 0], minlength=many)
        return {
            (self.groups[key // many], self.groups[key % many]): count / int(sizes[key // many])
            for key, count in zip(*(part.tolist() for part in shared), strict=True)
            if key // many != key % many
        }


@dataclass(frozen=True)
class Known:
    """Near copies that were found before, and through which shards their rows are numbered: object, digest, rows."""

    parts: tuple[tuple[str, str, int], ...]
    near: Pairs


def find_copies(
    storage: Storage,
    parts: Sequence[tuple[str, Shard]],
    config: NearDuplicatesConfig,
    least: float | None,
    told: Told,
    known: Known | None = None,
    scratch: Path | None = None,
) -> Copies:
    """All copies among the rows of these shards, each with the name of its object, numbered through them in turn.

    `told` holds what was told of shards; the others are read. Pairs of rows that are `known` from before are not looked
    for again. Memory does not grow with the rows but for some tens of bytes each; prints lie in a file in `scratch`
    that goes with this process. `least` is the similarity from where on rows are near.
    """
    shards = [shard for _, shard in parts]
    learn(storage, told, shards)
    rows, firsts = told.digests.repeated([shard.digest for shard in shards])
    exact = Pairs(firsts, rows, np.ones(len(rows), np.float32))
    group_of, groups = told.groups(shards)
    near = _no_pairs()
    if config.enabled and len(groups) > 1:
        assert least is not None
        carried, fresh = _carried(known, parts)
        near = _NearSearch(storage, shards, told, scratch).pairs(group_of, least, exact, carried, fresh)
    return Copies(exact, near, group_of, groups)


def copies_between(
    storage: Storage,
    shards: Sequence[Shard],
    told: Told,
    least: float,
    asking: npt.NDArray[np.bool_],
    others: npt.NDArray[np.bool_],
    scratch: Path | None = None,
) -> Pairs:
    """Near copies of the rows that ask, in other splits, among them and the others alone; rows are numbered through
    these shards in turn. What else lies there takes no place among the nearest of any."""
    learn(storage, told, shards)
    split_of = np.repeat([SPLITS.index(shard.split) for shard in shards], [shard.rows for shard in shards])
    groups = np.where(asking | others, split_of, -1).astype(np.int32)
    return _NearSearch(storage, shards, told, scratch).pairs(groups, least, _no_pairs(), _no_pairs(), asking)


def parts_of(manifest: Manifest) -> list[tuple[str, Shard]]:
    """The shards of a snapshot in their order, each with the name of its object."""
    return [(name, shard) for name, _, shard in manifest.shards()]


def known_copies(storage: Storage, manifest: Manifest, told: Told, least: float | None) -> Known | None:
    """What an earlier snapshot knows of near copies.

    None where it looked for others, or with other prints, or its table is damaged: then all are looked for again.
    """
    found = manifest.duplicates
    if found is None or least is None or found.similarity != least or told.fingerprint is None:
        return None
    try:
        table = read_copies(storage, found)
    except IntegrityError:
        return None
    if (table.schema.metadata or {}).get(_PRINTS) != told.fingerprint.name.encode():
        return None
    near = table.filter(pc.invert(table.column("exact")))
    parts = tuple((name, shard.digest, shard.rows) for name, shard in parts_of(manifest))
    return Known(parts, Pairs(*(near.column(name).to_numpy() for name in ("other", "row", "similarity"))))


def _carried(known: Known | None, parts: Sequence[tuple[str, Shard]]) -> tuple[Pairs, npt.NDArray[np.bool_]]:
    """The known pairs of rows that are still there, and which rows are still to be compared with all others.

    Those are the new ones, and the ones that were paired with a row that has gone: of many that are alike only the
    nearest are paired, and others may be the nearest now.
    """
    starts = np.concatenate([[0], np.cumsum([shard.rows for _, shard in parts])]).astype(np.int64)
    fresh = np.ones(int(starts[-1]), bool)
    if known is None:
        return _no_pairs(), fresh
    place = {(name, shard.digest): start for (name, shard), start in zip(parts, starts.tolist(), strict=False)}
    now = np.full(sum(rows for _, _, rows in known.parts), -1, np.int64)
    first = 0
    for name, digest, rows in known.parts:
        start = place.pop((name, digest), None)
        if start is not None:
            now[first : first + rows] = np.arange(start, start + rows)
            fresh[start : start + rows] = False
        first += rows
    a, b = now[known.near.first], now[known.near.second]
    left = np.concatenate([a[(a >= 0) & (b < 0)], b[(b >= 0) & (a < 0)]])
    fresh[left] = True
    both = (a >= 0) & (b >= 0)
    pairs = Pairs(np.minimum(a, b)[both], np.maximum(a, b)[both], known.near.similarity[both])
    return pairs, fresh


def nearest_pairs(pairs: Pairs, sides: npt.NDArray[np.int8]) -> Pairs:
    """Those that are among the most similar ones of one of their two rows, on the other's side: its split.

    So a crowd that grows for years keeps a few pairs a row. Each split counts by itself, since of a row that repeats
    one of the gate the most similar ones are often its neighbours in training.
    """
    of, other = (np.concatenate([getattr(pairs, name) for name in names]) for names in (_BOTH, _BOTH[::-1]))
    kept = np.unique(nearest(of, sides[other], np.tile(pairs.similarity, 2)) % max(1, len(pairs.first)))
    return Pairs(pairs.first[kept], pairs.second[kept], pairs.similarity[kept])


def _no_pairs() -> Pairs:
    return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def least_similarity(config: NearDuplicatesConfig, schema: Mapping[str, Any]) -> float | None:
    """From where on rows are called near; None where they are not looked for."""
    if not config.enabled:
        return None
    return fingerprint_of(schema).default_similarity if config.similarity is None else config.similarity


def joined(
    shares: Mapping[tuple[str, str], float],
    least: float,
    splits: Mapping[str, Split],
    own: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """The split of each new group that is another under a new name, where that is not its own.

    `splits` has those that are not new, `own` says where new ones go by themselves; train if not given. Groups of which
    a larger share than `least` are copies are one, and so are those that are one with the same; new ones go where the
    strictest of those is that are not new. If all are new they go where the first by name goes by itself: as often
    into each split as any other.
    """
    alone = own or {}
    beside: dict[str, set[str]] = {}
    for (a, b), share in shares.items():
        # Of two new ones, it is the one that mostly repeats the other; what is known does not move.
        if share > least and a not in splits:
            beside.setdefault(a, set()).add(b)
            beside.setdefault(b, set()).add(a)
    found: dict[str, Split] = {}
    for group in beside.keys() - splits.keys():
        reached = _reached(group, beside, splits)
        known = {splits[name] for name in reached if name in splits} or {alone.get(min(reached), "train")}
        goes = min(known, key=SPLITS.index)
        if goes != alone.get(group, "train"):
            found[group] = goes
    return found


def _reached(group: str, beside: Mapping[str, set[str]], splits: Mapping[str, Split]) -> set[str]:
    reached, ahead = {group}, [group]
    while ahead:
        name = ahead.pop()
        if name not in splits:
            ahead += beside[name] - reached
            reached |= beside[name]
    return reached


def write_copies(storage: Storage, copies: Copies, similarity: float | None, told: Told) -> Duplicates:
    """Keep the table, and what a manifest says of it."""
    about = {} if told.fingerprint is None else {_PRINTS: told.fingerprint.name.encode()}
    table = copies.table().replace_schema_metadata(about)
    return _written(storage, table, len(copies.exact.first), len(copies.near.first), similarity)


def _written(storage: Storage, table: Any, exact: int, near: int, similarity: float | None) -> Duplicates:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(table.schema.metadata or {})
    data = sink.getvalue()
    digest = digest_bytes(data)
    storage.keep(copies_key(digest), data)
    return Duplicates(digest, exact, near, similarity)


def read_copies(storage: Storage, duplicates: Duplicates) -> Any:
    """The table that a manifest names; IntegrityError if it is not there or another."""
    try:
        data = storage.read(copies_key(duplicates.digest))
    except KeyError:
        data = b""
    if digest_bytes(data) != duplicates.digest:
        raise IntegrityError(f"{copies_key(duplicates.digest)} is missing or was changed: restore it from a backup.")
    return pq.ParquetFile(io.BytesIO(data)).read()


def without_rows(storage: Storage, duplicates: Duplicates, kept: npt.NDArray[np.bool_]) -> Duplicates:
    """What is left of a table of copies when only these of its snapshot's rows are; they are numbered anew.

    It names no prints, so that the next ingest looks for all again: of many that are alike only the nearest were
    paired, and others may be the nearest now.
    """
    table = read_copies(storage, duplicates)
    row, other = (table.column(name).to_numpy() for name in ("row", "other"))
    number = np.cumsum(kept) - 1
    left = table.filter(pa.array(kept[row] & kept[other])).select(["similarity", "exact"])
    row, other = row[kept[row] & kept[other]], other[kept[row] & kept[other]]
    left = left.add_column(0, "row", pa.array(number[row])).add_column(1, "other", pa.array(number[other]))
    left = left.replace_schema_metadata(None)
    exact = int(pc.sum(left.column("exact")).as_py() or 0)
    return _written(storage, left, exact, left.num_rows - exact, duplicates.similarity)


def twins(table: Any, splits: npt.NDArray[np.int64]) -> Any:
    """For each row, the rows of other splits that are nearly the same, ascending (Arrow list); `splits` are numbers."""
    near = table.filter(pc.invert(table.column("exact")))
    first, second = (near.column(name).to_numpy() for name in ("other", "row"))
    row, other = np.concatenate([first, second]), np.concatenate([second, first])
    across = splits[row] != splits[other]
    row, other = row[across], other[across]
    order = np.lexsort((other, row))
    begins = np.searchsorted(row[order], np.arange(len(splits) + 1))
    return pa.ListArray.from_arrays(pa.array(begins, pa.int32()), pa.array(other[order], pa.int64()))


def copies_key(digest: str) -> str:
    """Where the table of copies with this digest lies."""
    return f"duplicates/{digest}.parquet"


class _NearSearch:
    def __init__(self, storage: Storage, shards: Sequence[Shard], told: Told, scratch: Path | None) -> None:
        assert told.fingerprint is not None
        self.storage, self.shards, self.told, self.scratch = storage, shards, told, scratch
        self.fingerprint, self.shape = told.fingerprint, told.shape
        self.starts = np.concatenate([[0], np.cumsum([shard.rows for shard in shards])]).astype(np.int64)

    def pairs(
        self,
        groups: npt.NDArray[np.int32],
        least: float,
        exact: Pairs,
        carried: Pairs,
        fresh: npt.NDArray[np.bool_],
    ) -> Pairs:
        """All pairs of different groups that are at least so similar and not the very same; of two rows that are not
        fresh, those that are carried over. Of many that are alike, the nearest."""
        sides = np.repeat([SPLITS.index(shard.split) for shard in self.shards], np.diff(self.starts)).astype(np.int8)
        found = [carried]
        if fresh.any():
            with _RowFile(len(fresh), self.told.width, self.fingerprint.form[0], self.scratch) as prints:
                for shard, start in zip(self.shards, self.starts.tolist(), strict=False):
                    prints.put(start, self.told.prints(shard))
                close, banded = self.fingerprint.close, self.fingerprint.banded
                for some in _gathered(candidates(prints, groups, close, banded, fresh, sides)):
                    found += self._similar(_without(some, exact), least)
        first, second, similarity = (
            np.concatenate([getattr(pairs, name) for pairs in found]) for name in ("first", "second", "similarity")
        )
        once = _once_each(first, second)
        whole = Pairs(first[once].astype(np.int64), second[once].astype(np.int64), similarity[once].astype(np.float32))
        return nearest_pairs(whole, sides)

    def _similar(self, some: Candidates, least: float) -> Iterator[Pairs]:
        """Those of the candidates whose payloads are at least so similar; a part at a time, as the disk bears it."""
        order = np.lexsort((some.second, some.first))
        at_once = max(1, _GATHERED_BYTES // (2 * 4 * int(np.prod(self.shape))))
        for at in range(0, len(order), at_once):
            part = order[at : at + at_once]
            yield self._compared(some.first[part], some.second[part], some.closeness[part], least)

    def _compared(self, first: Rows, second: Rows, closeness: npt.NDArray[np.float32], least: float) -> Pairs:
        rows = np.unique(np.concatenate([first, second]))
        with _RowFile(len(rows), int(np.prod(self.shape)), np.float32, self.scratch) as payload:
            known = self._gather(rows, payload)
            a, b = np.searchsorted(rows, first), np.searchsorted(rows, second)
            # What may not be read is judged by its print alone.
            similarity = np.where(closeness >= CERTAIN, np.float32(1), np.float32(0))
            told = np.flatnonzero(known[a] & known[b])
            for at in range(0, len(told), _COMPARED_AT_ONCE):
                some_told = told[at : at + _COMPARED_AT_ONCE]
                sides = (payload[side[some_told]].reshape(-1, *self.shape) for side in (a, b))
                similarity[some_told] = self.fingerprint.similarity(*sides)
        kept = similarity >= least
        return Pairs(first[kept], second[kept], similarity[kept])

    def _gather(self, rows: Rows, payload: _RowFile) -> npt.NDArray[np.bool_]:
        """Take the payload of these rows, each shard read once; of which of them it may be read."""
        known = np.zeros(len(rows), bool)
        edges = np.searchsorted(rows, self.starts)

        def take(number: int) -> None:
            shard, begin, end = self.shards[number], int(edges[number]), int(edges[number + 1])
            if not self.storage.withholds(shard_key(shard.split, shard.digest)):
                column = read_shard(self.storage, shard, ["payload"]).column("payload")
                column = column.take(pa.array(rows[begin:end] - self.starts[number]))
                there = np.flatnonzero(column.is_valid().to_numpy())
                values = np.zeros((end - begin, *self.shape), np.float32)
                values[there] = floats(column.take(pa.array(there)), self.shape)
                payload.put(begin, values)
                known[begin + there] = True

        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(take, np.flatnonzero(np.diff(edges)).tolist()))
        return known


class _RowFile:
    """Numbers of rows in a file that goes with this process, read like an array without staying in memory."""

    def __init__(self, rows: int, width: int, dtype: npt.DTypeLike, folder: Path | None) -> None:
        self.width, self.dtype = width, np.dtype(dtype)
        self._rows, self._read = rows, 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._file.truncate(max(1, rows * width * self.dtype.itemsize))
        self._map = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)
        self._array: Any = np.frombuffer(self._map, self.dtype, rows * width).reshape(rows, width)

    def __enter__(self) -> _RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._array = None
        self._map.close()
        self._file.close()

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: Any) -> Any:
        found = np.array(self._array[index])
        # What is mapped counts as this process's memory: a page, or more, for each row that is touched alone.
        self._read += found.nbytes if isinstance(index, slice) else found.nbytes + len(found) * mmap.PAGESIZE
        if self._read > _MAPPED_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read = 0
        return found

    def put(self, first: int, rows: Any) -> None:
        data = np.ascontiguousarray(rows, self.dtype).tobytes()
        os.pwrite(self._file.fileno(), data, first * self.width * self.dtype.itemsize)


def _gathered(found: Iterable[Candidates]) -> Iterator[Candidates]:
    """The candidates in larger parts, each pair once in a part."""
    held, size = list[Candidates](), 0
    for some in found:
        held.append(some)
        size += len(some.first)
        if size >= _PAIRS_AT_ONCE:
            yield _once(held)
            held, size = [], 0
    if size:
        yield _once(held)


def _once(held: Sequence[Candidates]) -> Candidates:
    first, second, closeness = (
        np.concatenate([getattr(some, name) for some in held]) for name in ("first", "second", "closeness")
    )
    once = _once_each(first, second)
    return Candidates(first[once], second[once], closeness[once])


def _once_each(first: Any, second: Any) -> Rows:
    """Where pairs are, sorted, each once."""
    order = np.lexsort((second, first))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0)
    return order[new]


def _without(some: Candidates, exact: Pairs) -> Candidates:
    """The candidates that do not have the very same bytes."""
    other = _origins(some.first, exact) != _origins(some.second, exact)
    return Candidates(some.first[other], some.second[other], some.closeness[other])


def _origins(rows: Rows, exact: Pairs) -> Rows:
    """For each row the first that has the same bytes."""
    if not len(exact.second):
        return rows
    at = np.minimum(np.searchsorted(exact.second, rows), len(exact.second) - 1)
    return np.asarray(np.where(exact.second[at] == rows, exact.first[at], rows), np.int64)


def _matched(keys: Rows, held: Rows) -> tuple[Rows, Rows]:
    """All places of keys and of the same numbers among those held, which are sorted."""
    begin, end = (np.searchsorted(held, keys, side) for side in ("left", "right"))
    here = np.repeat(np.arange(len(keys)), end - begin)
    within = np.arange(len(here)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
    return here, begin[here] + within


def _summed(keys: Rows, counts: Rows) -> tuple[Rows, Rows]:
    """Each key once, with the sum of its counts."""
    once, at = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(once), np.int64)
    np.add.at(sums, at, counts)
    return once, sums
