"""The gates that are compared: evernas's own, read through its own functions, and those that people use.

Ours is screened before it is asked: Student's bound is never above the bound that the gate takes, so what Student's
bound holds the gate holds too, and `evernas.gate.decide` is called for all the rest. tests/benchmarks/test_gate.py
compares this with calling it always.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import lru_cache

import numpy as np
from gate_world import PER_DOMAIN, Bits, Floats, Night

from evernas.config import GateConfig
from evernas.gate import claim, decide, publish
from evernas.gate.estimate import variance_of_mean
from evernas.gate.student import upper_quantile

TOLERANCE = 1e-9


class Gate(ABC):
    """A gate over many histories at once; what it tells is for the adversary to read."""

    name: str
    # What a reader of a hold sees of the difference to the champion: nothing, or the figure itself.
    shows_holds = False

    @classmethod
    def meets(cls, adversary: str) -> bool:
        """Whether it is put before this adversary: one that trades for speed needs a gate that takes speed for gain."""
        return adversary != "quality for speed"

    def __init__(self, histories: int, seed: int) -> None:
        self.histories, self.rng = histories, np.random.default_rng([seed, 99])
        self.promotions = np.zeros(histories, dtype=int)
        # What was told: NaN where nothing, else the difference in error as published.
        self.shown = np.full(histories, np.nan)
        self.near = np.zeros(histories, dtype=bool)

    @abstractmethod
    def promotes(self, tonight: Night) -> Bits:
        """Which histories promote tonight's candidate."""

    def needed(self) -> Floats:
        """The measured gain at which a candidate is promoted, about, by what is public."""
        return np.zeros(self.histories)

    def aim(self) -> Floats:
        """The true gain at which a hold would tell most."""
        return np.zeros(self.histories)

    def hears(self) -> Bits:
        """Where a hold can tell something at all tonight."""
        return np.full(self.histories, self.shows_holds)

    def night(self, tonight: Night) -> Bits:
        """Decide, and tell."""
        self.near = np.zeros(self.histories, dtype=bool)
        promoted = self.promotes(tonight)
        self.promotions += promoted
        self.shown = np.where(promoted | self.shows_holds, tonight.worse.mean(axis=1), np.nan)
        return promoted


class Screen:
    """What Student's bounds and the measured figures say of a night, for all histories at once.

    `possible` are those that Student's bounds would not hold, `near` those that the measured figures would not.
    `shown` and `certain` say by rule which pass by Student's bounds, and which of these pass surely.
    """

    def __init__(self, alive: Bits, near: Bits, shown: dict[str, Bits], certain: dict[str, Bits]) -> None:
        self.shown, self.certain = shown, certain
        self.near: Bits = near & alive
        self.possible: Bits = np.logical_and.reduce([alive, *shown.values()])

    def told_surely(self, history: int) -> str | None:
        """What a hold of a near candidate tells, if Student's bounds settle it: the first rule that surely fails."""
        for rule, shown in self.shown.items():
            if not shown[history]:
                return rule
            if not self.certain[rule][history]:
                return None
        return None


def by_margins(tonight: Night, levels: Floats, policy: GateConfig) -> Screen:
    """A night as the rules of dominance see it."""
    margins, effects, at = policy.margins, policy.effects, np.maximum(levels, 1e-300)
    factor = np.array([factor_of(level, tonight.worse.shape[1] - 1) for level in at])
    ratio_factor = np.array([factor_of(level, tonight.ratio.shape[1] - 1) for level in at])
    ratio, ratio_error = mean_and_error(tonight.ratio, 0.0)
    slowest = np.expm1(ratio + ratio_factor * ratio_error)
    mean, error = mean_and_error(tonight.worse, 1 / PER_DOMAIN)
    upper = mean + factor * error
    no_slower = slowest <= margins.latency_ms + TOLERANCE
    faster = slowest <= -effects.latency_ms + TOLERANCE
    shown = {
        "better": faster | (upper <= -effects.error + TOLERANCE),
        "no_worse:error": upper <= margins.error + TOLERANCE,
    }
    # Latency's bound is Student's: what it shows is certain.
    certain = {"better": faster, "no_worse:error": np.zeros(len(mean), dtype=bool)}
    measured_faster = np.expm1(ratio) <= -effects.latency_ms + TOLERANCE
    near = (measured_faster | (mean <= -effects.error + TOLERANCE)) & (mean <= margins.error + TOLERANCE)
    if tonight.worse_than_anchor is not None:
        below, spread = mean_and_error(tonight.worse_than_anchor, 1 / PER_DOMAIN)
        shown["anchor"] = below + factor * spread <= margins.error + TOLERANCE
        certain["anchor"] = certain["no_worse:error"]
        near &= below <= margins.error + TOLERANCE
    return Screen(no_slower & (levels > 0), near, shown, certain)


class Ours(Gate):
    """evernas.gate as it is shipped, with the default policy."""

    name = "evernas"

    @classmethod
    def meets(cls, adversary: str) -> bool:
        return True

    def __init__(self, histories: int, seed: int, policy: GateConfig | None = None) -> None:
        super().__init__(histories, seed)
        self.policy = policy or GateConfig()
        self.told: list[list[str | None]] = [[] for _ in range(histories)]
        # What was told since the last promotion.
        self.since: list[set[str]] = [set() for _ in range(histories)]
        self.calls = 0

    def levels(self) -> Floats:
        """The level of each history's next decision."""
        return np.array([_level(self.policy.alpha, self.policy.decisions, tuple(told)) for told in self.told])

    def needed(self) -> Floats:
        factors = np.array([factor_of(max(level, 1e-300) / 2, 49) for level in self.levels()])
        return self.policy.effects.error + factors * 0.00224

    def aim(self) -> Floats:
        return np.full(self.histories, self.policy.effects.error)

    def hears(self) -> Bits:
        return np.array(["better" not in since for since in self.since])

    def screen(self, tonight: Night) -> Screen:
        """Which histories need not be asked."""
        return by_margins(tonight, self.levels(), self.policy)

    def promotes(self, tonight: Night) -> Bits:
        policy, screen = self.policy, self.screen(tonight)
        promoted = np.zeros(self.histories, dtype=bool)
        for h in range(self.histories):
            kind = None
            since = self.since[h]
            if screen.possible[h] or (screen.near[h] and screen.told_surely(h) is None):
                self.calls += 1
                claimed = claim(policy.alpha, policy.decisions, self.told[h])
                verdict = decide(tonight.evidence(h), policy, claimed=claimed, seed=0)
                kind = publish(verdict, since)[1]
                promoted[h] = verdict.outcome == "promote"
            elif screen.near[h]:
                rule = screen.told_surely(h)
                kind = None if rule in since else rule
            self.near[h] = kind == "better"
            self.told[h].append(kind)
            if kind is not None:
                self.since[h] = set() if kind == "promotion" else since | {kind}
        return promoted


class OursTellingBounds(Ours):
    """evernas's levels, but a hold shows its bound rounded to the half-width, as if that were free."""

    name = "evernas, if holds told rounded bounds"

    @classmethod
    def meets(cls, adversary: str) -> bool:
        return adversary == "everything published"

    def promotes(self, tonight: Night) -> Bits:
        width = self._width()
        promoted = super().promotes(tonight)
        # Holds are not paid for here, promotions are.
        self.told = [[kind if kind == "promotion" else None for kind in told] for told in self.told]
        self.near = np.round(tonight.worse.mean(axis=1) / width) <= -1
        return promoted

    def aim(self) -> Floats:
        return self._width() / 2

    def hears(self) -> Bits:
        return np.ones(self.histories, dtype=bool)

    def _width(self) -> Floats:
        return self.needed() - self.policy.effects.error


class OursWithoutAnchor(Ours):
    """evernas's gate with the champion as the only measure."""

    name = "evernas without the anchor"

    @classmethod
    def meets(cls, adversary: str) -> bool:
        return adversary == "quality for speed"

    def promotes(self, tonight: Night) -> Bits:
        alone = replace(tonight, worse_than_anchor=None, won_of_anchor=None, lost_to_anchor=None)
        return super().promotes(alone)


class Point(Gate):
    """The point estimate is better; what most pipelines do, and their tracking server shows every figure."""

    name = "point estimate greater"
    shows_holds = True

    def promotes(self, tonight: Night) -> Bits:
        return tonight.worse.mean(axis=1) < 0


class PointOrEqual(Gate):
    """The point estimate is no worse: also promotes ties."""

    name = "point estimate greater or equal"
    shows_holds = True

    def promotes(self, tonight: Night) -> Bits:
        return tonight.worse.mean(axis=1) <= 0


class Unpaired(Gate):
    """A two-sample z-test of the accuracies at 5 %, as if the two models had seen different samples."""

    name = "unpaired test at 5 %"
    shows_holds = True
    base = 0.2

    def promotes(self, tonight: Night) -> Bits:
        samples = tonight.worse.shape[1] * PER_DOMAIN
        ours = np.clip(self.base + tonight.worse.mean(axis=1), 0, 1)
        spread = np.sqrt((ours * (1 - ours) + self.base * (1 - self.base)) / samples)
        return tonight.worse.mean(axis=1) + upper_quantile(0.05, 1e6) * spread < 0

    def needed(self) -> Floats:
        return np.full(self.histories, 1.645 * np.sqrt(2 * 0.16 / 20_000))


class PercentileBootstrap(Gate):
    """The 95 % percentile bootstrap over domains, paired, 1,000 resamples."""

    name = "percentile bootstrap at 5 %"
    shows_holds = True

    def promotes(self, tonight: Night) -> Bits:
        domains = tonight.worse.shape[1]
        weights = self.rng.multinomial(domains, np.full(domains, 1 / domains), 1000) / domains
        return np.quantile(tonight.worse @ weights.T, 0.95, axis=1) < 0

    def needed(self) -> Floats:
        return np.full(self.histories, 1.645 * 0.00224)


def mean_and_error(values: Floats, step: float) -> tuple[Floats, Floats]:
    return values.mean(axis=-1), np.sqrt(variance_of_mean(values, step))


@lru_cache(maxsize=200_000)
def factor_of(level: float, df: float) -> float:
    return upper_quantile(level, df)


@lru_cache(maxsize=500_000)
def _level(alpha: float, decisions: int, told: tuple[str | None, ...]) -> float:
    return claim(alpha, decisions, told).level


GATES = (Ours, OursTellingBounds, Point, PointOrEqual, Unpaired, PercentileBootstrap)
