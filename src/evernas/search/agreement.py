"""How far two figures rank the same things alike, where only things of one group can be compared; figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Group = Mapping[str, tuple[float, float]]
"""Both figures of each thing, by its name; the same thing may be in several groups."""
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

    With signs a, b in {-1, 0, 1} of the differences of each two of one group, tau is
    sum(ab) / sqrt(sum(a^2) sum(b^2)) over all groups together: the general coefficient of Daniels (1944, Biometrika
    33), which is Kendall's (1945) tau-b for one group, with a blocking variable as in Korn (1984, Biometrics 40) and
    Taylor (1987, Biometrics 43). What differs between groups never counts.

    The interval is the percentile bootstrap that draws the things again (Efron & Tibshirani 1993, ch. 13), the same
    each time: those of groups that share any are drawn together, and one that is in several groups is drawn for all of
    them, since what it shows in one it shows in the next. Where every two agree, or every two differ, it has no width
    and would claim to be sure; the far bound is then that of a share of 1 (Clopper & Pearson 1934) over as many twos as
    share no thing, since these alone are independent (Hoeffding 1963, section 5).
    """
    groups = [group for group in groups if len(group) > 1]
    signs = [(_signs(values[:, 0]), _signs(values[:, 1])) for values in map(_table, groups)]
    products = [a * b for a, b in signs]
    alike, otherwise = (sum(int((p == sign).sum()) // 2 for p in products) for sign in (1.0, -1.0))
    whole = [np.ones((1, len(p))) for p in products]
    tau = _tau(signs, whole)
    if not len(tau) or not np.isfinite(tau[0]):
        return Agreement(alike, otherwise, None, None, None)
    again = _tau(signs, _drawn(groups))
    low, high = np.quantile(again[np.isfinite(again)], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    far = 2 * ((1 - LEVEL) / 2) ** (1 / _apart(groups)) - 1
    if not otherwise:
        low = min(low, far)
    if not alike:
        high = max(high, -far)
    return Agreement(alike, otherwise, float(tau[0]), float(low), float(high))


def comparable(groups: Sequence[Group]) -> int:
    """How many things have another in a group of theirs."""
    return len({name for group in groups if len(group) > 1 for name in group})


def _drawn(groups: Sequence[Group]) -> list[Floats]:
    """For each group how often each of its things is drawn, (resamples, members)."""
    rng, times = np.random.default_rng(0), dict[str, Floats]()
    for names in _linked(groups):
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES).astype(float)
        times |= dict(zip(names, drawn.T, strict=True))
    return [np.stack([times[name] for name in group], axis=1) for group in groups]


def _linked(groups: Sequence[Group]) -> list[list[str]]:
    """The things of groups that share any, directly or through others, in the order in which they come."""
    found: list[dict[str, None]] = []
    for group in groups:
        joined = [names for names in found if not names.keys().isdisjoint(group)]
        found = [names for names in found if names.keys().isdisjoint(group)]
        found.append(dict.fromkeys(name for names in (*joined, group) for name in names))
    return [list(names) for names in found]


def _apart(groups: Sequence[Group]) -> int:
    """A number of twos that lie in one group each, of which no two share a thing."""
    taken, twos = set[str](), 0
    for group in groups:
        free = [name for name in group if name not in taken]
        taken.update(free[: len(free) // 2 * 2])
        twos += len(free) // 2
    return twos


def _table(group: Group) -> Floats:
    return np.array(list(group.values()), dtype=np.float64).reshape(-1, 2)


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
