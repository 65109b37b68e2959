"""How old rows are is judged when a run begins, where asked for; without times nothing passes, and none is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import DataConfig, ValidationConfig
from evernas.data import ingest, load_rows
from evernas.validation import ValidationResult, validate
from evernas.validation.freshness import completed, freshness_figures, stale
from small_source import config, recording, source

__all__ = ["config", "recording", "source"]

LOOSE: dict[str, Any] = {
    "min_rows": {"train": 1, "search": 1, "gate": 1},
    "min_rows_per_class": 0,
    "max_quarantine": 1.0,
}
DAY = 86_400.0
BEGAN = 20_000 * DAY + 7 * 3600
Judge = Callable[..., ValidationResult]


@pytest.fixture
def judge(source: Path, tmp_path: Path, config: DataConfig, recording: Callable[..., Any]) -> Judge:
    def run(
        ages: dict[str, float | None],
        docs: Path | None = None,
        again: dict[str, float | None] | None = None,
        **fresh: Any,
    ) -> ValidationResult:
        """Judge one recording a person, so many days old; and the same ones again, of other ages."""
        text = dict.fromkeys(("id", "domain", "label"), pa.string())
        kinds = pa.schema({**text, "payload": pa.list_(pa.list_(pa.float32())), "time": pa.float64()})
        payloads = [recording(f"{who}-{n}", who) for n, who in enumerate(ages)]
        snapshot = None
        for name, days in (("a", ages), ("b", again or {})):
            rows = [
                row | {"time": None if age is None else BEGAN - age * DAY}
                for row, age in zip(payloads, days.values(), strict=False)
            ]
            if rows:
                pq.write_table(pa.Table.from_pylist(rows, schema=kinds), source / f"{name}.parquet")
                snapshot = ingest(source, tmp_path / "store", config, None if snapshot is None else snapshot.id)
        assert snapshot is not None
        return validate(load_rows(snapshot), config, ValidationConfig(**LOOSE, freshness=fresh), docs=docs, began=BEGAN)

    return run


def test_without_the_rule_nothing_is_asked(source: Path, tmp_path: Path, config: DataConfig, judge: Judge) -> None:
    judge({"g": None, "s": None, "t": None})
    rows = load_rows(ingest(source, tmp_path / "store", config, None))
    result = validate(rows, config, ValidationConfig(**LOOSE))
    assert result.refusals == ()
    assert "newest_age_days" not in result.figures
    assert "not_ahead" not in result.rule_counts
    assert "freshness" not in ValidationConfig(**LOOSE).model_dump(mode="json"), "keys are as they were"


@pytest.mark.parametrize(
    ("age", "days", "refused"), [(6.9, 7, False), (7.0, 7, False), (7.01, 7, True), (400, 30, True)]
)
def test_the_newest_row_must_not_be_too_old(judge: Judge, age: float, days: int, refused: bool) -> None:
    result = judge({"g": 900, "s": 500, "t": age}, max_age_days=days)
    assert bool(result.refusals) is refused
    if refused:
        (said,) = result.refusals
        assert f"{np.ceil(age):.0f} days old, more than validation.freshness.max_age_days = {days}" in said


def test_where_no_row_has_a_time_the_run_is_refused_and_says_so_whatever_else_is_allowed(judge: Judge) -> None:
    for fresh in ({}, {"max_age_days": None, "max_untimed": 1.0}, {"recent_days": 3, "min_recent": 0.0}):
        (said,) = judge({"g": None, "s": None, "t": None}, **fresh).refusals
        assert said.startswith("No good row has a time, so that nobody can say how old they are")


def test_rows_without_a_time_are_a_share_that_is_allowed_or_not(judge: Judge) -> None:
    ages = {"g": 1.0, "s": None, "t": 2.0}
    (said,) = judge(ages).refusals
    assert "33.3% of the good rows have no time, more than validation.freshness.max_untimed = 0.0%" in said
    assert judge(ages, max_untimed=0.4).refusals == ()


def test_just_as_many_rows_without_a_time_as_are_allowed_are_allowed() -> None:
    for rows in range(2, 60):
        for untimed in range(1, rows):
            fresh = ValidationConfig(**LOOSE, freshness={"max_untimed": untimed / rows}).freshness
            assert fresh is not None
            times = np.array([np.nan] * untimed + [BEGAN] * (rows - untimed))
            assert stale(freshness_figures(times, BEGAN, fresh), fresh) == [], (untimed, rows)


def test_a_sample_without_a_time_that_comes_again_with_one_has_it(judge: Judge) -> None:
    result = judge({"g": None, "s": None, "t": 3.0, "u": None}, again={"g": 5.0, "s": 2.0, "t": 1.0}, max_untimed=0.5)
    assert result.deduplicated.num_rows > 0
    ages = dict(zip(result.kept.column("domain").to_pylist(), (BEGAN - result.times) / DAY, strict=True))
    assert ages == pytest.approx({"g": 5.0, "s": 2.0, "t": 3.0, "u": np.nan}, nan_ok=True), "what has one keeps it"
    assert result.refusals == ()


def test_a_sample_does_not_get_a_time_of_a_row_in_quarantine_and_of_several_the_earliest(judge: Judge) -> None:
    (said,) = judge({"g": None, "s": None, "t": None}, again={"g": -5.0, "s": -5.0, "t": -5.0}).refusals
    assert said.startswith("No good row has a time")
    good = np.array([True, True, True, False, True])
    times = np.array([np.nan, 7.0, 5.0, 1.0, np.nan])
    found = completed(times, good, np.array([0, 0, 0, 3, 4]))
    assert found.tolist()[:4] == [5.0, 7.0, 5.0, 1.0]
    assert np.isnan(found[4])


def test_a_share_of_the_rows_must_be_recent(judge: Judge) -> None:
    ages = {"g": 1.0, "s": 40.0, "t": 2.0, "u": 3.5}
    (said,) = judge(ages, recent_days=3, min_recent=0.6).refusals
    assert "50.0% of the good rows are of the last 3 days, fewer than validation.freshness.min_recent = 60.0%" in said
    assert judge(ages, recent_days=3, min_recent=0.5).refusals == ()


def test_a_row_from_the_future_goes_to_quarantine_and_is_not_the_newest(judge: Judge) -> None:
    result = judge({"g": 900, "s": 500, "t": 40, "u": -0.9, "v": -1.1, "w": -4000}, max_age_days=30)
    assert {row["recording"] for row in result.quarantine.to_pylist()} == {"v-4", "w-5"}
    assert set(result.quarantine.column("rule").to_pylist()) == {"not_ahead"}
    assert result.rows_in == result.kept.num_rows + result.quarantined == 24
    assert result.refusals == (), "clocks differ by a day at most, so the fourth is of today"
    assert result.figures["newest_age_days"] == 0
    (said,) = judge({"g": 900, "s": 500, "t": 40, "u": -0.9}, max_age_days=30, clock_skew_hours=0).refusals
    assert "40 days old" in said


def test_neither_data_docs_nor_figures_nor_tables_tell_when_anybody_was_recorded(judge: Judge, tmp_path: Path) -> None:
    ages = {"g": 900.125, "s": 500.25, "t": 40.0625, "u": -3.03125}
    result = judge(ages, docs=tmp_path / "docs", max_age_days=30)
    assert result.refusals
    result.write(tmp_path / "written")
    told = [path.read_bytes() for path in (tmp_path / "docs").rglob("*") if path.is_file()]
    told += [path.read_bytes() for path in (tmp_path / "written").glob("*.json")]
    told += [str(pq.read_table(path).to_pylist()).encode() for path in (tmp_path / "written").glob("*.parquet")]
    assert len(told) > 5
    for age in ages.values():
        time = BEGAN - age * DAY
        for text in (f"{time:.0f}", repr(time), f"{time:.6g}", repr(age), f"{-age * 24:.1f}"):
            assert not [True for data in told if text.encode() in data], text


def test_times_are_told_sorted_and_figures_of_a_million_are_quick() -> None:
    fresh = ValidationConfig(**LOOSE, freshness={"recent_days": 3, "min_recent": 0.5}).freshness
    assert fresh is not None
    times = BEGAN - DAY * np.random.default_rng(0).random(1_000_000) * 10
    figures = freshness_figures(times, BEGAN, fresh)
    assert figures["newest_age_days"] == 1
    assert figures["recent_share"] == pytest.approx(0.3, abs=0.01)
    assert len(stale(figures, fresh)) == 1
    assert stale(freshness_figures(times[:0], BEGAN, fresh), fresh) == [], "that there are no rows is said elsewhere"


@pytest.mark.parametrize(
    "fresh", [{"recent_days": 3}, {"min_recent": 0.5}, {"max_age_days": 0}, {"clock_skew_hours": -1}, {"min_recent": 2}]
)
def test_an_impossible_rule_is_refused(fresh: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="freshness"):
        ValidationConfig(**LOOSE, freshness=fresh)
