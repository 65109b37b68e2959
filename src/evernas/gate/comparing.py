"""From evidence to what the rules judge: the candidate's error, its differences, and its measured comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.estimate import Clusters, Estimate, Grouping, clustered_mean, grouping, restart_mean
from evernas.gate.evidence import PER_RESTART, Evidence, Measured
from evernas.gate.policy import OBJECTIVES, Policy, least_domains
from evernas.gate.quality import NAMES, OF_DOMAINS, losses, weight_of_one
from evernas.gate.rules import Comparison


class Split:
    """The losses on the gate split, grouped by domain and recording. What is called error is the policy's loss."""

    def __init__(self, evidence: Evidence, policy: Policy, seed: int, within: bool = False) -> None:
        self._evidence, self._policy, self._seed = evidence, policy, seed
        self._least = least_domains(policy, within)
        self._domains, self._groups = _names(evidence.domains), _names(evidence.groups)
        self._labels = np.asarray(evidence.labels).astype(np.int64)

    @cached_property
    def error(self) -> Estimate:
        """The candidate's error on all samples; where it is a figure of whole domains, on the classes that all know."""
        candidate = self._evidence.candidate
        if self._policy.quality.metric in OF_DOMAINS:
            return self._mean(self._known.of(self._losses(candidate)))
        everything = grouping(self._domains, self._groups)
        return self._mean(everything.of(self._losses_on(candidate, np.ones(len(self._labels), dtype=bool), everything)))

    def worse(self, model: Measured) -> Clusters:
        """By how much the candidate's error is above the model's, on the classes that all models know."""
        return self._known.of(self._losses(self._evidence.candidate) - self._losses(model))

    def difference(self, model: Measured) -> Estimate:
        """The mean of `worse`."""
        return self._mean(self.worse(model))

    def against(self, name: str, estimate: Estimate, allowance: float) -> Comparison:
        """The candidate's error beside that of the champion or the anchor, given the estimate of their difference."""
        margin, effect = self._policy.margins.error, self._policy.effects.error
        return Comparison("error", estimate.value, estimate, margin, effect, allowance, name, self.called)

    @property
    def called(self) -> str:
        """What the error is called."""
        return NAMES[self._policy.quality.metric]

    @cached_property
    def of_one(self) -> float:
        """How much a share of samples weighs in the error, at most."""
        labels = self._labels[self._evidence.known]
        return weight_of_one(self._policy.quality, labels, self._known, self._evidence.classes)

    def errors_of_new_classes(self) -> dict[str, Estimate | None]:
        """The share of wrong answers on each class that the champion does not know; None where a bound needs more."""
        if self._evidence.new_classes is None:
            return {}
        marks = _names(self._evidence.new_classes)
        return {str(name): self._error_on(marks == name) for name in np.unique(marks[marks != ""])}

    def under(self) -> dict[str, Estimate]:
        """By how much the candidate's share of wrong answers is above the champion's under each corruption."""
        rows = np.asarray(self._evidence.corrupted, dtype=np.int64)
        grouped, policy = grouping(self._domains[rows], self._groups[rows]), self._policy
        return {
            name: clustered_mean(grouped.of(_floats(worse)), self._least, policy.resamples, self._seed)
            for name, worse in (self._evidence.worse_under or {}).items()
        }

    def _error_on(self, chosen: NDArray[np.bool_]) -> Estimate | None:
        wrong = np.asarray(self._evidence.candidate.answers)[chosen] != self._labels[chosen]
        clusters = grouping(self._domains[chosen], self._groups[chosen]).of(wrong.astype(np.float64))
        enough = len(clusters.names) >= self._least
        if not enough and min(len(r) for r in clusters.recordings) < 2:
            return None
        return clustered_mean(clusters, self._least, self._policy.resamples, self._seed)

    def _losses(self, model: Measured) -> NDArray[np.float64]:
        return self._losses_on(model, self._evidence.known, self._known)

    def _losses_on(self, model: Measured, chosen: NDArray[np.bool_], grouped: Grouping) -> NDArray[np.float64]:
        return losses(
            self._policy.quality,
            np.asarray(model.answers).astype(np.int64)[chosen],
            None if model.scores is None else _floats(model.scores)[chosen],
            self._labels[chosen],
            grouped,
            self._evidence.classes,
        )

    @cached_property
    def _known(self) -> Grouping:
        known = self._evidence.known
        return grouping(self._domains[known], self._groups[known])

    def _mean(self, clusters: Clusters) -> Estimate:
        policy = self._policy
        return clustered_mean(clusters, self._least, policy.resamples, self._seed, self.of_one)


def compare_measured(
    candidate: Measured, champion: Measured, objectives: Sequence[str], policy: Policy
) -> list[Comparison]:
    """The objectives other than error, which need no gate split, in the gate's order."""
    chosen = [name for name in OBJECTIVES if name != "error" and name in objectives]
    return [_compare(name, candidate, champion, policy) for name in chosen]


def _compare(name: str, candidate: Measured, champion: Measured, policy: Policy) -> Comparison:
    margin, effect = getattr(policy.margins, name), getattr(policy.effects, name)
    ours, theirs = _floats(getattr(candidate, name)), _floats(getattr(champion, name))
    if name in PER_RESTART:
        ratio = restart_mean(np.log(ours) - np.log(theirs))
        return Comparison(name, float(np.expm1(ratio.value)), ratio, margin, effect)
    return Comparison(name, float((ours - theirs) / theirs), None, margin, effect)


def _floats(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _names(values: Sequence[str] | NDArray[Any]) -> NDArray[np.str_]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "U":
        return values
    return np.asarray([str(value) for value in values], dtype=np.str_)
