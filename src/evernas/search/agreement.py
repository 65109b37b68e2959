"""How far two figures rank the same things alike, where only things of one group can be compared; figures alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Group = Sequence[tuple[float, float]]
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Agreement:
    """How many twos of one group both figures put in the same order and in the opposite one; tau with its interval.

    Tau and its bounds are None where a figure is the same within every group: then there is no order to agree with.
    """

    alike: int
    otherwise: int
    tau: float | None
    low: float | None
    high: float | None


def agreement(groups: Sequence[Group]) -> Agreement:
    """Kendall's tau-b over all twos that lie in one group, and its 95 % interval.

    A group is of pairs of figures. With signs a, b in {-1, 0, 1} of the differences of each two of one group, tau is
    sum(ab) / sqrt(sum(a^2) sum(b^2)) over all groups together: the general coefficient of Daniels (1944, Biometrika
    33), which is Kendall's (1945) tau-b for one group, with a blocking variable as in Korn (1984, Biometrics 40) and
    Taylor (1987, Biometrics 43). What differs between groups never counts.

    The interval is the percentile bootstrap that draws the members of each group again (Efron & Tibshirani 1993,
    ch. 13), the same each time. Where every two agree, or every two differ, it has no width and would claim to be
    sure; the far bound is then that of a share of 1 (Clopper & Pearson 1934) over as many twos as share no member,
    since these alone are independent (Hoeffding 1963, section 5).
    """
    signs = [(_signs(values[:, 0]), _signs(values[:, 1])) for values in map(_table, groups) if len(values) > 1]
    products = [a * b for a, b in signs]
    alike, otherwise = (sum(int((p == sign).sum()) // 2 for p in products) for sign in (1.0, -1.0))
    whole = [np.ones((1, len(p))) for p in products]
    tau = _tau(signs, whole)
    if not len(tau) or not np.isfinite(tau[0]):
        return Agreement(alike, otherwise, None, None, None)
    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(float) for n in (len(p) for p in products)]
    again = _tau(signs, drawn)
    low, high = np.quantile(again[np.isfinite(again)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    far = 2 * ((1 - LEVEL) / 2) ** (1 / sum(len(p) // 2 for p in products)) - 1
    if not otherwise:
        low = min(low, far)
    if not alike:
        high = max(high, -far)
    return Agreement(alike, otherwise, float(tau[0]), float(low), float(high))


def comparable(groups: Sequence[Group]) -> int:
    """How many members have another in their group."""
    return sum(len(group) for group in groups if len(group) > 1)


def _table(group: Group) -> Floats:
    return np.array(group, dtype=np.float64).reshape(-1, 2)


def _signs(values: Floats) -> Floats:
    return np.sign(values[:, None] - values[None, :])


def _tau(signs: Sequence[tuple[Floats, Floats]], weights: Sequence[Floats]) -> Floats:
    """Tau for each row of weights (resamples, members), given for each group; not finite where there is no order."""

    def total(kernels: Sequence[Floats]) -> Floats:
        parts = [((w @ kernel) * w).sum(axis=1) for kernel, w in zip(kernels, weights, strict=True)]
        return reduce(np.add, parts, np.zeros(weights[0].shape[0] if weights else 0))

    both = total([a * b for a, b in signs])
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = both / np.sqrt(total([abs(a) for a, _ in signs]) * total([abs(b) for _, b in signs]))
    return found
