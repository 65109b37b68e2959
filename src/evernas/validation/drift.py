"""Whether new data is from where the old was: over domains, since new people always look a little different.

A domain is a point: the mean of its rows. Domains that are old, or new, are exchangeable if nothing drifted, and
so are the old and the new rows of one domain; so a permutation of what is called new gives an exact level, however many
rows a domain has. Pure functions on arrays; how much work follows is said by the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
PERMUTATIONS = 999
FOLDS = 5
RIDGE = 1.0
FEWEST = 3
"""Fewest points in all with which anything can be told apart."""
FEWEST_PAIRS = 6
"""Fewest domains with old and new rows: of fewer, all signs are alike too often."""


@dataclass(frozen=True)
class Points:
    """Domains as points: (n, columns), which of them are of new rows, and the domain of each.

    A domain with old and new rows is two points.
    """

    values: Array
    new: Mask
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """What changed most by one test: in which column, by how much, with its lower bound, and how likely by chance.

    `effect` is a difference of shares for labels, of standard deviations between domains for features (of all domains,
    and within those that have old and new rows), and the area under the curve for the classifier, which is 0.5 where
    old and new cannot be told apart.
    """

    of: str
    column: str
    effect: float
    at_least: float
    p: float


@dataclass(frozen=True)
class Drift:
    """Changes by test, where there was enough to test; and how many domains and rows are new.

    `unseen` is the share of new rows that are of domains without any old row.
    """

    changes: tuple[Change, ...]
    domains_before: int
    domains_new: int
    rows_before: int
    rows_new: int
    unseen: float

    def shown(self, alpha: float) -> list[Change]:
        """The changes that are shown at this level, all tests together (Holm)."""
        ranked = sorted(self.changes, key=lambda change: change.p)
        found = []
        for rank, change in enumerate(ranked):
            if change.p > alpha / (len(ranked) - rank):
                break
            found.append(change)
        return found

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        return asdict(self)


UNTESTED = Drift((), 0, 0, 0, 0, 0.0)


def points_of(values: Array, domains: Sequence[str], new: Mask) -> Points:
    """The mean of the rows (rows, columns) of each domain, old and new apart."""
    names, domain = np.unique(np.asarray(domains, dtype=object), return_inverse=True)
    keys, point = np.unique(2 * domain + new, return_inverse=True)
    sums = np.zeros((len(keys), values.shape[1]))
    np.add.at(sums, point, values)
    means = sums / np.bincount(point, minlength=len(keys))[:, None]
    return Points(means, keys % 2 == 1, tuple(names[key // 2] for key in keys))


def drift_of(
    features: Array,
    columns: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    domains: Sequence[str],
    new: Mask,
    seed: int = 0,
    level: float = 0.05,
) -> Drift:
    """What differs between old rows and new ones: features (rows, columns), labels, and domain of each row.

    `level` is that of the lower bounds. Without old or without new rows nothing is tested.
    """
    one_hot = (np.asarray(labels, dtype=object)[:, None] == np.asarray(classes, dtype=object)[None, :]).astype(float)
    known, fresh = set(np.asarray(domains, dtype=object)[~new]), np.asarray(domains, dtype=object)[new]
    unseen = float(np.mean([domain not in known for domain in fresh])) if len(fresh) else 0.0
    changes: list[Change] = []
    if 0 < new.sum() < len(new):
        shares, looks = points_of(one_hot, domains, new), points_of(features, domains, new)
        if len(shares.domains) >= FEWEST:
            swaps = _permutations(shares, seed)
            changes = [
                _largest("labels", shares, classes, swaps, level, scaled=False),
                _largest("features", looks, columns, swaps, level, scaled=True),
                _classifier(looks, swaps, level),
                *_within(looks, columns, seed, level),
            ]
    counts = len(known), len(set(fresh)), int((~new).sum()), int(new.sum())
    return Drift(tuple(changes), *counts, unseen)


def _permutations(points: Points, seed: int) -> npt.NDArray[np.bool_]:
    """(PERMUTATIONS, n): what could have been called new. Domains with both swap them; all others are drawn anew."""
    rng = np.random.default_rng(seed)
    _, domain, count = np.unique(np.asarray(points.domains, dtype=object), return_inverse=True, return_counts=True)
    found = np.tile(points.new, (PERMUTATIONS, 1))
    alone, twice = np.flatnonzero(count[domain] == 1), np.flatnonzero(count[domain] == 2)
    pairs = twice[np.argsort(domain[twice], kind="stable")].reshape(-1, 2)
    for row in found:
        row[alone] = rng.permutation(points.new[alone])
        swapped = pairs[rng.random(len(pairs)) < 0.5]
        row[swapped] = row[swapped[:, ::-1]]
    return found


def _largest(
    of: str, points: Points, columns: Sequence[str], swaps: npt.NDArray[np.bool_], level: float, *, scaled: bool
) -> Change:
    """The column that changed most, against the largest change of any column under permutation (Westfall-Young)."""
    values = points.values
    # Columns that differ in scale are compared in units of the spread of all points, old and new together: that is the
    # same whatever is called new, as the level asks for.
    overall = values.std(axis=0)
    standard = values / np.where(overall > 0, overall, 1.0)
    seen = np.abs(_difference(standard, points.new[None, :]))[0]
    worst = int(np.argmax(seen))
    by_chance = np.abs(_difference(standard, swaps)).max(axis=1)
    p = (1 + int((by_chance >= seen[worst] - 1e-12).sum())) / (1 + len(swaps))
    old, fresh = int((~points.new).sum()), int(points.new.sum())
    spread = float(_spread(points)[worst])
    error = _t_quantile(1 - level / len(columns), old + fresh - 2) * np.sqrt(1 / old + 1 / fresh) * spread
    effect = float(abs(_difference(values[:, [worst]], points.new[None, :])[0, 0]))
    unit = spread if scaled and spread > 0 else 1.0
    return Change(of, columns[worst], effect / unit, max(0.0, effect - error) / unit, p)


def _within(points: Points, columns: Sequence[str], seed: int, level: float) -> list[Change]:
    """What changed within domains that have old and new rows, whatever lies between domains; by flips of signs.

    Nothing where too few domains have both.
    """
    old = {name: row for name, row, new in zip(points.domains, points.values, points.new, strict=True) if not new}
    pairs = [
        (old[n], row) for n, row, new in zip(points.domains, points.values, points.new, strict=True) if new and n in old
    ]
    if len(pairs) < FEWEST_PAIRS:
        return []
    moved = np.array([row - before for before, row in pairs])
    rng = np.random.default_rng([seed, 1])
    signs = np.concatenate([np.ones((1, len(moved))), rng.choice([-1.0, 1.0], (PERMUTATIONS, len(moved)))])
    means = signs @ moved / len(moved)
    # The sum of squares is the same whatever the signs: so is the order of t, which grows with the mean.
    spreads = np.sqrt(np.maximum((moved**2).mean(axis=0) - means**2, 1e-30) / (len(moved) - 1))
    t = np.abs(means) / spreads
    worst = int(np.argmax(t[0]))
    p = float((t.max(axis=1) >= t[0, worst] - 1e-9).mean())
    scale = float(_spread(points)[worst]) or 1.0
    effect, error = abs(float(means[0, worst])), float(spreads[0, worst])
    least = effect - _t_quantile(1 - level / len(columns), len(moved) - 1) * error
    return [Change("within domains", columns[worst], effect / scale, max(0.0, least) / scale, p)]


def _spread(points: Points) -> Array:
    """Standard deviation between domains of each column, within old and new points (pooled)."""
    parts = [points.values[points.new == side] for side in (False, True)]
    squares = sum(((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in parts)
    return np.asarray(np.sqrt(squares / max(1, len(points.new) - 2)))


def _difference(values: Array, new: npt.NDArray[np.bool_]) -> Array:
    """Mean of new minus mean of old points, for each row of `new`: (rows, columns)."""
    weights = new / new.sum(axis=1, keepdims=True) - ~new / (~new).sum(axis=1, keepdims=True)
    return np.asarray(weights @ values)


def _classifier(points: Points, swaps: npt.NDArray[np.bool_], level: float) -> Change:
    """How well a ridge classifier tells new domains from old ones that it was not fitted on, as an area under the
    curve (Lopez-Paz & Oquab 2017, with domains as units)."""
    values = points.values - points.values.mean(axis=0)
    spread = values.std(axis=0)
    values = values[:, spread > 0] / spread[spread > 0]
    folds = _folds(points.domains)
    # A ridge fit is linear in what it is fitted to: one matrix for each fold answers all permutations.
    smoothers = [_smoother(values, folds, fold) for fold in range(int(folds.max()) + 1)]
    seen = _area(_scores(smoothers, folds, points.new[None, :]), points.new[None, :])[0]
    by_chance = _area(_scores(smoothers, folds, swaps), swaps)
    p = (1 + int((by_chance >= seen - 1e-12).sum())) / (1 + len(swaps))
    old, fresh = int((~points.new).sum()), int(points.new.sum())
    error = _normal_quantile(1 - level) * _area_error(float(seen), old, fresh)
    return Change("classifier", "all", float(seen), max(0.0, float(seen) - error), p)


def _folds(domains: Sequence[str]) -> npt.NDArray[np.int64]:
    """The fold of each point: both points of a domain are in one."""
    order = {name: number % FOLDS for number, name in enumerate(dict.fromkeys(domains))}
    return np.array([order[name] for name in domains], np.int64)


def _smoother(values: Array, folds: npt.NDArray[np.int64], fold: int) -> tuple[Array, Array]:
    """(held out, inner), (fitted, inner): their product is what the answers for a fold's points are of the others'."""
    fitted, held = values[folds != fold], values[folds == fold]
    ridge = RIDGE * len(fitted)
    # In the smaller of the two dimensions; without an intercept, since scores are compared within their fold's mean.
    if values.shape[1] < len(fitted):
        gram = fitted.T @ fitted + ridge * np.eye(values.shape[1])
        return held @ np.linalg.inv(gram), fitted
    return held @ fitted.T @ np.linalg.inv(fitted @ fitted.T + ridge * np.eye(len(fitted))), np.eye(len(fitted))


def _scores(
    smoothers: Sequence[tuple[Array, Array]], folds: npt.NDArray[np.int64], new: npt.NDArray[np.bool_]
) -> Array:
    """(permutations, n): the score of each point by the fit that did not see it."""
    targets = new.astype(float)
    scores = np.empty(new.shape)
    for fold, (held, inner) in enumerate(smoothers):
        fitted = targets[:, folds != fold]
        scores[:, folds == fold] = (fitted - fitted.mean(axis=1, keepdims=True)) @ inner @ held.T
    return scores


def _area(scores: Array, new: npt.NDArray[np.bool_]) -> Array:
    """How often a new point has a higher score than an old one, ties half; for each row."""
    found = np.empty(len(new))
    for row, (values, is_new) in enumerate(zip(scores, new, strict=True)):
        old = np.sort(values[~is_new])
        # Those below count twice, those that tie once: of a rank from the left and one from the right.
        twice = np.searchsorted(old, values[is_new], "left") + np.searchsorted(old, values[is_new], "right")
        found[row] = twice.mean() / (2 * len(old))
    return found


def _area_error(area: float, old: int, new: int) -> float:
    """Standard error of an area under the curve (Hanley & McNeil 1982)."""
    area = min(area, 1 - 1 / (2 * (old + new)))
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (new - 1) * (first - area**2) + (old - 1) * (second - area**2)
    return float(np.sqrt(max(variance, 0.0) / (old * new)))


def _normal_quantile(share: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def _t_quantile(share: float, freedom: int) -> float:
    """Student's quantile, by the expansion of Cornish and Fisher; above the true one below three degrees of freedom."""
    z, n = _normal_quantile(share), max(1, freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / n ** (power + 1) for power, term in enumerate(terms)))
