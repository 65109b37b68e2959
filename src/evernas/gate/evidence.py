"""What the gate is shown: outcomes, latencies and sizes of candidate and champion, and whether they are complete."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.policy import OBJECTIVES

PER_RESTART = ("latency_ms", "latency_p95_ms")
EXACT = ("size_kb", "peak_memory_mb")
METRICS = ("error", *PER_RESTART, *EXACT)


@dataclass(frozen=True, eq=False)
class Measured:
    """What is known of one model. Latencies are one value per process restart; None is 'not measured'."""

    digest: str
    correct: NDArray[Any] | Sequence[bool] | None
    latency_ms: NDArray[Any] | Sequence[float] | None = None
    latency_p95_ms: NDArray[Any] | Sequence[float] | None = None
    size_kb: float | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Paired outcomes on one gate split and paired latencies of one interleaved session.

    Entry i of `correct`, `domains` and `groups` is of sample i, for both models; entry r of a latency is of restart r,
    in which both models ran. `champion` is None only where none was ever promoted or imported.
    """

    candidate: Measured
    champion: Measured | None
    domains: NDArray[Any] | Sequence[str]
    groups: NDArray[Any] | Sequence[str]


def gaps(evidence: Evidence, objectives: Sequence[str], constrained: Sequence[str], min_domains: int) -> Iterator[str]:
    """Sentences that say what is missing or cannot be true; none if the evidence is complete."""
    unknown = sorted(set(objectives) - set(OBJECTIVES))
    if unknown:
        yield f"The gate cannot compare {', '.join(unknown)}: use {', '.join(OBJECTIVES)}."
    unknown = sorted(set(constrained) - set(METRICS))
    if unknown:
        yield f"The gate cannot bound {', '.join(unknown)}: use {', '.join(METRICS)}."
    models = [("candidate", evidence.candidate, {*objectives, *constrained, "error"})]
    if evidence.champion is not None:
        models.append(("champion", evidence.champion, {*objectives, "error"}))
    before = len(evidence.domains)
    yield from _split_gaps(evidence, min_domains)
    for name, model, metrics in models:
        if not isinstance(model.digest, str) or not model.digest:
            yield f"The {name} has no digest, so nobody can say what was judged."
        for metric in METRICS:
            if metric == "error":
                yield from _outcome_gaps(name, model.correct, before)
            elif metric in metrics and metric in PER_RESTART:
                yield from _restart_gaps(name, metric, getattr(model, metric))
            elif metric in metrics:
                yield from _exact_gaps(name, metric, getattr(model, metric))
    if evidence.champion is not None and "latency_ms" in objectives:
        ours, theirs = evidence.candidate.latency_ms, evidence.champion.latency_ms
        if ours is not None and theirs is not None and len(ours) != len(theirs):
            yield (
                f"The latency_ms of the candidate has {len(ours)} restarts and the champion's {len(theirs)}: "
                "measure both in the same restarts."
            )


def _split_gaps(evidence: Evidence, min_domains: int) -> Iterator[str]:
    if len(evidence.domains) == 0:
        yield "The gate split holds no samples."
    if len(evidence.domains) != len(evidence.groups):
        yield (
            f"There are {len(evidence.domains)} domains for {len(evidence.groups)} recordings: "
            "give both for each sample."
        )
        return
    held: dict[str, set[str]] = {}
    for domain, group in set(zip(map(str, evidence.domains), map(str, evidence.groups), strict=True)):
        held.setdefault(domain, set()).add(group)
    if 0 < len(held) < min_domains:
        for domain in sorted(name for name, groups in held.items() if len(groups) < 2):
            yield (
                f"The domain {domain} has one recording, and with {len(held)} of {min_domains} domains each needs two: "
                "add recordings or domains to the gate split."
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
