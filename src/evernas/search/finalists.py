"""Which architectures of a front are worth fine-tuning: spread along it, with its ends and its knee."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from evernas.errors import UsageError
from evernas.search.objectives import Evaluation, Goals, Objective
from evernas.search.pareto import dominated_by, nondominated

NEAR = 0.05


def select_finalists(
    evaluations: Sequence[Evaluation],
    count: int,
    must: Iterable[str] = (),
    *,
    objectives: Sequence[str | Objective] | None = None,
    error: str = "error",
    near: float = NEAR,
) -> list[Evaluation]:
    """Up to `count` evaluations: the lowest error, those named in `must`, the knee, then the largest gaps filled.

    `evaluations` are a front; others may be among them, and count only if `must` names them (architecture ids) and they
    are near it: less than `near` of the front's range behind it. Objectives are those of the first evaluation, all to
    be made small, if not given. The knee is the nearest to the ideal point. The result is the same for any order given.
    """
    if count < 1:
        raise UsageError(f"{count} finalists are asked for: ask for 1 or more.")
    if not evaluations:
        return []
    goals = Goals.of(objectives or list(evaluations[0].values), {})
    if error not in goals.names:
        raise UsageError(f"The objectives are {', '.join(goals.names)}: {error!r} must be among them.")
    items = sorted({e.architecture.id: e for e in evaluations}.values(), key=lambda e: e.architecture.id)
    points = goals.oriented(items)
    finite: NDArray[np.bool_] = np.all(np.isfinite(points), axis=1)
    if finite.any():
        items = [item for item, on in zip(items, finite, strict=True) if on]
        points = points[finite]
    else:
        points = np.zeros_like(points)
    on_front = nondominated(points)
    scaled = _scaled(points, points[on_front])
    wanted = set(must)
    front = np.flatnonzero(on_front)
    ends = points[:, goals.names.index(error)]
    chosen = [int(front[np.lexsort((*points[front].T[::-1], ends[front]))[0]])]
    behind: NDArray[np.bool_] = np.any(dominated_by(scaled - near, scaled[on_front]), axis=1)
    chosen += [i for i, item in enumerate(items) if item.architecture.id in wanted and not behind[i]]
    chosen.append(int(front[np.argmin(np.linalg.norm(scaled[front], axis=1))]))
    chosen = list(dict.fromkeys(chosen))[:count]
    while len(chosen) < count:
        left = [int(i) for i in front if i not in chosen]
        if not left:
            break
        gaps = np.linalg.norm(scaled[left][:, None] - scaled[chosen][None], axis=2).min(axis=1)
        chosen.append(left[int(np.argmax(gaps))])
    return [items[i] for i in chosen]


def _scaled(points: NDArray[np.float64], front: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points in units of the front's range, with the ideal point at 0."""
    low, span = front.min(axis=0), np.ptp(front, axis=0)
    return np.asarray((points - low) / np.where(span > 0, span, 1.0), dtype=np.float64)
