"""Whether a mean of values from 0 to 1 is above a limit, at any number of looks; pure.

For values whose mean, given all before, is at most m, and any p > m, the product of (p/m)^x ((1-p)/(1-m))^(1-x) never
rises on average: a^x b^(1-x) is at most x a + (1-x) b, whose mean is at most 1. So it is so of a mean over many p, and
by Ville's inequality (1939) it ever reaches 1/alpha with a chance of at most alpha (Howard, Ramdas, McAuliffe & Sekhon
2021, 'Time-uniform, nonparametric, nonasymptotic confidence sequences'). It depends on the number of values and
their sum alone, so that looks may come at any time, and what was counted once need not be kept.
"""

from __future__ import annotations

import math

import numpy as np

POINTS = 256
STEPS = 40
# Of the gap between the limit and 1: alternatives from a thousandth of it on, closer together near the limit.
_NEAREST = 1e-3
_GAPS = np.geomspace(_NEAREST, 1.0 - 1e-6, POINTS)


def evidence(count: float, total: float, limit: float) -> float:
    """The natural logarithm of the evidence that the mean is above `limit`, from `count` values that sum to `total`.

    ValueError for values that cannot be: a sum below 0 or above the count, or a limit that is not between 0 and 1.
    """
    if not 0 <= total <= count * (1 + 1e-9) or not 0 < limit < 1:
        raise ValueError(f"{count} values from 0 to 1 do not sum to {total}, or {limit} is no limit between 0 and 1")
    if count == 0:
        return 0.0
    p = limit + (1.0 - limit) * _GAPS
    logs = total * np.log(p / limit) + (count - total) * (np.log1p(-p) - math.log1p(-limit))
    highest = float(logs.max())
    return highest + math.log(float(np.exp(logs - highest).mean()))


def lower_bound(count: float, total: float, alpha: float) -> float:
    """What the mean is at least, with a confidence of 1 - alpha at all looks together; 0 if nothing is known."""
    if count == 0 or total == 0:
        return 0.0
    wanted = math.log(1 / alpha)
    low, high = 0.0, min(total / count, 1 - 1e-9)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if middle <= 0 or evidence(count, total, middle) >= wanted:
            low = middle
        else:
            high = middle
    return low
