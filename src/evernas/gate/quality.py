"""The quality metrics, each as a loss: values per sample whose mean over a domain is the domain's loss; pure.

Every recording of a domain weighs the same, as everywhere in the gate. `error` and `cost` are means over samples. The
macro-F1 and the AUROC are figures of a whole domain: their value per sample is the domain's figure plus the sample's
influence on it (Hampel 1974; for AUROC the placements of DeLong, DeLong & Clarke-Pearson 1988). Influences sum to zero,
so the mean of a domain is its figure exactly, and only what is said of single recordings is linearised.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evernas.gate.estimate import Floats, Grouping
from evernas.gate.policy import Quality

NAMES = {"error": "error", "macro_f1": "macro-F1 loss", "auroc": "AUROC loss", "cost": "cost of an answer"}
"""What each loss is called: the share of wrong answers, 1 - macro-F1, 1 - AUROC, the mean cost."""
OF_DOMAINS = ("macro_f1", "auroc")
"""The metrics that no single sample has."""
BY_ANSWER = {"error": 1.0, "cost": 1.0, "macro_f1": 3.0}
"""By how much more than its sample weighs another answer can move the loss.

It moves the F1 of the class that loses the sample by two of its samples' shares at most, and by one that of the class
that gains it. By how much it moves an AUROC, an answer does not tell.
"""


def losses(
    quality: Quality,
    answers: NDArray[np.int64],
    scores: Floats | None,
    labels: NDArray[np.int64],
    grouped: Grouping,
    classes: int | None,
) -> Floats:
    """Values per sample (n,) whose mean over a domain's recordings is its loss.

    `answers` and `labels` are classes (n,), `scores` (n, classes or more) is needed by AUROC only, `classes` how many
    of the first classes are judged, by the metrics of whole domains. What `undefined` says is to be empty.
    """
    if quality.metric == "cost":
        costs: Floats = np.asarray(quality.costs, dtype=np.float64)[labels, answers]
        return costs
    if quality.metric == "error":
        wrong: Floats = (answers != labels).astype(np.float64)
        return wrong
    assert classes is not None
    weights, domains = _weights(grouped), grouped.domain_of[grouped.recording_of]
    certain = None if scores is None else probabilities(scores)
    found = np.empty(len(labels))
    for domain in range(len(grouped.names)):
        own = domains == domain
        known = range(classes)
        if quality.metric == "macro_f1":
            parts = [_f1(labels[own] == c, answers[own] == c, weights[own]) for c in known]
        else:
            assert certain is not None
            parts = [_auroc(labels[own] == c, certain[own, c], weights[own]) for c in known]
        found[own] = 1 - np.mean(parts, axis=0)
    return found


def undefined(
    quality: Quality,
    labels: NDArray[np.int64],
    domains: NDArray[np.str_],
    classes: int | None,
    min_domains: int,
) -> Iterator[str]:
    """Sentences that say why a metric of whole domains has no figure on these samples, whatever the models answer."""
    metric = quality.metric
    if metric not in OF_DOMAINS:
        return
    if classes is None or classes < 2:
        yield f"How many classes the {NAMES[metric]} is of is not said, or fewer than two: give it."
        return
    names = np.unique(domains)
    if len(names) < min_domains:
        yield (
            f"The {NAMES[metric]} is a figure of a whole domain, of which a bound needs {min_domains} "
            f"(gate.min_domains), and the gate split has {len(names)}: add domains to it, or judge by error or cost."
        )
    for name in names:
        there = np.unique(labels[domains == name])
        lacks = sorted(set(range(classes)) - set(there.tolist()))
        if lacks:
            yield (
                f"The domain {name} has no sample of class {lacks[0]}, from 0 on, so that it has no {NAMES[metric]}: "
                "add such recordings, or leave the domain out of the gate split."
            )


def weight_of_one(quality: Quality, labels: NDArray[np.int64], grouped: Grouping, classes: int | None) -> float:
    """How much a share of samples weighs in the loss, at most: where classes weigh the same, those of the rarest do."""
    if quality.metric == "error":
        return 1.0
    if quality.metric == "cost":
        return float(np.max(np.asarray(quality.costs, dtype=np.float64)))
    assert classes is not None
    weights, of = _weights(grouped), grouped.domain_of[grouped.recording_of]
    rarest = min(
        float(weights[(of == d) & (labels == c)].sum()) for d in range(len(grouped.names)) for c in range(classes)
    )
    return 1 / (classes * rarest)


def probabilities(scores: Floats) -> Floats:
    """Scores (n, classes) as probabilities: as they are where all rows are, else by softmax."""
    values = np.asarray(scores, dtype=np.float64)
    if (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return values
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _weights(grouped: Grouping) -> Floats:
    """The weight of each sample in its domain: recordings weigh the same, and those of a domain 1 together."""
    samples = np.bincount(grouped.recording_of)
    recordings = np.bincount(grouped.domain_of)
    weights: Floats = (1 / (samples * recordings[grouped.domain_of]))[grouped.recording_of]
    return weights


def _f1(true: NDArray[np.bool_], said: NDArray[np.bool_], weights: Floats) -> Floats:
    """The F1 of one class plus the influence of each sample."""
    hits = 2.0 * (true & said)
    places = true.astype(np.float64) + said
    whole = float(weights @ places)
    f1 = float(weights @ hits) / whole
    values: Floats = f1 + (hits - f1 * places) / whole
    return values


def _auroc(true: NDArray[np.bool_], certain: Floats, weights: Floats) -> Floats:
    """The AUROC of one class against the others plus the influence of each sample; ties count half."""
    above = _share_below(certain[true], certain[~true], weights[~true])
    below = 1 - _share_below(certain[~true], certain[true], weights[true])
    positive, negative = float(weights[true].sum()), float(weights[~true].sum())
    area = float(weights[true] @ above) / positive
    values = np.full(len(true), area)
    values[true] += (above - area) / positive
    values[~true] += (below - area) / negative
    return values


def _share_below(values: Floats, others: Floats, weights: Floats) -> Floats:
    """For each value the weighted share of the others below it, and half of those equal to it."""
    order = np.argsort(others, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    ranked = others[order]
    low, high = np.searchsorted(ranked, values, "left"), np.searchsorted(ranked, values, "right")
    shares: Floats = (total[low] + total[high]) / (2 * total[-1])
    return shares
