"""From evidence to what the rules judge: the candidate's error, its differences, and its measured comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.estimate import Clusters, Estimate, Grouping, clustered_mean, grouping, restart_mean
from evernas.gate.evidence import Evidence, Measured
from evernas.gate.policy import OBJECTIVES, Policy
from evernas.gate.rules import Comparison


class Split:
    """The outcomes on the gate split, grouped by domain and recording."""

    def __init__(self, evidence: Evidence, policy: Policy, seed: int) -> None:
        self._evidence, self._policy, self._seed = evidence, policy, seed
        self._domains, self._groups = _names(evidence.domains), _names(evidence.groups)

    @cached_property
    def error(self) -> Estimate:
        """The candidate's error on all samples."""
        return self._mean(grouping(self._domains, self._groups).of(self._wrong))

    def worse(self, model: Measured) -> Clusters:
        """By how much the candidate's error is above the model's, on the classes that all models know."""
        difference = self._wrong - (1 - _floats(model.correct))
        return self._known.of(difference[self._evidence.known])

    def difference(self, model: Measured) -> Estimate:
        """The mean of `worse`."""
        return self._mean(self.worse(model))

    def against(self, name: str, estimate: Estimate, allowance: float) -> Comparison:
        """The candidate's error beside that of the champion or the anchor, given the estimate of their difference."""
        margin, effect = self._policy.margins.error, self._policy.effects.error
        return Comparison("error", estimate.value, estimate, margin, effect, allowance, name)

    def errors_of_new_classes(self) -> dict[str, Estimate | None]:
        """The candidate's error on each class that the champion does not know; None where a bound needs more."""
        if self._evidence.new_classes is None:
            return {}
        marks = _names(self._evidence.new_classes)
        return {str(name): self._error_on(marks == name) for name in np.unique(marks[marks != ""])}

    def _error_on(self, chosen: NDArray[np.bool_]) -> Estimate | None:
        clusters = grouping(self._domains[chosen], self._groups[chosen]).of(self._wrong[chosen])
        enough = len(clusters.names) >= self._policy.min_domains
        return self._mean(clusters) if enough or min(len(r) for r in clusters.recordings) > 1 else None

    @cached_property
    def _wrong(self) -> NDArray[np.float64]:
        return 1 - _floats(self._evidence.candidate.correct)

    @cached_property
    def _known(self) -> Grouping:
        known = self._evidence.known
        return grouping(self._domains[known], self._groups[known])

    def _mean(self, clusters: Clusters) -> Estimate:
        return clustered_mean(clusters, self._policy.min_domains, self._policy.resamples, self._seed)


def compare_measured(
    candidate: Measured, champion: Measured, objectives: Sequence[str], policy: Policy
) -> list[Comparison]:
    """The objectives other than error, which need no gate split, in the gate's order."""
    chosen = [name for name in OBJECTIVES if name != "error" and name in objectives]
    return [_compare(name, candidate, champion, policy) for name in chosen]


def _compare(name: str, candidate: Measured, champion: Measured, policy: Policy) -> Comparison:
    margin, effect = getattr(policy.margins, name), getattr(policy.effects, name)
    if name == "latency_ms":
        ratio = restart_mean(np.log(_floats(candidate.latency_ms)) - np.log(_floats(champion.latency_ms)))
        return Comparison(name, float(np.expm1(ratio.value)), ratio, margin, effect)
    ours, theirs = float(_floats(candidate.size_kb)), float(_floats(champion.size_kb))
    return Comparison(name, (ours - theirs) / theirs, None, margin, effect)


def _floats(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _names(values: Sequence[str] | NDArray[Any]) -> NDArray[np.str_]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "U":
        return values
    return np.asarray([str(value) for value in values], dtype=np.str_)
