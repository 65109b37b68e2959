"""What a gate split can show, said before it is read: the gain that is detectable, and how many domains a gain needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evernas.gate.student import upper_quantile

POWER = 0.8
_MOST_DOMAINS = 1_000_000


@dataclass(frozen=True)
class Spread:
    """What the paired differences are like: the share of samples on which exactly one model is right, the samples of a
    domain, and the standard deviation of the true difference between domains."""

    discordant: float
    per_domain: float
    domain_sd: float

    @property
    def of_a_domain(self) -> float:
        """Standard deviation of one domain's measured difference."""
        return math.sqrt(self.discordant / self.per_domain + self.domain_sd**2)


def resolution(spread: Spread, domains: int, level: float) -> float:
    """Half-width of the one-sided interval of the error difference, a share."""
    return upper_quantile(level, domains - 1) * spread.of_a_domain / math.sqrt(domains)


def detectable(spread: Spread, domains: int, level: float, effect: float, power: float = POWER) -> float:
    """The true gain, a share, that is shown to exceed `effect` with the chance `power`."""
    return effect + shift(level, domains - 1, power) * spread.of_a_domain / math.sqrt(domains)


def domains_needed(spread: Spread, level: float, effect: float, gain: float, power: float = POWER) -> int | None:
    """The fewest domains that show a true gain with the chance `power`; None if no number does."""
    if gain <= effect:
        return None
    low, high = 1, 2
    while detectable(spread, high, level, effect, power) > gain:
        low, high = high, 2 * high
        if high > _MOST_DOMAINS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if detectable(spread, middle, level, effect, power) > gain:
            low = middle
        else:
            high = middle
    return high


def shift(level: float, df: float, power: float = POWER) -> float:
    """How many standard errors the truth must lie beyond a limit for its bound to pass with the chance `power`.

    The noncentrality at which the noncentral t exceeds the critical value so often; with few degrees of freedom at a
    small level it is far more than the sum of two quantiles.
    """
    critical = upper_quantile(level, df)
    low, high = 0.0, 4 * critical + 10
    while high - low > 1e-5 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _passes(middle, df, critical) < power else (low, middle)
    return high


def _passes(shift: float, df: float, critical: float) -> float:
    """P(Z + shift > critical * S), S the root of a chi-square of `df` over `df`, by Simpson's rule over log S."""
    width = 12 / math.sqrt(2 * df)
    log_s = np.linspace(-width if df > 2 else -3 * width, min(width, 3.0), 401)
    log_density = df * log_s - df / 2 * np.exp(2 * log_s)
    density = np.exp(log_density - log_density.max())
    weights = np.ones(len(log_s))
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    passing = np.array([0.5 * math.erfc((critical * math.exp(s) - shift) / math.sqrt(2)) for s in log_s])
    return float((weights * density * passing).sum() / (weights * density).sum())
