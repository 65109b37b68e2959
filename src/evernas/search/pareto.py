"""Dominance between points that are to be made small: masks, ranks and crowding; no architectures here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_CELLS = 20_000_000


def dominated_by(points: Floats, others: Floats) -> NDArray[np.bool_]:
    """Entry (i, j): whether others[j] dominates points[i], no worse anywhere and better somewhere."""
    no_worse = np.ones((len(points), len(others)), dtype=bool)
    better = np.zeros_like(no_worse)
    for column in range(points.shape[1]):
        mine, theirs = points[:, column, None], others[None, :, column]
        no_worse &= theirs <= mine
        better |= theirs < mine
    return no_worse & better


def nondominated(points: Floats) -> NDArray[np.bool_]:
    """Which points no other point dominates; equal points stand together."""
    mask = np.ones(len(points), dtype=bool)
    if len(points) == 0:
        return mask
    # Points in rising lexicographic order can only be dominated by earlier ones, so a short front filters the rest.
    order = np.lexsort(points.T[::-1])
    ranked = points[order]
    front = ranked[:0]
    keep: list[NDArray[np.bool_]] = []
    size = 128
    for start in range(0, len(ranked), size):
        block = ranked[start : start + size]
        alive = ~_any_dominated(block, front)
        alive[alive] = ~_any_dominated(block[alive], block[alive])
        keep.append(alive)
        front = np.concatenate([front, block[alive]])
    mask[order] = np.concatenate(keep)
    return mask


def ranks(points: Floats, violations: Floats) -> NDArray[np.int64]:
    """Rank of each point, 0 for the front (fast nondominated sort, Deb et al. 2002).

    By Deb's rule a point that violates constraints ranks behind all that do not, and behind those that violate less.
    """
    result = np.full(len(points), -1, dtype=np.int64)
    rank = 0
    left = np.flatnonzero(violations <= 0)
    while len(left):
        front = nondominated(points[left])
        result[left[front]] = rank
        left = left[~front]
        rank += 1
    infeasible = np.flatnonzero(result < 0)
    _, order = np.unique(violations[infeasible], return_inverse=True)
    result[infeasible] = rank + order
    return result


def crowding(points: Floats) -> Floats:
    """Crowding distance of each point of one front (Deb et al. 2002); infinite at the ends of each objective."""
    distance = np.zeros(len(points))
    for column in points.T:
        finite = column[np.isfinite(column)]
        if len(finite) == 0 or finite.max() == finite.min():
            continue
        span = finite.max() - finite.min()
        shown = np.where(np.isfinite(column), column, finite.max() + span)
        order = np.argsort(shown, kind="stable")
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (shown[order[2:]] - shown[order[:-2]]) / span
    return distance


def _any_dominated(points: Floats, others: Floats) -> NDArray[np.bool_]:
    result = np.zeros(len(points), dtype=bool)
    step = max(_CELLS // max(len(points), 1), 1)
    for start in range(0, len(others), step):
        result |= dominated_by(points, others[start : start + step]).any(axis=1)
    return result
