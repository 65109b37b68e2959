"""The volume that a set of points dominates, exact for one to four objectives, all to be made small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evernas.errors import UsageError
from evernas.search.pareto import nondominated

Floats = NDArray[np.float64]
MOST_OBJECTIVES = 4


def hypervolume(points: Floats | Sequence[Sequence[float]], reference: Floats | Sequence[float]) -> float:
    """Volume between the points and the reference; a point that is not below it in every objective adds nothing."""
    limit = np.asarray(reference, dtype=np.float64)
    rows = np.asarray(points, dtype=np.float64).reshape(-1, len(limit))
    if not 1 <= len(limit) <= MOST_OBJECTIVES:
        raise UsageError(
            f"The reference has {len(limit)} objectives: the hypervolume is exact for 1 to {MOST_OBJECTIVES}."
        )
    if np.isnan(rows).any() or np.isneginf(rows).any() or not np.isfinite(limit).all():
        raise UsageError("The hypervolume needs a finite reference and points that are neither NaN nor minus infinity.")
    return _volume(rows[(rows < limit).all(axis=1)], limit)


def hypervolume_curve(
    values: Sequence[Sequence[float]], reference: Sequence[float], scale: Sequence[float] | float = 1.0
) -> list[float]:
    """The hypervolume after each value, divided by `scale`: a volume, or a length per objective.

    Each step adds what the new point alone dominates: its box less the volume of the others clipped to the box.
    """
    limit = np.asarray(reference, dtype=np.float64)
    unit = float(np.prod(np.asarray(scale, dtype=np.float64)))
    if not (np.isfinite(unit) and unit > 0):
        raise UsageError(f"The scale is {scale}: give positive lengths, such as the ranges of the objectives.")
    front = np.empty((0, len(limit)))
    total, curve = 0.0, []
    for value in values:
        point = np.asarray(value, dtype=np.float64)
        if not (front <= point).all(axis=1).any():
            if (point < limit).all():
                total += hypervolume(point[None], limit) - hypervolume(np.maximum(front, point), limit)
                front = np.concatenate([front[~(point <= front).all(axis=1)], point[None]])
            elif np.isnan(point).any():
                raise UsageError(f"The point {list(value)} is no number in every objective.")
        curve.append(total / unit)
    return curve


def _volume(points: Floats, limit: Floats) -> float:
    """Hypervolume by slicing along the last objective."""
    if len(points) == 0:
        return 0.0
    if len(limit) == 1:
        return float(limit[0] - points.min())
    if len(limit) == 2:
        return _area(points, limit)
    points = np.unique(points[nondominated(points)], axis=0)
    points = points[np.argsort(points[:, -1], kind="stable")]
    levels = np.append(points[:, -1], limit[-1])
    below = points[:0, :-1]
    total = 0.0
    for index, depth in enumerate(np.diff(levels)):
        new = points[index : index + 1, :-1]
        below = np.concatenate([below[~(new <= below).all(axis=1)], new])
        if depth > 0:
            total += float(depth) * _volume(below, limit[:-1])
    return total


def _area(points: Floats, limit: Floats) -> float:
    """Area in two objectives: a staircase along the first."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    x, y = points[order].T
    lowest = np.minimum.accumulate(y)
    widths = np.diff(np.append(x, limit[0]))
    return float((widths * (limit[1] - lowest)).sum())
