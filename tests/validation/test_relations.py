"""What a row must satisfy beside other rows and earlier training, and rules that cannot be checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.config import DataConfig, ValidationConfig
from evernas.data import ingest, load_rows
from evernas.errors import EvernasError
from evernas.validation import validate
from evernas.validation.duplicates import exact_duplicates, taken_ids
from evernas.validation.expectations import Inspector

LOOSE = ValidationConfig(min_rows={"train": 1, "search": 1, "gate": 1}, min_rows_per_class=0, max_quarantine=1.0)


@pytest.fixture
def rows(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> Any:
    deliver("a.parquet", [recording("g1", "g"), recording("s1", "s"), recording("t1", "t")])
    return load_rows(ingest(source, tmp_path / "store", config, None))


def _digests(rows: Any, domain: str) -> list[str]:
    return [row["digest"] for row in rows.to_pylist() if row["domain"] == domain]


def test_a_window_that_a_model_was_trained_on_cannot_judge(rows: Any, config: DataConfig) -> None:
    seen = [_digests(rows, "g")[0], _digests(rows, "s")[0], _digests(rows, "t")[0]]
    result = validate(rows, config, LOOSE, trained=seen)
    assert [(entry["sample_id"], entry["rule"]) for entry in result.quarantine.to_pylist()] == [
        ("g1/0", "unseen_by_training")
    ]


@pytest.mark.parametrize("column", ["recording", "domain"])
def test_what_straddles_two_splits_refuses_the_whole(rows: Any, config: DataConfig, column: str) -> None:
    # Ingest never writes such a table: the rule is what notices if it ever does.
    splits = rows.column("split").to_pylist()
    at = next(i for i, row in enumerate(rows.to_pylist()) if row["domain"] == "t")
    splits[at] = "gate"
    table = rows.set_column(rows.column_names.index("split"), "split", pa.array(splits))
    refusals = validate(table, config, LOOSE).refusals
    noun = {"recording": "recordings", "domain": "domains"}[column]
    assert f"1 {noun} have good rows in more than one split, which leaks: keep each in one." in refusals


def test_a_recording_given_to_another_person_later_is_no_leak_unnoticed(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    store = tmp_path / "store"
    whole = recording("r", "t")
    deliver("a.parquet", [whole, recording("s1", "s"), recording("g1", "g")])
    first = ingest(source, store, config, None)
    part = {**whole, "domain": "g", "payload": [channel[:24] for channel in whole["payload"]]}
    deliver("b.parquet", [part])
    result = validate(load_rows(ingest(source, store, config, first.id)), config, LOOSE)
    assert result.deduplicated.column("split").to_pylist() == ["train", "train"]
    assert any("recordings have good rows in more than one split" in refusal for refusal in result.refusals)


def test_only_new_rows_count_for_the_quarantined_share(rows: Any, config: DataConfig) -> None:
    strict = LOOSE.model_copy(update={"max_quarantine": 0.05})
    labels = rows.column("label").to_pylist()
    labels[0] = "swim"
    bad = rows.set_column(rows.column_names.index("label"), "label", pa.array(labels))
    (refusal,) = validate(bad, config, strict).refusals
    assert refusal.startswith("8.3% of the new rows go to quarantine")
    old = bad.set_column(bad.column_names.index("new"), "new", pa.array([False] * bad.num_rows))
    assert validate(old, config, strict).refusals == ()


def test_a_rule_that_cannot_be_checked_is_a_failure_and_passes_no_row(tmp_path: Path) -> None:
    inspector = Inspector(tmp_path)
    import great_expectations.expectations as gxe

    frame = pd.DataFrame({"present": [1, 2]})
    with pytest.raises(EvernasError, match="The rule lost could not be checked"):
        inspector.failures("rows", frame, {"lost": gxe.ExpectColumnValuesToBeBetween(column="absent", min_value=0)})


ROW = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["gate", "search", "train"]),
    st.integers(0, 2),
    st.sampled_from(["r1", "r2"]),
    st.sampled_from(["walk", "run"]),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ROW, max_size=12))
def test_every_good_sample_is_kept_exactly_once(table: list[tuple[str, str, int, str, str, bool]]) -> None:
    names = ["digest", "split", "generation", "recording", "label"]
    frame = pd.DataFrame([row[:5] for row in table], columns=names)
    frame["sample_id"] = frame["recording"] + "/0"
    frame["object"], frame["position"] = "o", range(len(frame))
    good = np.array([row[5] for row in table], bool)
    same = exact_duplicates(good, frame)
    kept = good & (same.keeper == np.arange(len(frame)))
    assert sorted(frame["digest"][kept]) == sorted(set(frame["digest"][good]))
    best = {"gate": 0, "search": 1, "train": 2}
    for index in np.flatnonzero(good & ~kept):
        keeper = same.keeper[index]
        assert kept[keeper]
        assert best[frame["split"][keeper]] <= best[frame["split"][index]]
    taken = taken_ids(good, frame)
    owners = {id: index for index, id in reversed(list(enumerate(frame["recording"]))) if good[index]}
    assert not any(taken[index] for index in owners.values())
    assert all(frame["recording"][index] in owners for index in np.flatnonzero(taken))
