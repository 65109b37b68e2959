"""How much hypervolume a candidate is expected to add, when each objective is known as a distribution; no models."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evernas.search.pareto import nondominated

Floats = NDArray[np.float64]
LEVELS = 16
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def expected_improvement(values: list[Floats], boxes: tuple[Floats, Floats]) -> Floats:
    """Expected hypervolume improvement of each candidate, (n,), all objectives to be made small and independent.

    `values[j]` is (n, nodes): what objective j may be, at the nodes of a quadrature with WEIGHTS, or (n, 1) where it is
    known. The improvement is a sum over the boxes that `free_boxes` makes of the front (Yang et al. 2019), each a
    product over the objectives of expected lengths, so a distribution of any form costs the same.
    """
    lower, upper = boxes
    total = np.ones((len(values[0]), len(lower)))
    for j, nodes in enumerate(values):
        edges, at = np.unique(np.concatenate([lower[:, j], upper[:, j]]), return_inverse=True)
        below = _expected_below(nodes, edges)
        total *= below[:, at[len(lower) :]] - below[:, at[: len(lower)]]
    return np.asarray(total.sum(axis=1))


def expected_violation(values: list[Floats], limits: Floats, span: Floats) -> Floats:
    """How far each candidate is expected beyond the limits, (n,), summed in units of `span`; values as above."""
    total = np.zeros(len(values[0]))
    for nodes, limit, width in zip(values, limits, span, strict=True):
        if np.isfinite(limit):
            weights = WEIGHTS if nodes.shape[1] > 1 else np.ones(1)
            total += (np.maximum(nodes - limit, 0.0) @ weights) / width
    return total


def free_boxes(front: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Boxes (lower, upper), each (k, objectives), that part what is below the reference and not dominated.

    Exact for one to three objectives, with about two boxes a point for three. For four, the last objective is cut at
    up to LEVELS levels, downwards, so a little improvement is overlooked and none is made up.
    """
    front = front[(front < reference).all(axis=1)]
    front = np.unique(front[nondominated(front)], axis=0)
    parts = _parts(front, reference)
    return np.array([part[0] for part in parts]), np.array([part[1] for part in parts])


Box = tuple[list[float], list[float]]


def _parts(front: Floats, reference: Floats) -> list[Box]:
    if len(reference) == 1:
        return [([-np.inf], [float(min(front.min(initial=np.inf), reference[0]))])]
    if len(reference) == 2:
        x = np.concatenate([[-np.inf], front[:, 0], [reference[0]]])
        y = np.concatenate([[reference[1]], front[:, 1]])
        return [([float(x[i]), -np.inf], [float(x[i + 1]), float(y[i])]) for i in range(len(y))]
    if len(reference) == 3:
        return _swept(front, reference)
    return _sliced(front, reference)


def _swept(front: Floats, reference: Floats) -> list[Box]:
    """Three objectives: the staircase of the first two, while the third rises; a step that falls leaves its box."""
    boxes: list[Box] = []
    # Steps (left, right, height, since): left <= x < right, y < height is free since that level of z.
    steps = [(-np.inf, float(reference[0]), float(reference[1]), -np.inf)]
    for x, y, z in front[np.argsort(front[:, 2], kind="stable")].tolist():
        kept: list[tuple[float, float, float, float]] = []
        right_end = x
        for left, right, height, since in steps:
            if right <= x or height <= y:
                kept.append((left, right, height, since))
                continue
            boxes.append(([left, -np.inf, since], [right, height, z]))
            if left < x:
                kept.append((left, x, height, z))
            right_end = max(right_end, right)
        if right_end > x:
            kept.append((x, right_end, y, z))
        steps = sorted(kept)
    last = float(reference[2])
    boxes += [([left, -np.inf, since], [right, height, last]) for left, right, height, since in steps]
    return [box for box in boxes if all(low < high for low, high in zip(*box, strict=True))]


def _sliced(front: Floats, reference: Floats) -> list[Box]:
    """Four objectives and more: the parts of one objective fewer, between levels of the last."""
    levels = np.unique(front[:, -1])
    if len(levels) > LEVELS:
        levels = levels[np.linspace(0, len(levels) - 1, LEVELS).round().astype(int)]
    edges = [-np.inf, *levels.tolist(), float(reference[-1])]
    boxes: list[Box] = []
    for low, high in pairwise(edges):
        # A point between two levels counts from the lower one.
        below = front[front[:, -1] < high][:, :-1] if low > -np.inf else front[:0, :-1]
        inner = _parts(np.unique(below[nondominated(below)], axis=0), reference[:-1])
        boxes += [([*lower, low], [*upper, high]) for lower, upper in inner]
    return boxes


def _expected_below(nodes: Floats, edges: Floats) -> Floats:
    """E[max(0, edge - value)] for each candidate and edge, (n, edges); 0 at minus infinity."""
    weights = WEIGHTS if nodes.shape[1] > 1 else np.ones(1)
    found = np.zeros((len(nodes), len(edges)))
    finite = np.isfinite(edges)
    for s in range(nodes.shape[1]):
        found[:, finite] += weights[s] * np.maximum(edges[finite][None, :] - nodes[:, s, None], 0.0)
    return found
