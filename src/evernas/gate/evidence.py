"""What the gate is shown: outcomes, latencies and sizes of candidate and champion, and whether they are complete."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.agreement import Agreement
from evernas.gate.policy import OBJECTIVES

PER_RESTART = ("latency_ms", "latency_p95_ms", "cold_start_ms", "energy_mj")
EXACT = ("size_kb", "peak_memory_mb")
METRICS = ("error", *PER_RESTART, *EXACT)


@dataclass(frozen=True, eq=False)
class Measured:
    """What is known of one model. Latencies and cold starts are one value per process, energy one per window.

    None is 'not measured'. `agreement` compares the gate's answers with the device's; None where
    the device's were not recorded.
    """

    digest: str
    correct: NDArray[Any] | Sequence[bool] | None
    latency_ms: NDArray[Any] | Sequence[float] | None = None
    latency_p95_ms: NDArray[Any] | Sequence[float] | None = None
    size_kb: float | None = None
    peak_memory_mb: float | None = None
    agreement: Agreement | None = None
    cold_start_ms: NDArray[Any] | Sequence[float] | None = None
    energy_mj: NDArray[Any] | Sequence[float] | None = None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Paired outcomes on one gate split and paired latencies of one interleaved session.

    Entry i of `correct`, `domains` and `groups` is of sample i, for all models; entry r of a latency is of restart r,
    in which both models ran. `champion` is None only where none was ever promoted or imported, `anchor` also where
    it is the champion. `new_classes` names the class of each sample whose class the champion or the anchor does not
    know, and is empty for the others; None where they know all.
    """

    candidate: Measured
    champion: Measured | None
    domains: NDArray[Any] | Sequence[str]
    groups: NDArray[Any] | Sequence[str]
    anchor: Measured | None = None
    new_classes: NDArray[Any] | Sequence[str] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which samples are of classes that all models know."""
        if self.new_classes is None:
            return np.ones(len(self.domains), dtype=bool)
        return np.asarray([not name for name in self.new_classes], dtype=bool)


def measured_gaps(
    candidate: Measured, champion: Measured | None, objectives: Sequence[str], constrained: Sequence[str]
) -> Iterator[str]:
    """Sentences that say what is missing or cannot be true of what was measured without the gate split."""
    unknown = sorted(set(objectives) - set(OBJECTIVES))
    if unknown:
        yield f"The gate cannot compare {', '.join(unknown)}: use {', '.join(OBJECTIVES)}."
    unknown = sorted(set(constrained) - set(METRICS))
    if unknown:
        yield f"The gate cannot bound {', '.join(unknown)}: use {', '.join(METRICS)}."
    models = [("candidate", candidate, {*objectives, *constrained})]
    if champion is not None:
        models.append(("champion", champion, {*objectives}))
    for name, model, metrics in models:
        if not isinstance(model.digest, str) or not model.digest:
            yield f"The {name} has no digest, so nobody can say what was judged."
        if model.agreement is not None and not 0 <= model.agreement.differing <= model.agreement.compared:
            yield f"The {name} has {model.agreement.differing} differing answers of {model.agreement.compared}."
        for metric in PER_RESTART:
            if metric in metrics:
                yield from _restart_gaps(name, metric, getattr(model, metric))
        for metric in EXACT:
            if metric in metrics:
                yield from _exact_gaps(name, metric, getattr(model, metric))
    if champion is not None and "latency_ms" in objectives:
        ours, theirs = candidate.latency_ms, champion.latency_ms
        if ours is not None and theirs is not None and len(ours) != len(theirs):
            yield (
                f"The latency_ms of the candidate has {len(ours)} restarts and the champion's {len(theirs)}: "
                "measure both in the same restarts."
            )


def split_gaps(evidence: Evidence, min_domains: int) -> Iterator[str]:
    """Sentences that say what is missing or cannot be true of the outcomes on the gate split."""
    samples = len(evidence.domains)
    if samples == 0:
        yield "The gate split holds no samples."
    elif len(evidence.groups) != samples:
        yield f"There are {samples} domains for {len(evidence.groups)} recordings: give both for each sample."
    elif evidence.new_classes is not None and len(evidence.new_classes) != samples:
        yield f"There are {len(evidence.new_classes)} marks of new classes for {samples} samples: give one for each."
    else:
        yield from _domain_gaps(evidence, min_domains)
    for name, model in _models(evidence):
        yield from _outcome_gaps(name, model.correct, samples)


def _models(evidence: Evidence) -> Iterator[tuple[str, Measured]]:
    yield "candidate", evidence.candidate
    if evidence.champion is not None:
        yield "champion", evidence.champion
    if evidence.anchor is not None:
        yield "anchor", evidence.anchor


def _domain_gaps(evidence: Evidence, min_domains: int) -> Iterator[str]:
    known = evidence.known
    domains = np.asarray(evidence.domains).astype(str)[known]
    groups = np.asarray(evidence.groups).astype(str)[known]
    names, of_domain = np.unique(domains, return_inverse=True)
    if not len(names):
        yield "The gate split holds no sample of a class that the champion knows."
    if len(names) < min_domains:
        recordings = [len(np.unique(groups[of_domain == d])) for d in range(len(names))]
        for domain in (name for name, count in zip(names, recordings, strict=True) if count < 2):
            yield (
                f"The domain {domain} has one recording, and with {len(names)} of {min_domains} domains each needs "
                "two: add recordings or domains to the gate split."
            )


def _outcome_gaps(name: str, correct: NDArray[Any] | Sequence[bool] | None, samples: int) -> Iterator[str]:
    if correct is None:
        yield f"The {name} has no outcomes on the gate split."
    elif len(correct) != samples:
        yield f"The {name} has {len(correct)} outcomes for {samples} samples of the gate split."
    elif not all(value in (0, 1) for value in set(np.asarray(correct).ravel().tolist())):
        yield f"The {name} has outcomes that are neither right nor wrong: each must be true or false."


def _restart_gaps(name: str, metric: str, values: NDArray[Any] | Sequence[float] | None) -> Iterator[str]:
    if values is None:
        yield f"The {metric} of the {name} is missing: measure it on the device."
    elif len(values) < 2:
        yield f"The {metric} of the {name} has {len(values)} restarts: bounds need two."
    elif not all(_positive(value) for value in np.asarray(values).tolist()):
        yield f"The {metric} of the {name} holds a value that is no positive number: measure it again."


def _exact_gaps(name: str, metric: str, value: float | None) -> Iterator[str]:
    if value is None:
        yield f"The {metric} of the {name} is missing."
    elif not _positive(value):
        yield f"The {metric} of the {name} is {value}, which is no positive number."


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0
