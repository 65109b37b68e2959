"""How old good rows are when a run begins: figures of their times, and the rules on them; no row's own time is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.config import FreshnessConfig
from evernas.validation.rules import DatasetRule

DAY_S = 86_400.0
_HOUR_S = 3_600.0

Times = npt.NDArray[np.float64]


def ahead(times: Times, began: float, config: FreshnessConfig) -> npt.NDArray[np.bool_]:
    """Which times (seconds since 1970, NaN for none) lie further after the run began than clocks may differ."""
    found: npt.NDArray[np.bool_] = times > began + config.clock_skew_hours * _HOUR_S
    return found


def completed(times: Times, good: npt.NDArray[np.bool_], keeper: npt.NDArray[np.int64]) -> Times:
    """The times, where a row has none the earliest of the good rows that it holds the sample of (see `Duplicates`)."""
    timed = good & np.isfinite(times)
    earliest = np.full(len(times), np.inf)
    np.minimum.at(earliest, keeper[timed], times[timed])
    return np.where(np.isnan(times) & np.isfinite(earliest), earliest, times)


def freshness_figures(times: Times, began: float, config: FreshnessConfig) -> dict[str, float]:
    """What is said of the times of the good rows.

    The age of the newest one is in whole days, rounded up: a day is not whom it is of. It is not there where none has
    a time; nothing is where there are no rows.
    """
    if not len(times):
        return {}
    known = times[np.isfinite(times)]
    figures: dict[str, float] = {"rows_timed": len(known), "untimed_share": (len(times) - len(known)) / len(times)}
    if len(known):
        figures["newest_age_days"] = math.ceil(max(0.0, began - float(known.max())) / DAY_S)
    if config.recent_days is not None:
        recent = int((known >= began - config.recent_days * DAY_S).sum())
        figures["recent_share"] = recent / len(times)
    return figures


def freshness_rules(figures: Mapping[str, float], config: FreshnessConfig) -> list[DatasetRule]:
    """What the snapshot's times must satisfy; `figures` are those of `freshness_figures`."""
    if "rows_timed" not in figures:
        return []
    if not figures["rows_timed"]:
        text = (
            "No good row has a time, so that nobody can say how old they are: deliver the column time, in seconds or "
            "as ISO 8601 (rows that an earlier evernas took in kept none; under another file name they are taken in "
            "anew), or leave validation.freshness out."
        )
        return [DatasetRule("rows_timed", 0, 1, None, text)]
    return [_untimed(figures["untimed_share"], config), *_old(figures, config), *_few(figures, config)]


def stale(figures: Mapping[str, float], config: FreshnessConfig) -> list[str]:
    """The sentences of the rules that are broken, told without a row table."""
    rules = freshness_rules(figures, config)
    return [rule.sentence for rule in rules if not _kept(rule)]


def _kept(rule: DatasetRule) -> bool:
    above = rule.minimum is None or rule.value >= rule.minimum
    return above and (rule.maximum is None or rule.value <= rule.maximum)


def _untimed(share: float, config: FreshnessConfig) -> DatasetRule:
    text = (
        f"{share:.1%} of the good rows have no time, more than validation.freshness.max_untimed = "
        f"{config.max_untimed:.1%}: deliver the column time with them, in seconds or as ISO 8601, or allow more."
    )
    return DatasetRule("untimed_share", share, None, config.max_untimed, text)


def _old(figures: Mapping[str, float], config: FreshnessConfig) -> list[DatasetRule]:
    if config.max_age_days is None:
        return []
    age, most = figures["newest_age_days"], config.max_age_days
    text = (
        f"The newest good row is {age:.0f} days old, more than validation.freshness.max_age_days = {most}: see why "
        "the source brings nothing newer, or allow more."
    )
    return [DatasetRule("newest_age_days", age, None, most, text)]


def _few(figures: Mapping[str, float], config: FreshnessConfig) -> list[DatasetRule]:
    if config.min_recent is None:
        return []
    share, least = figures["recent_share"], config.min_recent
    text = (
        f"{share:.1%} of the good rows are of the last {config.recent_days} days, fewer than "
        f"validation.freshness.min_recent = {least:.1%}: deliver more, or ask for less."
    )
    return [DatasetRule("recent_share", share, least, None, text)]


def times_of(frame: Any) -> Times:
    """The times of a row table (pandas), NaN for none."""
    return np.asarray(frame["time"], np.float64)
