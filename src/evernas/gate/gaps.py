"""Whether the evidence is complete and possible: a sentence for whatever is missing or cannot be true."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.estimate import grouping
from evernas.gate.evidence import EXACT, METRICS, PER_RESTART, SEARCHED, Evidence, Measured
from evernas.gate.policy import NEVER, OBJECTIVES, Quality
from evernas.gate.quality import undefined


def measured_gaps(
    candidate: Measured,
    champion: Measured | None,
    objectives: Sequence[str],
    constrained: Sequence[str],
    anchor: Measured | None = None,
    traded: Sequence[str] = (),
) -> Iterator[str]:
    """Sentences that say what is missing or cannot be true of what was measured without the gate split.

    Of the anchor only what is traded was measured.
    """
    unknown = sorted(set(objectives) - set(OBJECTIVES))
    if unknown:
        yield f"The gate cannot compare {', '.join(unknown)}: use {', '.join(OBJECTIVES)}."
    unknown = sorted(set(constrained) - set(METRICS))
    if unknown:
        yield f"The gate cannot bound {', '.join(unknown)}: use {', '.join(METRICS)}."
    models = [("candidate", candidate, {*objectives, *constrained})]
    if champion is not None:
        models.append(("champion", champion, {*objectives}))
    if anchor is not None and traded:
        models.append(("anchor", anchor, {*traded}))
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
        for metric in SEARCHED:
            if metric in metrics:
                yield from _share_gaps(name, metric, getattr(model, metric))
    for name, model, metrics in models[1:]:
        for metric in (metric for metric in PER_RESTART if metric in metrics):
            ours, theirs = getattr(candidate, metric), getattr(model, metric)
            if ours is not None and theirs is not None and len(ours) != len(theirs):
                yield (
                    f"The {metric} of the candidate has {len(ours)} restarts and the {name}'s {len(theirs)}: "
                    "measure both in the same restarts."
                )


def split_gaps(evidence: Evidence, quality: Quality, min_domains: int) -> Iterator[str]:
    """Sentences that say what is missing or cannot be true of the answers on the gate split."""
    samples = len(evidence.domains)
    if samples == 0:
        yield "The gate split holds no samples."
    elif len(evidence.groups) != samples:
        yield f"There are {samples} domains for {len(evidence.groups)} recordings: give both for each sample."
    elif evidence.new_classes is not None and len(evidence.new_classes) != samples:
        yield f"There are {len(evidence.new_classes)} marks of new classes for {samples} samples: give one for each."
    elif len(evidence.labels) != samples:
        yield f"There are {len(evidence.labels)} labels for {samples} samples: give one for each."
    elif not _classes(evidence.labels):
        yield "The labels of the gate split are no classes: each must be a whole number from 0 on."
    elif quality.metric == "cost" and int(np.max(np.asarray(evidence.labels))) >= len(quality.costs or ()):
        yield "The gate split has classes that the matrix of costs lacks: give a row and a column for each."
    else:
        known = evidence.known
        labels = np.asarray(evidence.labels)[known].astype(np.int64)
        domains, groups = (np.asarray(names).astype(str)[known] for names in (evidence.domains, evidence.groups))
        yield from design_gaps(labels, domains, groups, evidence.classes, quality, min_domains)
    for name, model in _models(evidence):
        yield from _answer_gaps(name, model.answers, samples, quality)
        if quality.metric == "auroc":
            yield from _score_gaps(name, model.scores, samples, evidence.classes or 0)


def design_gaps(
    labels: NDArray[np.int64],
    domains: NDArray[np.str_],
    groups: NDArray[np.str_],
    classes: int | None,
    quality: Quality,
    min_domains: int,
) -> Iterator[str]:
    """Sentences that say why nothing is bounded on such samples of known classes, whatever the models answer.

    How many samples a recording has of a class is nothing to it: one for each that there is will do.
    """
    if not len(domains):
        yield "The gate split holds no sample of a class that the champion knows."
    yield from _recording_gaps(domains, groups, min_domains)
    yield from undefined(quality, labels, domains, classes, min_domains)


def corrupted_gaps(evidence: Evidence) -> Iterator[str]:
    """Sentences that say what is missing of the answers under corruptions of the gate split.

    What is bounded under corruptions is of the domains and recordings that the errors are compared on, and of no fewer.
    """
    if evidence.corrupted is None or not evidence.worse_under or not len(evidence.corrupted):
        yield "What candidate and champion answer under corruptions of the gate split is missing: set robustness."
        return
    rows, samples = np.asarray(evidence.corrupted), len(evidence.domains)
    if not _classes(rows) or int(rows.max()) >= samples or len(np.unique(rows)) < len(rows):
        yield f"The rows that were corrupted are no numbers of the {samples} samples of the gate split, each once."
        return
    for name, worse in evidence.worse_under.items():
        found = np.asarray(worse)
        if len(found) != len(rows) or not np.isin(found, (-1, 0, 1)).all():
            yield f"Under {name} there are no {len(rows)} differences of -1, 0 or 1, one for each row."
    if len(evidence.groups) == samples == len(evidence.known):
        yield from _left_out(evidence, rows)


def _left_out(evidence: Evidence, rows: NDArray[Any]) -> Iterator[str]:
    known = evidence.known
    if not known[rows].all():
        yield "Rows of classes that the champion does not know were corrupted: compare both on what both know."
    domains, groups = (np.asarray(names).astype(str)[known] for names in (evidence.domains, evidence.groups))
    grouped = grouping(domains, groups)
    lost = np.setdiff1d(grouped.recording_of, grouped.recording_of[np.isin(np.flatnonzero(known), rows)])
    if len(lost):
        yield (
            f"Of {len(lost)} of {len(grouped.domain_of)} recordings no row was corrupted, one of the domain "
            f"{grouped.names[grouped.domain_of[lost[0]]]}: corrupt rows of each recording."
        )


def _models(evidence: Evidence) -> Iterator[tuple[str, Measured]]:
    yield "candidate", evidence.candidate
    if evidence.champion is not None:
        yield "champion", evidence.champion
    if evidence.anchor is not None:
        yield "anchor", evidence.anchor


def _recording_gaps(domains: NDArray[Any], groups: NDArray[Any], min_domains: int) -> Iterator[str]:
    names, of_domain = np.unique(domains, return_inverse=True)
    if len(names) < min_domains:
        recordings = [len(np.unique(groups[of_domain == d])) for d in range(len(names))]
        for domain in (name for name, count in zip(names, recordings, strict=True) if count < 2):
            if min_domains == NEVER:
                yield (
                    f"The domain {domain} has one recording in the gate split, and where recordings are split each "
                    "domain needs two there: deliver more of it."
                )
            else:
                yield (
                    f"The domain {domain} has one recording, and with {len(names)} of {min_domains} domains each needs "
                    "two: add recordings or domains to the gate split."
                )


def _answer_gaps(
    name: str, answers: NDArray[Any] | Sequence[int] | None, samples: int, quality: Quality
) -> Iterator[str]:
    if answers is None:
        yield f"The {name} has no answers on the gate split."
    elif len(answers) != samples:
        yield f"The {name} has {len(answers)} answers for {samples} samples of the gate split."
    elif not _classes(answers):
        yield f"The {name} has answers that are no classes: each must be a whole number from 0 on."
    elif quality.metric == "cost" and samples and int(np.max(np.asarray(answers))) >= len(quality.costs or ()):
        yield f"The {name} answers classes that the matrix of costs lacks: give a row and a column for each."


def _score_gaps(name: str, scores: Any, samples: int, classes: int) -> Iterator[str]:
    found = None if scores is None else np.asarray(scores, dtype=np.float64)
    if found is None:
        yield f"The {name} has no scores on the gate split, of which the AUROC is."
    elif found.ndim != 2 or len(found) != samples or found.shape[1] < classes:
        yield (
            f"The {name} has scores of the shape {found.shape} for {samples} samples of {classes} classes: give one "
            "for each."
        )
    elif not np.isfinite(found).all():
        yield f"The {name} has scores that are not finite: it answers nothing there."


def _classes(values: NDArray[Any] | Sequence[int]) -> bool:
    """Whether all are whole numbers from 0 on."""
    found = np.asarray(values)
    return len(found) == 0 or (found.dtype.kind in "iub" and int(found.min()) >= 0)


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


def _share_gaps(name: str, metric: str, value: float | None) -> Iterator[str]:
    if value is None:
        yield f"The {metric} of the {name} is missing."
    elif not (isinstance(value, int | float) and 0 <= value <= 1):
        yield f"The {metric} of the {name} is {value}, which is no share from 0 to 1."


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0
