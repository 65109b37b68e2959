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
# How many of the closest ones each row is compared with exactly.
NEAREST = 3
CELLS_OF_A_ROW = 2
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


def candidates(
    prints: Any, groups: npt.NDArray[np.int32], close: float, banded: bool, fresh: Mask | None = None
) -> Iterator[Candidates]:
    """Close pairs of rows of different groups, some at a time; a pair may come twice.

    `prints` is (n, width), which may lie in a file; rows with NaN, or where banded with 0, are close to none. A group
    below 0 is of nobody: it is left out. Where very many are alike, of each only the NEAREST are given. Of each pair at
    least one row is `fresh`; all are if not given.
    """
    asking = np.ones(len(prints), bool) if fresh is None else fresh
    if asking.any():
        yield from (_banded if banded else _in_cells)(prints, groups, close, asking)


def _in_cells(prints: Any, groups: npt.NDArray[np.int32], close: float, fresh: Mask) -> Iterator[Candidates]:
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
        asked = fresh[rows].sum()
        if len(rows) > 1 and asked:
            few = asked < len(rows) and asked <= CROWD
            yield from (_asked if few else _within)(prints, rows, groups, close, fresh)


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


def _within(prints: Any, rows: Rows, groups: npt.NDArray[np.int32], close: float, fresh: Mask) -> Iterator[Candidates]:
    """The close pairs of one cell. Of a crowd, only those whose prints lie beside one another along its main axis."""
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
        here, there = _closest(near, close)
        yield _ordered(mine[here], others[there], near[here, there])
        held = np.concatenate([held[_BLOCK:], _loaded(prints, rows[at + _BLOCK + reach :][:_BLOCK])])


def _asked(prints: Any, rows: Rows, groups: npt.NDArray[np.int32], close: float, fresh: Mask) -> Iterator[Candidates]:
    """The close pairs of one cell of which one row is fresh, where few are: of each row the nearest that are."""
    asking = rows[fresh[rows]]
    held = _loaded(prints, asking)
    # Of each that asks, the nearest so far: its place among them, the other row, and how close that is.
    mine, other, closeness = np.zeros(0, np.int64), np.zeros(0, rows.dtype), np.zeros(0, np.float32)
    for at in range(0, len(rows), _BLOCK):
        others = rows[at : at + _BLOCK]
        near = _loaded(prints, others) @ held.T
        near[groups[others][:, None] == groups[asking][None]] = -1
        here, there = _closest(near, close)
        yield _ordered(others[here], asking[there], near[here, there])
        here, there = np.nonzero(near >= close)
        mine, other = np.concatenate([mine, there]), np.concatenate([other, others[here]])
        closeness = np.concatenate([closeness, near[here, there]])
        kept = _nearest(mine, closeness)
        mine, other, closeness = mine[kept], other[kept], closeness[kept]
    yield _ordered(asking[mine], other, closeness)


def _ordered(a: Rows, b: Rows, closeness: npt.NDArray[np.float32]) -> Candidates:
    return Candidates(np.minimum(a, b), np.maximum(a, b), closeness)


def _closest(near: npt.NDArray[np.float32], close: float) -> tuple[Rows, Rows]:
    """Where a matrix is at least `close`: of each row the NEAREST."""
    here, there = np.nonzero(near >= close)
    kept = _nearest(here, near[here, there])
    return here[kept], there[kept]


def _nearest(of: Rows, closeness: npt.NDArray[np.float32]) -> Rows:
    """Which entries are among the NEAREST of their row."""
    order = np.lexsort((-closeness, of))
    place = np.arange(len(of)) - np.searchsorted(of[order], of[order])
    return order[place < NEAREST]


def _along_main_axis(prints: Any, rows: Rows) -> Rows:
    """The order of rows along the axis in which they differ most."""
    blocks = [rows[at : at + _CHUNK] for at in range(0, len(rows), _CHUNK)]
    middle = np.sum([_loaded(prints, block).sum(0, dtype=np.float64) for block in blocks], axis=0) / len(rows)
    moved = _loaded(prints, rows[:: len(rows) // CROWD]) - middle.astype(np.float32)
    axis = np.asarray(np.linalg.eigh(moved.T @ moved)[1][:, -1], np.float32)
    return np.argsort(np.concatenate([_loaded(prints, block) @ axis for block in blocks]), kind="stable")


def _loaded(prints: Any, rows: Rows) -> npt.NDArray[np.float32]:
    return np.asarray(prints[rows], np.float32)


def _banded(prints: Any, groups: npt.NDArray[np.int32], close: float, fresh: Mask) -> Iterator[Candidates]:
    from evernas.data.near.texts import BAND, BANDS

    for band in range(BANDS):
        keys = _band_keys(prints, slice(band * BAND, (band + 1) * BAND))
        known = np.flatnonzero((keys > 0) & (groups >= 0))
        if not fresh.all():
            known = known[np.isin(keys[known], keys[known[fresh[known]]])]
        order = known[np.argsort(keys[known], kind="stable")]
        for step in range(1, NEAREST + 1):
            first, second = order[:-step], order[step:]
            same = (keys[first] == keys[second]) & (groups[first] != groups[second]) & (fresh[first] | fresh[second])
            yield from _shared(prints, first[same], second[same], close)


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
