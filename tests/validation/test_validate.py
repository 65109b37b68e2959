"""Rows that break a rule go to quarantine by name; good rows go on; what cannot be trusted as a whole is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import DataConfig, ValidationConfig
from evernas.data import ingest, load_rows
from evernas.validation import ValidationResult, read_kept_rows, validate

LOOSE = {"min_rows": {"train": 1, "search": 1, "gate": 1}, "min_rows_per_class": 0, "max_quarantine": 1.0}
LABELS = ["walk", "run"] * 60
Judge = Callable[..., ValidationResult]


@pytest.fixture
def judge(source: Path, tmp_path: Path, config: DataConfig) -> Judge:
    def run(docs: Path | None = None, **changes: Any) -> ValidationResult:
        snapshot = ingest(source, tmp_path / "store", config, None)
        return validate(load_rows(snapshot), config, ValidationConfig(**{**LOOSE, **changes}), docs=docs)

    return run


@pytest.fixture
def good(deliver: Callable[..., Path], recording: Callable[..., Any]) -> list[Any]:
    """One good recording of each class in each split."""
    rows = [recording(f"{who}-{label}", who, label) for who in ("g", "s", "t") for label in ("walk", "run")]
    deliver("good.parquet", rows)
    return rows


def _rules(result: ValidationResult) -> dict[str, int]:
    return {rule: count for rule, count in result.rule_counts.items() if count}


def test_good_rows_are_all_kept(good: list[Any], judge: Judge) -> None:
    result = judge()
    assert result.rows_in == result.kept.num_rows == 24
    assert _rules(result) == {}
    assert result.refusals == ()


@pytest.mark.parametrize(
    ("rule", "change", "said"),
    [
        ("finite", lambda row: row["payload"][1].__setitem__(3, float("nan")), "no finite number"),
        ("finite", lambda row: row["payload"][0].__setitem__(20, float("inf")), "no finite number"),
        ("decodable", lambda row: row["payload"].append(row["payload"][0]), "3 channels"),
        ("decodable", lambda row: row["payload"][0].pop(), "channel"),
        ("decodable", lambda row: row.update(payload=[c[:5] for c in row["payload"]]), "5"),
        ("known_label", lambda row: row.update(label="swim"), "'swim'"),
        ("known_label", lambda row: row.update(label=None), "label"),
        ("max_abs", lambda row: row["payload"][0].__setitem__(3, 1e6), "above validation.max_abs"),
        ("min_std", lambda row: row["payload"].__setitem__(0, [1.0] * 40), "dead"),
        ("id_present", lambda row: row.update(id=""), "id"),
        ("domain_present", lambda row: row.update(domain=None), "domain"),
        ("domain_present", lambda row: row.update(domain=" g"), "without blanks"),
    ],
)
def test_a_bad_recording_is_quarantined_by_name_and_the_good_ones_go_on(
    rule: str,
    change: Callable[[Any], None],
    said: str,
    good: list[Any],
    judge: Judge,
    deliver: Callable[..., Path],
    recording: Callable[..., Any],
) -> None:
    row = recording("bad", "t", seed=1)
    change(row)
    deliver("bad.parquet", [row])
    result = judge()
    assert rule in _rules(result)
    assert any(said in sentence for sentence in result.quarantine.column("sentence").to_pylist())
    assert set(result.quarantine.column("object").to_pylist()) == {"bad.parquet"}
    assert result.rows_in == result.kept.num_rows + result.quarantined + result.deduplicated.num_rows
    assert sum(name.startswith("bad/") for name in result.kept.column("sample_id").to_pylist()) < 4
    assert result.kept.num_rows >= 24


def test_one_broken_rule_does_not_hide_another(
    good: list[Any], judge: Judge, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    row = recording("bad", "t", "swim", seed=1)
    row["payload"][0] = [float("nan")] * 40
    deliver("bad.parquet", [row])
    assert {"finite", "known_label"} <= _rules(judge()).keys()


def test_a_duplicate_under_another_name_is_left_out_once_and_stays_in_the_gate(
    good: list[Any], judge: Judge, deliver: Callable[..., Path]
) -> None:
    twin = next({**row, "id": "twin", "domain": "t"} for row in good if row["domain"] == "g" and row["label"] == "walk")
    deliver("later.parquet", [twin])
    result = judge()
    assert result.deduplicated.num_rows == 4
    assert set(result.deduplicated.column("split").to_pylist()) == {"train"}
    assert all(name.startswith("g-walk/") for name in result.deduplicated.column("kept_sample_id").to_pylist())


def test_the_same_window_with_two_labels_is_quarantined(
    good: list[Any], judge: Judge, deliver: Callable[..., Path]
) -> None:
    twin = next({**row, "id": "twin", "label": "run"} for row in good if row["id"] == "t-walk")
    deliver("later.parquet", [twin])
    result = judge()
    assert "label_agrees" in _rules(result)


def test_an_id_that_is_taken_is_quarantined(
    good: list[Any], judge: Judge, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    deliver("later.parquet", [recording("t-walk", "t", seed=9)])
    assert _rules(judge()) == {"unique_id": 4}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_rows": {"train": 9, "search": 1, "gate": 1}}, "split train has 8 good rows"),
        ({"min_rows_per_class": 5}, "label 'run'"),
    ],
)
def test_too_few_rows_refuse_the_whole(changes: dict[str, Any], said: str, good: list[Any], judge: Judge) -> None:
    assert any(said in reason for reason in judge(**changes).refusals)


def test_too_much_quarantine_refuses_the_whole(
    good: list[Any], judge: Judge, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    deliver("bad.parquet", [recording(f"bad-{n}", "t", "swim", seed=n) for n in range(7)])
    assert any("validation.max_quarantine" in reason for reason in judge(max_quarantine=0.5).refusals)
    assert judge(max_quarantine=0.9).refusals == ()


def test_no_rows_at_all_are_refused(judge: Judge) -> None:
    assert any("no rows at all" in reason for reason in judge().refusals)


def test_a_truncated_file_leaves_the_good_ones(good: list[Any], judge: Judge, source: Path) -> None:
    data = (source / "good.parquet").read_bytes()
    (source / "torn.parquet").write_bytes(data[: len(data) // 2])
    result = judge()
    assert result.kept.num_rows == 24
    assert result.refusals == ()


def test_kept_rows_are_written_and_read_again(good: list[Any], judge: Judge, tmp_path: Path) -> None:
    result = judge()
    result.write(tmp_path / "out")
    np.testing.assert_array_equal(read_kept_rows(tmp_path / "out"), result.kept_rows)


def test_data_docs_are_written(good: list[Any], judge: Judge, tmp_path: Path) -> None:
    judge(docs=tmp_path / "docs")
    assert (tmp_path / "docs" / "index.html").is_file()


def test_the_digest_of_a_split_changes_with_its_own_rows_alone(
    good: list[Any], judge: Judge, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    before = judge().kept_digests
    deliver("more.parquet", [recording("t-more", "t", seed=5)])
    after = judge().kept_digests
    assert before["train"] != after["train"]
    assert {k: before[k] for k in ("gate", "search")} == {k: after[k] for k in ("gate", "search")}


def test_ten_times_the_rows_are_judged_alike(
    judge: Judge, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    rows = [
        recording(f"{who}-{n}", who, label, seed=n) for who in "gst" for n, label in enumerate(["walk", "run"] * 60)
    ]
    rows[7]["label"] = "swim"
    deliver("many.parquet", rows)
    result = judge()
    assert (result.rows_in, result.quarantined) == (1440, 4)
