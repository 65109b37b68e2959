"""Which rows of a snapshot repeat others, exactly or nearly, and which new domains are another under a new name."""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evernas.config import NearDuplicatesConfig
from evernas.data.manifest import Duplicates, sample_shape
from evernas.data.near import Candidates, Fingerprint, candidates, fingerprint_of
from evernas.data.repeats import Digests
from evernas.data.shards import Shard, floats, read_prints, read_rows, read_shard, shard_key
from evernas.data.splits import SPLITS, Split
from evernas.digest import digest_bytes
from evernas.errors import IntegrityError
from evernas.storage import Storage

# Rows whose payload is held at a time to compare pairs, and pairs that wait for it.
COMPARED_BYTES = 256 * 2**20
_PAIRS_AT_ONCE = 500_000
_COMPARED_AT_ONCE = 1024
_READERS = 2
_MAPPED_BYTES = 32 * 2**20
# Where the payload may not be read, only prints that are closer than this tell a copy.
CERTAIN = 0.995

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
    """Rows that repeat others: `exact` names the first with the same bytes, `near` has pairs of different domains.

    domain_of is the number of each row's domain in `domains`, -1 for none.
    """

    exact: Pairs
    near: Pairs
    domain_of: npt.NDArray[np.int32]
    domains: tuple[str, ...]

    def table(self) -> Any:
        """As Arrow: row, other, similarity, exact."""
        exact = np.concatenate([np.ones(len(self.exact.first), bool), np.zeros(len(self.near.first), bool)])
        columns = (
            np.concatenate([getattr(pairs, name) for pairs in (self.exact, self.near)])
            for name in ("second", "first", "similarity")
        )
        return pa.table([*map(pa.array, columns), pa.array(exact)], names=["row", "other", "similarity", "exact"])

    def shares(self) -> dict[tuple[str, str], float]:
        """By domain and other domain: the share of the first one's rows that are copies of the other's."""
        first = np.concatenate([self.exact.first, self.near.first])
        second = np.concatenate([self.exact.second, self.near.second])
        row, other = np.concatenate([first, second]), np.concatenate([second, first])
        pairs = np.stack([self.domain_of[row], self.domain_of[other], row], axis=1)
        pairs = pairs[(pairs[:, 0] >= 0) & (pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])]
        # A row counts once, however many rows of the other domain it repeats.
        between, counts = np.unique(np.unique(pairs, axis=0)[:, :2], axis=0, return_counts=True)
        sizes = np.bincount(self.domain_of[self.domain_of >= 0], minlength=len(self.domains))
        return {
            (self.domains[a], self.domains[b]): count / int(sizes[a])
            for (a, b), count in zip(between.tolist(), counts.tolist(), strict=True)
        }


def find_copies(
    storage: Storage,
    shards: Sequence[Shard],
    schema: Mapping[str, Any],
    config: NearDuplicatesConfig,
    digests: Digests,
    scratch: Path | None = None,
) -> Copies:
    """All copies among the rows of these shards, numbered through them in turn.

    `digests` holds those of shards that were written just now; the others are read. Memory does not grow with the rows
    but for some tens of bytes each; prints lie in a file in `scratch` that goes with this process.
    """
    for shard in shards:
        if shard.digest not in digests:
            digests.add(shard.digest, read_rows(storage, shard, ["digest"]).column("digest"))
    rows, firsts = digests.repeated([shard.digest for shard in shards])
    exact = Pairs(firsts, rows, np.ones(len(rows), np.float32))
    search = _NearSearch(storage, shards, schema, scratch)
    domain_of, domains = search.domains(shards)
    near = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    if config.enabled and len(domains) > 1:
        near = search.pairs(domain_of, least_similarity(config, schema), exact)
    return Copies(exact, near, domain_of, domains)


def least_similarity(config: NearDuplicatesConfig, schema: Mapping[str, Any]) -> float | None:
    """From where on rows are called near; None where they are not looked for."""
    if not config.enabled:
        return None
    return fingerprint_of(schema).default_similarity if config.similarity is None else config.similarity


def joined(shares: Mapping[tuple[str, str], float], least: float, splits: Mapping[str, Split]) -> dict[str, Split]:
    """The split of each new domain that is another under a new name; `splits` has those that are not new.

    Domains of which a larger share than `least` are copies are one, and so are those that are one with the same; a new
    one goes where the strictest of them is.
    """
    beside: dict[str, set[str]] = {}
    for (a, b), share in shares.items():
        # Of two new ones, it is the one that mostly repeats the other; what is known does not move.
        if share > least and a not in splits:
            beside.setdefault(a, set()).add(b)
            beside.setdefault(b, set()).add(a)
    found: dict[str, Split] = {}
    for domain in beside.keys() - splits.keys():
        strictest = {splits[name] for name in _reached(domain, beside, splits) if name in splits}
        if strictest - {"train"}:
            found[domain] = min(strictest, key=SPLITS.index)
    return found


def _reached(domain: str, beside: Mapping[str, set[str]], splits: Mapping[str, Split]) -> set[str]:
    reached, ahead = {domain}, [domain]
    while ahead:
        name = ahead.pop()
        if name not in splits:
            ahead += beside[name] - reached
            reached |= beside[name]
    return reached


def write_copies(storage: Storage, copies: Copies, similarity: float | None) -> Duplicates:
    """Keep the table, and what a manifest says of it."""
    return _written(storage, copies.table(), len(copies.exact.first), len(copies.near.first), similarity)


def _written(storage: Storage, table: Any, exact: int, near: int, similarity: float | None) -> Duplicates:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
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
    """What is left of a table of copies when only these of its snapshot's rows are; they are numbered anew."""
    table = read_copies(storage, duplicates)
    row, other = (table.column(name).to_numpy() for name in ("row", "other"))
    number = np.cumsum(kept) - 1
    left = table.filter(pa.array(kept[row] & kept[other])).select(["similarity", "exact"])
    row, other = row[kept[row] & kept[other]], other[kept[row] & kept[other]]
    left = left.add_column(0, "row", pa.array(number[row])).add_column(1, "other", pa.array(number[other]))
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
    def __init__(
        self, storage: Storage, shards: Sequence[Shard], schema: Mapping[str, Any], scratch: Path | None
    ) -> None:
        self.storage, self.shards, self.scratch = storage, shards, scratch
        self.shape = sample_shape(schema)
        self.starts = np.concatenate([[0], np.cumsum([shard.rows for shard in shards])]).astype(np.int64)
        self.schema = schema

    @cached_property
    def fingerprint(self) -> Fingerprint:
        return fingerprint_of(self.schema)

    def domains(self, shards: Sequence[Shard]) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
        """The number of each row's domain, and their names. Shards of one domain need no reading."""
        names = tuple(sorted({domain for shard in shards for domain in shard.domains if domain}))
        number = {name: at for at, name in enumerate(names)} | {"": -1}
        of = np.empty(int(self.starts[-1]), np.int32)
        for shard, start in zip(shards, self.starts.tolist(), strict=False):
            if len(shard.domains) == 1:
                of[start : start + shard.rows] = number[next(iter(shard.domains))]
                continue
            column = pc.fill_null(read_rows(self.storage, shard, ["domain"]).column("domain"), "")
            coded = column.combine_chunks().dictionary_encode()
            known = np.array([number[name] for name in coded.dictionary.to_pylist()], np.int32)
            of[start : start + shard.rows] = known[coded.indices.to_numpy()]
        return of, names

    def pairs(self, groups: npt.NDArray[np.int32], least: float | None, exact: Pairs) -> Pairs:
        """All pairs of different groups that are at least so similar and not the very same."""
        assert least is not None
        found: list[Pairs] = []
        with _Prints(int(self.starts[-1]), self._width(), self.fingerprint, self.scratch) as prints:
            self._fill(prints)
            for some in _gathered(candidates(prints, groups, self.fingerprint.close, self.fingerprint.banded)):
                found.append(self._similar(_without(some, exact), least))
        first, second, similarity = (
            np.concatenate([getattr(pairs, name) for pairs in found] or [np.zeros(0)])
            for name in ("first", "second", "similarity")
        )
        once = _once_each(first, second)
        return Pairs(first[once].astype(np.int64), second[once].astype(np.int64), similarity[once].astype(np.float32))

    def _width(self) -> int:
        return int(self.fingerprint.prints(np.zeros((1, *self.shape), np.float32)).shape[1])

    def _fill(self, prints: _Prints) -> None:
        """Take the prints of all rows; NaN, or 0, where there is no payload or it may not be read."""

        def of(shard: Shard) -> Any:
            if self.storage.withholds(shard_key(shard.split, shard.digest)):
                found = read_prints(self.storage, shard, self.fingerprint)
                return np.broadcast_to(found, (shard.rows, prints.width))
            rows, payload = self._payload(shard, None)
            dtype, nothing = self.fingerprint.form
            found = np.full((shard.rows, prints.width), nothing, dtype)
            if len(rows):
                found[rows] = self.fingerprint.prints(payload)
            return found

        with ThreadPoolExecutor(_READERS) as pool:
            for start, found in zip(self.starts.tolist(), _in_turn(pool, of, self.shards), strict=False):
                prints.put(start, found)

    def _payload(self, shard: Shard, wanted: Rows | None) -> tuple[Rows, Reals]:
        """The rows of a shard that have a payload, of those that are wanted, and the payload (n, *shape)."""
        column = read_shard(self.storage, shard, ["payload"]).column("payload")
        rows = np.flatnonzero(column.is_valid().to_numpy())
        if wanted is not None:
            rows = np.intersect1d(rows, wanted)
        column = column.take(pa.array(rows)) if len(rows) < len(column) else column
        return rows, floats(column, self.shape)

    def _similar(self, some: Candidates, least: float) -> Pairs:
        """Those of the candidates whose payloads are at least so similar."""
        held = max(2, COMPARED_BYTES // (4 * int(np.prod(self.shape))))
        order = np.lexsort((some.second, some.first))
        first, second, closeness = some.first[order], some.second[order], some.closeness[order]
        similarity = np.zeros(len(first), np.float32)
        for at in range(0, len(first), held // 2):
            part = slice(at, at + held // 2)
            similarity[part] = self._compared(first[part], second[part], closeness[part])
        kept = similarity >= least
        return Pairs(first[kept], second[kept], similarity[kept])

    def _compared(self, first: Rows, second: Rows, closeness: Reals) -> Reals:
        rows = np.unique(np.concatenate([first, second]))
        payload = np.zeros((len(rows), *self.shape), np.float32)
        known = np.zeros(len(rows), bool)
        edges = np.searchsorted(rows, self.starts)

        def take(number: int) -> None:
            shard, begin, end = self.shards[number], int(edges[number]), int(edges[number + 1])
            if not self.storage.withholds(shard_key(shard.split, shard.digest)):
                within = rows[begin:end] - self.starts[number]
                found, values = self._payload(shard, within)
                at = begin + np.searchsorted(within, found)
                payload[at], known[at] = values, True

        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(take, np.flatnonzero(np.diff(edges)).tolist()))
        a, b = np.searchsorted(rows, first), np.searchsorted(rows, second)
        # What may not be read is judged by its print alone.
        found = np.where(closeness >= CERTAIN, np.float32(1), np.float32(0))
        told = np.flatnonzero(known[a] & known[b])
        for at in range(0, len(told), _COMPARED_AT_ONCE):
            some = told[at : at + _COMPARED_AT_ONCE]
            found[some] = self.fingerprint.similarity(payload[a[some]], payload[b[some]])
        return found


class _Prints:
    """Prints of all rows in a file that goes with this process, read like an array without staying in memory."""

    def __init__(self, rows: int, width: int, fingerprint: Fingerprint, folder: Path | None) -> None:
        self.width, self.dtype = width, np.dtype(fingerprint.form[0])
        self._rows, self._read = rows, 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._file.truncate(max(1, rows * width * self.dtype.itemsize))
        self._map = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)
        self._array: Any = np.frombuffer(self._map, self.dtype, rows * width).reshape(rows, width)

    def __enter__(self) -> _Prints:
        return self

    def __exit__(self, *_: object) -> None:
        self._array = None
        self._map.close()
        self._file.close()

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: Any) -> Any:
        found = np.array(self._array[index])
        # What is mapped counts as this process's memory: a page for each row that is touched alone.
        self._read += found.nbytes if isinstance(index, slice) else len(found) * mmap.PAGESIZE
        if self._read > _MAPPED_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read = 0
        return found

    def put(self, first: int, prints: Any) -> None:
        data = np.ascontiguousarray(prints, self.dtype).tobytes()
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
    names = np.concatenate([some.first, some.second])
    at = np.searchsorted(exact.second, names)
    found = exact.second[np.minimum(at, max(0, len(exact.second) - 1))] == names if len(exact.second) else None
    origin = names if found is None else np.where(found, exact.first[np.minimum(at, len(exact.first) - 1)], names)
    other = origin[: len(some.first)] != origin[len(some.first) :]
    return Candidates(some.first[other], some.second[other], some.closeness[other])


def _in_turn(pool: ThreadPoolExecutor, of: Any, items: Sequence[Any]) -> Iterator[Any]:
    """What `of` gives for each, in order; no more at a time than there are readers, so that memory is bounded."""
    for at in range(0, len(items), _READERS):
        yield from pool.map(of, items[at : at + _READERS])
