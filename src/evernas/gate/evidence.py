"""What the gate is shown: answers, latencies and sizes of candidate, champion and anchor; nothing is judged here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.agreement import Agreement

PER_RESTART = ("latency_ms", "latency_p95_ms", "load_p95_ms", "cold_start_ms", "energy_mj", "cost_per_million")
EXACT = ("size_kb", "peak_memory_mb")
SEARCHED = ("robust_error", "worst_domain_error")
"""Shares of the search split's rows: figures as they are, which a constraint bounds and nothing compares."""
METRICS = ("error", *PER_RESTART, *EXACT, *SEARCHED)


@dataclass(frozen=True, eq=False)
class Measured:
    """What is known of one model. What was measured with noise is one value per process.

    `answers` holds the class that it answers to each sample, `scores` (samples, classes) what it answers to each class,
    which only AUROC needs. None is 'not measured'. `agreement` compares the gate's answers with the device's; None
    where the device's were not recorded. `cost_per_million` is money per million answers. `robust_error` is the largest
    share of wrong answers under any corruption of the search split, `worst_domain_error` that in any of its domains.
    """

    digest: str
    answers: NDArray[Any] | Sequence[int] | None
    latency_ms: NDArray[Any] | Sequence[float] | None = None
    latency_p95_ms: NDArray[Any] | Sequence[float] | None = None
    size_kb: float | None = None
    peak_memory_mb: float | None = None
    agreement: Agreement | None = None
    cold_start_ms: NDArray[Any] | Sequence[float] | None = None
    energy_mj: NDArray[Any] | Sequence[float] | None = None
    load_p95_ms: NDArray[Any] | Sequence[float] | None = None
    cost_per_million: NDArray[Any] | Sequence[float] | None = None
    scores: NDArray[Any] | Sequence[Sequence[float]] | None = None
    robust_error: float | None = None
    worst_domain_error: float | None = None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Paired answers on one gate split and paired latencies of one interleaved session.

    Entry i of `answers`, `labels`, `domains` and `groups` is of sample i, for all models; entry r of a latency is of
    restart r, in which both models ran. `labels` are the true classes. `champion` is None only where none was ever
    promoted or imported, `anchor` also where it is the champion. `new_classes` names the class of each sample whose
    class the champion or the anchor does not know, and is empty for the others; None where they know all. `classes` is
    how many they all know, the first ones, for the quality metrics of whole domains. `corrupted` holds the numbers of
    the samples that were also answered under corruptions, and `worse_under` for each corruption and such sample 1 where
    the candidate alone is wrong, -1 where the champion alone is, else 0; None where no rule asks for it.
    """

    candidate: Measured
    champion: Measured | None
    labels: NDArray[Any] | Sequence[int]
    domains: NDArray[Any] | Sequence[str]
    groups: NDArray[Any] | Sequence[str]
    anchor: Measured | None = None
    new_classes: NDArray[Any] | Sequence[str] | None = None
    classes: int | None = None
    corrupted: NDArray[Any] | Sequence[int] | None = None
    worse_under: Mapping[str, NDArray[Any] | Sequence[int]] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which samples are of classes that all models know."""
        if self.new_classes is None:
            return np.ones(len(self.domains), dtype=bool)
        return np.asarray([not name for name in self.new_classes], dtype=bool)
