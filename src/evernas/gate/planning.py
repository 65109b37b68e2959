"""What a gate split can show, said before it is read: the detectable gain, and how many domains a gain needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evernas.errors import UsageError
from evernas.gate.estimate import Clusters, reaches_of_units
from evernas.gate.student import upper_quantile

POWER = 0.8
_MOST_DOMAINS = 1_000_000
# With more units the bootstrap seldom widens Student's bound; of fewer there is none to speak of.
_FEWEST, _FEW = 3, 16
# The fewer the units, the heavier the tail, and the cheaper a simulation.
_SIMULATED_UNITS, _RESAMPLES = 4_000, 20_000
# Simulations that share their resamples: a part of the time, and chance still differs between the many parts.
_AT_ONCE = 25


@dataclass(frozen=True)
class Design:
    """How a difference will be measured: independent units in strata, and the standard deviation of one unit, a share.

    Over domains there is one stratum; over recordings each domain is one. `step` is what one sample changes in a unit.
    """

    units: int
    strata: int
    sd: float
    step: float = 0.0

    @property
    def df(self) -> int:
        """Degrees of freedom."""
        return self.units - self.strata

    @property
    def standard_error(self) -> float:
        """Of the mean difference, a share."""
        return self.sd / math.sqrt(self.units)


@dataclass(frozen=True)
class Spread:
    """What paired differences are like: the share of samples on which exactly one model is right, the samples of a
    domain, and the standard deviation of the true difference between domains, a share."""

    discordant: float
    per_domain: float
    domain_sd: float

    def over(self, domains: int) -> Design:
        """The design with so many domains as units."""
        sd = math.sqrt(self.discordant / self.per_domain + self.domain_sd**2)
        return Design(domains, 1, sd, 1 / self.per_domain)


def foreseen(seen: Clusters, domains: int, recordings: int, min_domains: int) -> Design:
    """The design of a gate split, from what the paired differences of the search split are like: `seen`.

    UsageError unless some domain of `seen` has two recordings, or there are two domains.
    """
    means = seen.means
    step = 1 / float(np.mean(seen.samples)) / max(recordings / domains, 1)
    if domains >= min_domains and len(means) > 1:
        return Design(domains, 1, float(means.std(ddof=1)), step)
    within = [recording.var(ddof=1) for recording in seen.recordings if len(recording) > 1]
    if not within:
        raise UsageError("The search split has no domain with two recordings: nothing is known of how figures vary.")
    sd = math.sqrt(float(np.mean(within)))
    if domains >= min_domains:
        return Design(domains, 1, sd / math.sqrt(max(recordings / domains, 1)), step)
    return Design(recordings, domains, sd)


def resolution(design: Design, level: float) -> float:
    """Half-width of the one-sided interval of the difference, a share."""
    return upper_quantile(level, design.df) * design.standard_error


def detectable(design: Design, level: float, effect: float, power: float = POWER) -> float:
    """The true gain, a share, that is shown to exceed `effect` with the chance `power`."""
    if design.strata == 1 and _FEWEST <= design.units <= _FEW:
        # In steps of a hundredth, so that what is alike is simulated once.
        step = round(design.step / design.sd, 2) if design.sd > 0 else 0.0
        return effect + shift_of_few(design.units, level, power, step) * design.standard_error
    return effect + shift(level, design.df, power) * design.standard_error


def domains_needed(spread: Spread, level: float, effect: float, gain: float, power: float = POWER) -> int | None:
    """The fewest domains that show a true gain with the chance `power`; None if no number does."""

    def shows(domains: int) -> bool:
        return detectable(spread.over(domains), level, effect, power) <= gain

    if gain <= effect:
        return None
    low, high = 1, 2
    while not shows(high):
        low, high = high, 2 * high
        if high > _MOST_DOMAINS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


@lru_cache(maxsize=256)
def shift_of_few(units: int, level: float, power: float = POWER, step: float = 0.0) -> float:
    """`shift` for a bound over a few units, which the studentised bootstrap mostly makes wider than Student's.

    By simulation of normal units: the quantile, over what might be seen, of how far the truth has to lie beyond the
    limit for the bound to pass. `step` is what one sample changes in a unit, in standard deviations of a unit: with it
    resamples whose units are nearly equal still have a spread.
    """
    rng = np.random.default_rng([units, 11])
    simulations = rng.normal(size=(_SIMULATED_UNITS // units, units))
    parts = [
        reaches_of_units(simulations[start : start + _AT_ONCE], level, _RESAMPLES, start, step)
        for start in range(0, len(simulations), _AT_ONCE)
    ]
    needed = np.concatenate(parts) - simulations.mean(axis=1)
    return float(np.quantile(needed, power)) * math.sqrt(units)


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
