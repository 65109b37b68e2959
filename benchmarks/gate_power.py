"""One decision, not a year: what a gate split detects, and how often a true zero passes with few domains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gate_world import DOMAIN_SD, LATENCY_SD, RESTARTS

from evernas.config import GateConfig
from evernas.gate import Claim, Evidence, Measured, claim, decide
from evernas.gate.estimate import variance_of_mean
from evernas.gate.planning import Design, Spread, detectable
from evernas.gate.student import upper_quantile

DISCORDANT = 0.1
# The objectives measured with noise are error and latency: Holm gives each half of the level.
NOISY = 2


@dataclass(frozen=True)
class Configuration:
    """A gate split and the number of the decision that reads it, all before it holds that told nothing."""

    domains: int
    recordings: int
    per_recording: int
    decision: int = 1

    @property
    def name(self) -> str:
        samples = self.domains * self.recordings * self.per_recording
        return f"{samples:,} samples, {self.domains} domains, decision {self.decision}"

    @property
    def key(self) -> str:
        return f"{self.domains}x{self.recordings}x{self.per_recording}.decision_{self.decision}"

    @property
    def claimed(self) -> Claim:
        policy = GateConfig()
        return claim(policy.alpha, policy.decisions, (None,) * (self.decision - 1))

    @property
    def design(self) -> Design:
        """Over domains, or over recordings within each where there are fewer than the policy asks for."""
        if self.domains >= GateConfig().min_domains:
            return Spread(DISCORDANT, self.recordings * self.per_recording, DOMAIN_SD).over(self.domains)
        return Design(self.domains * self.recordings, self.domains, math.sqrt(DISCORDANT / self.per_recording))

    @property
    def detectable(self) -> float:
        """The gain that the gate says it shows four times in five."""
        return detectable(self.design, self.claimed.level / NOISY, GateConfig().effects.error)


CONFIGURATIONS = (
    Configuration(50, 8, 50),
    Configuration(50, 8, 50, 100),
    Configuration(50, 8, 50, 365),
    Configuration(20, 8, 50),
    Configuration(10, 8, 125),
    Configuration(5, 8, 250),
    Configuration(3, 14, 26),
)


def power(of: Configuration, gain: float, decisions: int, seed: int) -> float:
    """The share of decisions by the real gate that promote a candidate with this true gain."""
    rng = np.random.default_rng([seed, of.domains, of.decision])
    policy, claimed = GateConfig(), of.claimed
    promoted = [decide(_evidence(of, gain, rng), policy, claimed=claimed, seed=0).outcome for _ in range(decisions)]
    return promoted.count("promote") / decisions


def _evidence(of: Configuration, gain: float, rng: np.random.Generator) -> Evidence:
    shape = (of.domains, of.recordings, of.per_recording)
    shift = rng.normal(0, DOMAIN_SD, of.domains)
    if of.domains < GateConfig().min_domains:
        # The verdict is for these domains only: theirs is the gain.
        shift -= shift.mean()
    better = (gain + shift)[:, None, None]
    either = rng.random(shape) < np.maximum(DISCORDANT, np.abs(better))
    won = rng.random(shape) < (1 + better / np.maximum(DISCORDANT, np.abs(better))) / 2
    base = rng.random(shape) < 0.8
    candidate, champion = np.where(either, won, base), np.where(either, ~won, base)
    ratio = np.exp(rng.normal(0, LATENCY_SD, RESTARTS))
    domains = np.repeat(np.array([f"d{i:02d}" for i in range(of.domains)]), of.recordings * of.per_recording)
    groups = np.tile(np.repeat(np.array([f"r{i:02d}" for i in range(of.recordings)]), of.per_recording), of.domains)
    return Evidence(
        Measured("candidate", candidate.ravel(), ratio, size_kb=100.0),
        Measured("champion", champion.ravel(), np.ones(RESTARTS), size_kb=100.0),
        np.ones(len(domains), dtype=np.int64),  # an answer is 1 where it is right
        domains,
        groups,
    )


@dataclass(frozen=True)
class Sizes:
    """How often Student's bound over domains, which the gate's is never below, passes a true zero: share by level."""

    domains: int
    shares: dict[float, float]
    bootstrap_share: float


def sizes(domains: int, levels: Sequence[float], times: int, seed: int, per_domain: int = 400) -> Sizes:
    """The shares by simulation; beside them that of the percentile bootstrap at a nominal 5 %."""
    rng = np.random.default_rng([seed, domains])
    passed = dict.fromkeys(levels, 0)
    bootstrap = looked = 0
    chunk = max(4_000_000 // domains, 1)
    weights = rng.multinomial(domains, np.full(domains, 1 / domains), 1000) / domains
    for start in range(0, times, chunk):
        shape = (min(chunk, times - start), domains)
        of_domain = rng.normal(0, DOMAIN_SD, shape)
        either = rng.binomial(per_domain, DISCORDANT, shape)
        worse = (2 * rng.binomial(either, (1 + of_domain / DISCORDANT) / 2) - either) / per_domain
        spread = np.sqrt(variance_of_mean(worse, 1 / per_domain))
        for level in levels:
            passed[level] += int((worse.mean(axis=1) + upper_quantile(level, domains - 1) * spread <= 0).sum())
        if looked < 10_000:
            few = worse[: 10_000 - looked]
            bootstrap += int((np.quantile(few @ weights.T, 0.95, axis=1) < 0).sum())
            looked += len(few)
    return Sizes(domains, {level: count / times for level, count in passed.items()}, bootstrap / looked)
