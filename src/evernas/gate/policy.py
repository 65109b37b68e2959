"""What the gate asks of a policy: the shapes that a config's gate section fits; no values live here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

OBJECTIVES = (
    "error",
    "latency_ms",
    "load_p95_ms",
    "cold_start_ms",
    "energy_mj",
    "cost_per_million",
    "peak_memory_mb",
    "size_kb",
)
"""All that can be compared, in the order of the rules."""
USUAL = ("error", "latency_ms", "size_kb")


class Quality(Protocol):
    """What is called error: the loss of a quality metric."""

    @property
    def metric(self) -> Literal["error", "macro_f1", "auroc", "cost"]:
        """Share of wrong answers, 1 - macro-F1, 1 - AUROC, or the mean cost of an answer."""

    @property
    def costs(self) -> Sequence[Sequence[float]] | None:
        """What each answer costs, from 0 to 1: a row per true class, a column per answer. Of the metric cost only."""


class PerObjective(Protocol):
    """An amount per objective: error as a difference of shares, the others relative."""

    @property
    def error(self) -> float:
        """Difference in error, as a share."""

    @property
    def latency_ms(self) -> float:
        """Relative difference in median latency."""

    @property
    def load_p95_ms(self) -> float:
        """Relative difference in the 95th percentile under load."""

    @property
    def cold_start_ms(self) -> float:
        """Relative difference in cold start."""

    @property
    def energy_mj(self) -> float:
        """Relative difference in energy."""

    @property
    def cost_per_million(self) -> float:
        """Relative difference in money."""

    @property
    def peak_memory_mb(self) -> float:
        """Relative difference in peak memory."""

    @property
    def size_kb(self) -> float:
        """Relative difference in size."""


class Prices(Protocol):
    """What a unit of each objective is worth; None where the objective is not traded."""

    @property
    def error(self) -> float:
        """The price of a point (a hundredth) of error."""

    @property
    def latency_ms(self) -> float | None:
        """The price of a millisecond of median latency."""

    @property
    def load_p95_ms(self) -> float | None:
        """The price of a millisecond of the 95th percentile under load."""

    @property
    def cold_start_ms(self) -> float | None:
        """The price of a millisecond of cold start."""

    @property
    def energy_mj(self) -> float | None:
        """The price of a millijoule of an inference."""

    @property
    def cost_per_million(self) -> float | None:
        """The price of a unit of money for a million answers."""

    @property
    def peak_memory_mb(self) -> float | None:
        """The price of a megabyte of peak memory."""

    @property
    def size_kb(self) -> float | None:
        """The price of a kilobyte."""


class TradeOff(Protocol):
    """Promotion by worth: the sum of priced objectives."""

    @property
    def prices(self) -> Prices:
        """What a unit of each objective is worth."""

    @property
    def effect(self) -> float:
        """The least gain of worth that counts."""

    @property
    def margin(self) -> float | None:
        """How much less worth than the anchor is still no less; the effect if None."""


class Constraint(Protocol):
    """The largest value of a metric that a champion may have; already chosen for the device."""

    @property
    def metric(self) -> str:
        """What is bounded."""

    @property
    def max(self) -> float:
        """Largest allowed value; error is a share."""


NEVER = 2**31
"""More domains than there are."""


class Policy(Protocol):
    """When a candidate may become champion."""

    @property
    def alpha(self) -> float:
        """Chance of a false promotion over the life of a gate split."""

    @property
    def decisions(self) -> int:
        """How many decisions a gate split is good for."""

    @property
    def max_disagreement(self) -> float:
        """Largest share of answers, by its bound, that may differ between the gate and the device."""

    @property
    def quality(self) -> Quality:
        """What error is the loss of."""

    @property
    def resamples(self) -> int:
        """Bootstrap resamples."""

    @property
    def max_error(self) -> float:
        """Largest error of a first champion, by its bound."""

    @property
    def margins(self) -> PerObjective:
        """How much worse is still no worse."""

    @property
    def effects(self) -> PerObjective:
        """How much better is strictly better."""

    @property
    def trade_off(self) -> TradeOff | None:
        """Prices by which what is worth more is promoted; None for dominance with margins."""

    @property
    def domain_margin(self) -> float:
        """A domain shown worse than this is a veto."""

    @property
    def conditions_margin(self) -> float | None:
        """How much worse than the champion's the error may be under any corruption; None where that is not asked."""

    @property
    def min_domains(self) -> int:
        """With fewer domains, recordings are the unit."""


def least_domains(policy: Policy, within: bool) -> int:
    """From how many domains on they are the unit: never where models were trained on others of their recordings, since
    then nothing is shown about other domains, however many judge."""
    return NEVER if within else policy.min_domains
