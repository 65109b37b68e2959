"""What the gate asks of a policy: the shapes that a config's gate section fits; no values live here."""

from __future__ import annotations

from typing import Protocol

OBJECTIVES = ("error", "latency_ms", "size_kb")


class PerObjective(Protocol):
    """An amount per objective: error as a difference of shares, the others relative."""

    @property
    def error(self) -> float:
        """Difference in error, as a share."""

    @property
    def latency_ms(self) -> float:
        """Relative difference in median latency."""

    @property
    def size_kb(self) -> float:
        """Relative difference in size."""


class Constraint(Protocol):
    """The largest value of a metric that a champion may have; already chosen for the device."""

    @property
    def metric(self) -> str:
        """What is bounded."""

    @property
    def max(self) -> float:
        """Largest allowed value; error is a share."""


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
    def domain_margin(self) -> float:
        """A domain shown worse than this is a veto."""

    @property
    def min_domains(self) -> int:
        """With fewer domains, recordings are the unit."""
