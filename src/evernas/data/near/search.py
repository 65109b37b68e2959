"""Finding close fingerprints of different groups among millions, in bounded memory; arrays in, row numbers out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Rows that one pivot gathers on average, and the most that are compared each with each.
CELL_ROWS = 1500
CROWD = 8192
# How many of the closest ones of each side each row is compared with exactly, and is kept with.
NEAREST = 3
CELLS_OF_A_ROW = 2
# More than there are splits.
SIDES = 4
_BLOCK = 1024
_CHUNK = 4096

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """Pairs of row numbers (first < second) that may be nearly the same, and how close their prints are."""

    first: Rows
    second: Rows
    closeness: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Asked:
    """Of whom each row is, on which side it lies, and whether it is fresh; and from where on prints are close."""

    groups: npt.NDArray[np.int32]
    sides: npt.NDArray[np.int8]
    fresh: Mask
    close: float


def candidates(
    prints: Any,
    groups: npt.NDArray[np.int32],
    close: float,
    banded: bool,
    fresh: Mask | None = None,
    sides: npt.NDArray[np.int8] | None = None,
) -> Iterator[Candidates]:
    """Close pairs of rows of different groups, some at a time; a pair may come twice.

    `prints` is (n, width), which may lie in a file; rows with NaN, or where banded with 0, are close to none. A group
    below 0 is of nobody: it is left out. Where very many are alike, of each only the NEAREST of each side (a small
    number from 0 on; one side if not given) are given. Of each pair at least one row is `fresh`; all are if not given.
    """
    asking = np.ones(len(prints), bool) if fresh is None else fresh
    if asking.any():
        lies = np.zeros(len(prints), np.int8) if sides is None else sides
        yield from (_banded if banded else _in_cells)(prints, _Asked(groups, lies, asking, close))


def nearest(of: Rows, side: npt.NDArray[np.int8], closeness: npt.NDArray[np.float32]) -> Rows:
    """Which entries are among the NEAREST of their row on their side; of equally close ones those that come first."""
    key = of * SIDES + side
    kept = np.ones(len(key), bool)
    # Few rows have many: only those of them are sorted.
    many = np.flatnonzero(np.bincount(key)[key] > NEAREST) if len(key) else key
    order = many[np.lexsort((-closeness[many], key[many]))]
    place = np.arange(len(order)) - np.searchsorted(key[order], key[order])
    kept[order[place >= NEAREST]] = False
    return np.flatnonzero(kept)


def _in_cells(prints: Any, asked: _Asked) -> Iterator[Candidates]:
    groups, fresh = asked.groups, asked.fresh
    speaking = np.flatnonzero(_speaks(prints) & (groups >= 0))
    asking = int(fresh[speaking].sum())
    if len(speaking) < 2 or not asking:
        return
    # To sort n rows into p cells costs n p, to compare the asking ones within them 4 n asking / p.
    count = min(-(-len(speaking) // CELL_ROWS), int(np.ceil(2 * np.sqrt(asking))))
    pivots = speaking[np.linspace(0, len(speaking) - 1, count).astype(np.int64)]
    cells = _nearest_pivots(prints, speaking, _loaded(prints, pivots))
    order = np.argsort(cells.ravel(), kind="stable")
    edges = np.searchsorted(cells.ravel()[order], np.arange(len(pivots) + 1))
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = np.unique(speaking[order[begin:end] // cells.shape[1]])
        count = fresh[rows].sum()
        if len(rows) > 1 and count:
            few = count < len(rows) and count <= CROWD
            yield from (_beside_few if few else _within)(prints, rows, asked)


def _speaks(prints: Any) -> npt.NDArray[np.bool_]:
    blocks = [np.isfinite(prints[at : at + _CHUNK, 0]) for at in range(0, len(prints), _CHUNK)]
    return np.concatenate(blocks) if blocks else np.zeros(0, bool)


def _nearest_pivots(prints: Any, rows: Rows, pivots: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    most = min(CELLS_OF_A_ROW, len(pivots))
    found = np.empty((len(rows), most), np.int32)
    for at in range(0, len(rows), _CHUNK):
        near = _loaded(prints, rows[at : at + _CHUNK]) @ pivots.T
        found[at : at + _CHUNK] = np.argpartition(-near, most - 1, axis=1)[:, :most]
    return found


def _within(prints: Any, rows: Rows, asked: _Asked) -> Iterator[Candidates]:
    """The close pairs of one cell. Of a crowd, only those whose prints lie beside one another along its main axis."""
    groups, fresh = asked.groups, asked.fresh
    reach = len(rows)
    if len(rows) > CROWD:
        rows, reach = rows[_along_main_axis(prints, rows)], CROWD // 2
    # Of a crowd, no more is in memory than what is compared.
    held = _loaded(prints, rows[: _BLOCK + reach])
    for at in range(0, len(rows), _BLOCK):
        # Beyond the block itself only forwards: the other way the pair is met from the other row.
        mine, others = rows[at : at + _BLOCK], rows[at : at + _BLOCK + reach]
        near = held[: len(mine)] @ held.T
        near[groups[mine][:, None] == groups[others][None]] = -1
        near[~fresh[mine][:, None] & ~fresh[others][None]] = -1
        yield _closest(near, mine, others, asked)
        held = np.concatenate([held[_BLOCK:], _loaded(prints, rows[at + _BLOCK + reach :][:_BLOCK])])


def _beside_few(prints: Any, rows: Rows, asked: _Asked) -> Iterator[Candidates]:
    """The close pairs of one cell of which one row is fresh, where few are: of each row the nearest that are."""
    asking = rows[asked.fresh[rows]]
    held = _loaded(prints, asking)
    # Of each that asks, the nearest so far: its place among them, the other row, and how close that is.
    mine, other, closeness = np.zeros(0, np.int64), np.zeros(0, rows.dtype), np.zeros(0, np.float32)
    for at in range(0, len(rows), _BLOCK):
        others = rows[at : at + _BLOCK]
        near = _loaded(prints, others) @ held.T
        near[asked.groups[others][:, None] == asked.groups[asking][None]] = -1
        here, there = np.nonzero(near >= asked.close)
        found = near[here, there]
        kept = nearest(here, asked.sides[asking[there]], found)
        yield _ordered(others[here[kept]], asking[there[kept]], found[kept])
        mine, other = np.concatenate([mine, there]), np.concatenate([other, others[here]])
        closeness = np.concatenate([closeness, found])
        kept = nearest(mine, asked.sides[other], closeness)
        mine, other, closeness = mine[kept], other[kept], closeness[kept]
    yield _ordered(asking[mine], other, closeness)


def _ordered(a: Rows, b: Rows, closeness: npt.NDArray[np.float32]) -> Candidates:
    return Candidates(np.minimum(a, b), np.maximum(a, b), closeness)


def _closest(near: npt.NDArray[np.float32], mine: Rows, others: Rows, asked: _Asked) -> Candidates:
    """Where a matrix of rows and others is at least `close`: of each row, and of each other, the NEAREST."""
    here, there = np.nonzero(near >= asked.close)
    found = near[here, there]
    of_mine, of_others = (
        nearest(of, asked.sides[by[at]], found) for of, by, at in ((here, others, there), (there, mine, here))
    )
    kept = np.union1d(of_mine, of_others)
    return _ordered(mine[here[kept]], others[there[kept]], found[kept])


def _along_main_axis(prints: Any, rows: Rows) -> Rows:
    """The order of rows along the axis in which they differ most."""
    blocks = [rows[at : at + _CHUNK] for at in range(0, len(rows), _CHUNK)]
    middle = np.sum([_loaded(prints, block).sum(0, dtype=np.float64) for block in blocks], axis=0) / len(rows)
    moved = _loaded(prints, rows[:: len(rows) // CROWD]) - middle.astype(np.float32)
    axis = np.asarray(np.linalg.eigh(moved.T @ moved)[1][:, -1], np.float32)
    return np.argsort(np.concatenate([_loaded(prints, block) @ axis for block in blocks]), kind="stable")


def _loaded(prints: Any, rows: Rows) -> npt.NDArray[np.float32]:
    return np.asarray(prints[rows], np.float32)


def _banded(prints: Any, asked: _Asked) -> Iterator[Candidates]:
    from evernas.data.near.texts import BAND, BANDS

    groups, fresh = asked.groups, asked.fresh
    for band in range(BANDS):
        keys = _band_keys(prints, slice(band * BAND, (band + 1) * BAND))
        known = np.flatnonzero((keys > 0) & (groups >= 0))
        if not fresh.all():
            known = known[np.isin(keys[known], keys[known[fresh[known]]])]
        order = known[np.argsort(keys[known], kind="stable")]
        for first, second in _neighbours(order, keys, asked.sides):
            same = (groups[first] != groups[second]) & (fresh[first] | fresh[second])
            yield from _shared(prints, first[same], second[same], asked.close)


def _neighbours(order: Rows, keys: npt.NDArray[np.uint64], sides: npt.NDArray[np.int8]) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows of one key, which `order` sorts them by: beside one another, and the first ones of other sides."""
    for step in range(1, NEAREST + 1):
        first, second = order[:-step], order[step:]
        same = keys[first] == keys[second]
        yield first[same], second[same]
    for side in np.unique(sides[order]):
        theirs, ours = order[sides[order] == side], order[sides[order] != side]
        begin = np.searchsorted(keys[theirs], keys[ours])
        for step in range(NEAREST):
            there = np.flatnonzero(begin + step < len(theirs))
            first, second = ours[there], theirs[begin[there] + step]
            same = keys[first] == keys[second]
            yield first[same], second[same]


def _shared(prints: Any, first: Rows, second: Rows, close: float) -> Iterator[Candidates]:
    """Of these pairs, those whose hashes agree in at least a share of `close`."""
    for at in range(0, len(first), _CHUNK):
        a, b = first[at : at + _CHUNK], second[at : at + _CHUNK]
        share = np.asarray((prints[a] == prints[b]).mean(1), np.float32)
        kept = share >= close
        yield _ordered(a[kept], b[kept], share[kept])


def _band_keys(prints: Any, band: slice) -> npt.NDArray[np.uint64]:
    keys = np.zeros(len(prints), np.uint64)
    for at in range(0, len(prints), _CHUNK):
        block = np.asarray(prints[at : at + _CHUNK, band], np.uint64)
        for column in block.T:
            keys[at : at + _CHUNK] = keys[at : at + _CHUNK] * np.uint64(0x9E3779B97F4A7C15) + column
    return keys
