"""Student's t distribution, which numpy lacks: the upper tail and its inverse, for real degrees of freedom."""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300


def upper_tail(t: float, df: float) -> float:
    """Probability that Student's t with `df` degrees of freedom exceeds `t`."""
    if t == 0:
        return 0.5
    half = 0.5 * regularised_beta(df / (df + t * t), df / 2, 0.5)
    return half if t > 0 else 1 - half


@lru_cache(maxsize=4096)
def upper_quantile(level: float, df: float) -> float:
    """The t that is exceeded with probability `level`, for 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"The level is {level}: give a probability between 0 and 1.")
    if level > 0.5:
        return -upper_quantile(1 - level, df)
    low, high = 0.0, 1.0
    while upper_tail(high, df) > level and high < 1e150:
        low, high = high, 2 * high
    # Newton's method on the log of the tail, held inside the bracket.
    t = (low + high) / 2
    for _ in range(100):
        tail = upper_tail(t, df)
        low, high = (t, high) if tail > level else (low, t)
        step = math.log(tail / level) * tail / _density(t, df) if tail > 0 else 0.0
        following = t + step if low < t + step < high else (low + high) / 2
        if abs(following - t) <= 1e-14 * t:
            return following
        t = following
    return t


def _density(t: float, df: float) -> float:
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    return max(math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df)), _TINY)


def regularised_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) by its continued fraction (Abramowitz & Stegun 26.5.8)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _continued_fraction(x, a, b) / a
    return 1 - math.exp(log_front) * _continued_fraction(1 - x, b, a) / b


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Modified Lentz evaluation of the continued fraction of the incomplete beta function."""
    c = 1.0
    d = 1 / _nonzero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 100_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _nonzero(1 + numerator * d)
            c = _nonzero(1 + numerator / c)
            result *= d * c
        if abs(d * c - 1) < 1e-15:
            return result
    return result


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
