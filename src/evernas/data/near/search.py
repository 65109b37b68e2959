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


@dataclass(frozen=True)
class Candidates:
    """Pairs of row numbers (first < second) that may be nearly the same, and how close their prints are."""

    first: Rows
    second: Rows
    closeness: npt.NDArray[np.float32]


def candidates(prints: Any, groups: npt.NDArray[np.int32], close: float, banded: bool) -> Iterator[Candidates]:
    """Close pairs of rows of different groups, some at a time; a pair may come twice.

    `prints` is (n, width), which may lie in a file; rows with NaN, or where banded with 0, are close to none. A group
    below 0 is of nobody: it is left out. Where very many are alike, of each only the NEAREST are given.
    """
    return (_banded if banded else _in_cells)(prints, groups, close)


def _in_cells(prints: Any, groups: npt.NDArray[np.int32], close: float) -> Iterator[Candidates]:
    speaking = np.flatnonzero(_speaks(prints) & (groups >= 0))
    if len(speaking) < 2:
        return
    pivots = speaking[np.linspace(0, len(speaking) - 1, -(-len(speaking) // CELL_ROWS)).astype(np.int64)]
    cells = _nearest_pivots(prints, speaking, _loaded(prints, pivots))
    order = np.argsort(cells.ravel(), kind="stable")
    edges = np.searchsorted(cells.ravel()[order], np.arange(len(pivots) + 1))
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        rows = np.unique(speaking[order[begin:end] // cells.shape[1]])
        if len(rows) > 1:
            yield from _within(prints, rows, groups, close)


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


def _within(prints: Any, rows: Rows, groups: npt.NDArray[np.int32], close: float) -> Iterator[Candidates]:
    """The close pairs of one cell. Of a crowd, only those whose prints lie beside one another along its main axis."""
    held = _loaded(prints, rows)
    reach = len(rows)
    if len(rows) > CROWD:
        order = np.argsort(held @ _main_axis(held), kind="stable")
        rows, held, reach = rows[order], held[order], CROWD // 2
    for at in range(0, len(rows), _BLOCK):
        # Beyond the block itself only forwards: the other way the pair is met from the other row.
        mine, others = slice(at, at + _BLOCK), slice(at, at + _BLOCK + reach)
        near = held[mine] @ held[others].T
        near[groups[rows[mine]][:, None] == groups[rows[others]][None]] = -1
        here, there = _closest(near, close)
        first, second = rows[mine][here], rows[others][there]
        yield Candidates(np.minimum(first, second), np.maximum(first, second), near[here, there])


def _closest(near: npt.NDArray[np.float32], close: float) -> tuple[Rows, Rows]:
    """Where a matrix is at least `close`: of each row the NEAREST."""
    here, there = np.nonzero(near >= close)
    order = np.lexsort((-near[here, there], here))
    here, there = here[order], there[order]
    place = np.arange(len(here)) - np.searchsorted(here, here)
    return here[place < NEAREST], there[place < NEAREST]


def _main_axis(held: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    moved = held[:: len(held) // CROWD] - held.mean(0)
    return np.asarray(np.linalg.eigh(moved.T @ moved)[1][:, -1], np.float32)


def _loaded(prints: Any, rows: Rows) -> npt.NDArray[np.float32]:
    return np.asarray(prints[rows], np.float32)


def _banded(prints: Any, groups: npt.NDArray[np.int32], close: float) -> Iterator[Candidates]:
    from evernas.data.near.texts import BAND, BANDS

    for band in range(BANDS):
        keys = _band_keys(prints, slice(band * BAND, (band + 1) * BAND))
        order = np.argsort(keys, kind="stable")
        order = order[(keys[order] > 0) & (groups[order] >= 0)]
        for step in range(1, NEAREST + 1):
            first, second = order[:-step], order[step:]
            same = (keys[first] == keys[second]) & (groups[first] != groups[second])
            yield from _shared(prints, first[same], second[same], close)


def _shared(prints: Any, first: Rows, second: Rows, close: float) -> Iterator[Candidates]:
    """Of these pairs, those whose hashes agree in at least a share of `close`."""
    for at in range(0, len(first), _CHUNK):
        a, b = first[at : at + _CHUNK], second[at : at + _CHUNK]
        share = np.asarray((prints[a] == prints[b]).mean(1), np.float32)
        kept = share >= close
        a, b, share = a[kept], b[kept], share[kept]
        yield Candidates(np.minimum(a, b), np.maximum(a, b), share)


def _band_keys(prints: Any, band: slice) -> npt.NDArray[np.uint64]:
    keys = np.zeros(len(prints), np.uint64)
    for at in range(0, len(prints), _CHUNK):
        block = np.asarray(prints[at : at + _CHUNK, band], np.uint64)
        for column in block.T:
            keys[at : at + _CHUNK] = keys[at : at + _CHUNK] * np.uint64(0x9E3779B97F4A7C15) + column
    return keys
