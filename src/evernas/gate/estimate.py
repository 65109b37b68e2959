"""Means of clustered outcomes with confidence bounds that hold with few clusters; no rule and no policy lives here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evernas.gate.student import upper_quantile

Floats = NDArray[np.float64]
Unit = Literal["domains", "recordings", "restarts"]
_CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class Estimate:
    """A mean, its standard error and what its one-sided bounds need. `unit` is what was taken as independent.

    A bound is the wider one of Student's and of the studentised bootstrap (Efron & Tibshirani 1993, ch. 12.5): the
    first holds with few units, the second where rare large losses make the distribution skew. Below the level that the
    resamples can resolve, Student's bound is widened by the ratio of the two at the last level that they can.
    """

    value: float
    standard_error: float
    df: float
    unit: Unit
    units: int
    studentised: Floats | None = None
    resolvable: float = 1.0

    def upper(self, level: float) -> float:
        """Upper bound of the mean, exceeded by the truth with probability `level` at most."""
        return self.value + self.reach(level, above=True)

    def lower(self, level: float) -> float:
        """Lower bound of the mean, undercut by the truth with probability `level` at most."""
        return self.value - self.reach(level, above=False)

    def reach(self, level: float, above: bool) -> float:
        """Distance from the mean to its bound above or below."""
        factor = upper_quantile(level, self.df)
        if self.studentised is not None:
            seen = max(level, self.resolvable)
            rank = _rank(seen, len(self.studentised))
            tail = -self.studentised[rank - 1] if above else self.studentised[-rank]
            plain = factor if seen == level else upper_quantile(seen, self.df)
            factor *= max(1.0, float(tail) / plain)
        return factor * self.standard_error


@dataclass(frozen=True, eq=False)
class Clusters:
    """Means per recording, grouped by domain; every recording of a domain and every domain weigh the same."""

    names: tuple[str, ...]
    recordings: tuple[Floats, ...]
    samples: tuple[float, ...]

    @property
    def means(self) -> Floats:
        """The mean of each domain."""
        return np.array([recording.mean() for recording in self.recordings])


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which recording each sample is of, and which domain each recording."""

    names: tuple[str, ...]
    recording_of: NDArray[np.int64]
    domain_of: NDArray[np.int64]

    def of(self, outcomes: Floats) -> Clusters:
        """Group per-sample outcomes into recordings and domains."""
        counts = np.bincount(self.recording_of)
        means = np.bincount(self.recording_of, weights=outcomes) / counts
        recordings = tuple(means[self.domain_of == d] for d in range(len(self.names)))
        samples = np.bincount(self.domain_of, weights=counts) / np.bincount(self.domain_of)
        return Clusters(self.names, recordings, tuple(float(count) for count in samples))


def grouping(domains: NDArray[np.str_], groups: NDArray[np.str_]) -> Grouping:
    """How samples are grouped. A recording's name counts within its domain only."""
    names, domain_index = np.unique(domains, return_inverse=True)
    group_names, group_index = np.unique(groups, return_inverse=True)
    pair = domain_index.astype(np.int64) * len(group_names) + group_index
    keys, recording_of = np.unique(pair, return_inverse=True)
    return Grouping(tuple(str(name) for name in names), recording_of, keys // len(group_names))


def cluster(outcomes: Floats, domains: NDArray[np.str_], groups: NDArray[np.str_]) -> Clusters:
    """Group per-sample outcomes into recordings and domains."""
    return grouping(domains, groups).of(outcomes)


def clustered_mean(clusters: Clusters, min_domains: int, resamples: int, seed: int, of_one: float = 1.0) -> Estimate:
    """The mean over domains. Domains are the unit if there are `min_domains`, else recordings within each domain.

    `of_one` is how much a share of samples weighs in a mean.
    """
    if len(clusters.names) >= min_domains:
        per_domain = float(np.mean([s * len(r) for s, r in zip(clusters.samples, clusters.recordings, strict=True)]))
        return _stratified([clusters.means], [of_one / per_domain], "domains", resamples, seed)
    steps = [of_one / samples for samples in clusters.samples]
    return _stratified(list(clusters.recordings), steps, "recordings", resamples, seed)


def domain_mean(clusters: Clusters, domain: int, of_one: float = 1.0) -> Estimate:
    """The mean of one domain over its recordings, with Student's bounds; needs two recordings."""
    return _stratified([clusters.recordings[domain]], [of_one / clusters.samples[domain]], "recordings", 0, 0)


def restart_mean(values: Floats) -> Estimate:
    """The mean over process restarts, with Student's bounds; needs two restarts."""
    return _stratified([values], [0.0], "restarts", 0, 0)


def mean_of_units(values: Floats, resamples: int, seed: int, step: float = 0.0) -> Estimate:
    """The mean of independent units, each as good as the next, such as domains of which only the means are known.

    `step` is what one sample changes in a unit.
    """
    return _stratified([values], [step], "domains", resamples, seed)


def reaches_of_units(values: Floats, level: float, resamples: int, seed: int, step: float = 0.0) -> Floats:
    """The reach above of `mean_of_units` of each row of (sets, units), by resamples that are drawn once for all rows.

    For simulations: what chance does to the bounds, it does to those of one call together.
    """
    units = values.shape[1]
    around = values - values.mean(axis=1, keepdims=True)
    shift, variance = _resampled(np.random.default_rng([seed, 7]), around.T, step, resamples)
    studentised = np.ascontiguousarray(_studentised(shift, variance).T)
    seen = max(level, _resolvable([units], resamples))
    at = _rank(seen, resamples) - 1
    tail = -np.partition(studentised, at)[:, at]
    widened: Floats = np.maximum(1, tail / upper_quantile(seen, units - 1)) * upper_quantile(level, units - 1)
    return widened * np.sqrt(variance_of_mean(values, step))


def _stratified(strata: list[Floats], steps: list[float], unit: Unit, resamples: int, seed: int) -> Estimate:
    """The mean over strata of their means. `steps` holds what one sample changes in a unit of each stratum."""
    variances = np.array([variance_of_mean(s, step) for s, step in zip(strata, steps, strict=True)])
    freedom = np.array([len(s) - 1 for s in strata], dtype=np.float64)
    value = float(np.mean([s.mean() for s in strata]))
    error = float(np.sqrt(variances.sum()) / len(strata))
    if error == 0:
        return Estimate(value, 0.0, float(freedom.sum()), unit, sum(len(s) for s in strata))
    df = float(variances.sum() ** 2 / (variances**2 / freedom).sum())  # Welch 1947, Satterthwaite 1946
    studentised, resolvable = None, 1.0
    if resamples:
        studentised = _resample(strata, steps, resamples, seed)
        resolvable = _resolvable([len(s) for s in strata], resamples)
    return Estimate(value, error, df, unit, sum(len(s) for s in strata), studentised, resolvable)


def variance_of_mean(values: Floats, step: float) -> Floats:
    """Variance of the mean over the last axis, with two more units that lie one sample above and below it.

    Without them a set in which nothing differs would have no spread and prove everything; with them it proves about
    what the rule of three says (the idea of Agresti & Min 2005 for paired differences).
    """
    squares: Floats = ((values - values.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return _variance_of_mean(squares, values.shape[-1], step)


def _variance_of_mean(squares: Floats, units: int, step: float) -> Floats:
    return (squares + 2 * step**2) / (units - 1) / units


def _resample(strata: list[Floats], steps: list[float], resamples: int, seed: int) -> Floats:
    """Sorted studentised differences between the mean of a resample and the mean."""
    rng = np.random.default_rng([seed, 7])
    size = max(_CHUNK // max(len(s) for s in strata), 1)
    parts = []
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        shift, variance = np.zeros(count), np.zeros(count)
        for values, step in zip(strata, steps, strict=True):
            moved, squares = _resampled(rng, values - values.mean(), step, count)
            shift += moved
            variance += squares
        parts.append(_studentised(shift, variance))
    return np.sort(np.concatenate(parts))


def _resampled(rng: np.random.Generator, around: Floats, step: float, count: int) -> tuple[Floats, Floats]:
    """How far the means of `count` resamples of units lie from the mean, and the variance of each.

    `around` is what units differ from their mean by, (units,), or of several sets with the same draws (units, sets).
    """
    n = len(around)
    drawn = rng.integers(0, n, (count, n), dtype=np.int32) + n * np.arange(count, dtype=np.int32)[:, None]
    times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)
    moved: Floats = times @ around / n
    return moved, _variance_of_mean(np.maximum(times @ around**2 - n * moved**2, 0), n, step)


def _rank(level: float, resamples: int) -> int:
    """Of the sorted resamples the one at this level, from 1."""
    return max(int(np.floor(level * (resamples + 1))), 1)


def _studentised(shift: Floats, variance: Floats) -> Floats:
    found: Floats = shift / np.maximum(np.sqrt(variance), 1e-12)
    return found


def _resolvable(units: Sequence[int], resamples: int) -> float:
    """The smallest level of which the resamples of strata with so many units say something.

    Resamples of one unit alone have no spread: near their share, quantiles say nothing.
    """
    same = float(np.prod([float(n) ** (1 - n) for n in units]))
    return min(max(20 / (resamples + 1), 5 * same), 0.25)
