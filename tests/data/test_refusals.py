from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import DataConfig
from evernas.data import ingest, load_rows, load_split, pending
from evernas.data import snapshot as snapshot_module

TABLE = {"id": ["a"], "domain": ["t"], "label": ["walk"], "payload": [[[0.0] * 16] * 2]}


def _parquet(columns: dict[str, Any]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(columns), path)


def _truncated(path: Path) -> None:
    _parquet(TABLE)(path)
    path.write_bytes(path.read_bytes()[:-20])


def _hole(path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{**{k: v[0] for k, v in TABLE.items()}, "payload": rng.normal(size=(2, 4000)).tolist()} for _ in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8] = b"\0\1\2\3\4\5\6\7"
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b""), "no whole Parquet file"),
        (lambda path: path.write_bytes(b"PAR1 nothing PAR1"), "no whole Parquet file"),
        (lambda path: path.write_text("id,domain\n"), "no whole Parquet file"),
        (_truncated, "no whole Parquet file"),
        (_hole, "no whole Parquet file"),
        (_parquet({k: v for k, v in TABLE.items() if k != "domain"}), "no column 'domain'"),
        (_parquet({**TABLE, "id": [1]}), "column 'id' is int64"),
        (_parquet({**TABLE, "payload": ["text"]}), "column 'payload' is string"),
        (_parquet({**TABLE, "payload": [[1.0, 2.0]]}), "column 'payload' is list<"),
        (_parquet({k: pa.array(v).slice(0, 0) for k, v in TABLE.items()}), "no rows"),
        (lambda path: pq.write_table(pa.table([pa.array(["a"])] * 2, names=["id", "id"]), path), "more than once"),
        (lambda path: path.mkdir(), None),
        (lambda path: os.mkfifo(path), "no regular file"),
    ],
)
def test_a_file_without_recordings_is_refused_with_a_sentence(
    write: Callable[[Path], None],
    reason: str | None,
    source: Path,
    tmp_path: Path,
    config: DataConfig,
    deliver: Any,
    recording: Any,
) -> None:
    deliver("good.parquet", [recording("r", "t")])
    write(source / "bad.parquet")
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert snapshot.manifest.rows == 4
    refused = snapshot.manifest.refused_objects
    if reason is None:
        assert refused == {}
    else:
        assert list(refused) == ["bad.parquet"]
        assert reason in refused["bad.parquet"]
    assert pending(source, snapshot) == []
    assert ingest(source, tmp_path / "store", config, snapshot.id).id == snapshot.id


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (None, "payload is null"),
        ([], "no channels"),
        ([[0.0] * 16], "has 1 channels, but data.signal.channels names 2"),
        ([[0.0] * 16] * 3, "has 3 channels"),
        ([[0.0] * 16, [0.0] * 17], "from 16 to 17 time steps"),
        ([[0.0] * 15] * 2, "has 15 time steps, fewer than the 16"),
        ([[], []], "has 0 time steps"),
        ([[0.0] * 16, None], "1 channels that are null"),
    ],
)
def test_a_recording_that_gives_no_sample_is_one_row_with_a_sentence(
    payload: Any, sentence: str, source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any
) -> None:
    deliver("a.parquet", [recording("r", "t"), {"id": "bad", "domain": "t", "label": "walk", "payload": payload}])
    snapshot = ingest(source, tmp_path / "store", config, None)
    rows = [row for row in load_rows(snapshot).to_pylist() if row["decode_error"] is not None]
    assert [row["recording"] for row in rows] == ["bad"]
    assert sentence in rows[0]["decode_error"]
    assert len(load_split(snapshot, "train", config.labels)) == 4


def test_whole_numbers_are_no_signal(source: Path, tmp_path: Path, config: DataConfig, deliver: Any) -> None:
    row = {"id": "r", "domain": "t", "label": "walk", "payload": [[1] * 16] * 2}
    deliver("a.parquet", [row], pa.list_(pa.list_(pa.int64())))
    rows = load_rows(ingest(source, tmp_path / "store", config, None)).to_pylist()
    assert rows[0]["decode_error"] == "The payload holds int64, not floats: write list<list<float>>."


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.list_(pa.float64())),
        pa.large_list(pa.large_list(pa.float32())),
        pa.list_(pa.list_(pa.float32(), 40), 2),
        pa.list_(pa.list_(pa.float16())),
    ],
)
def test_all_float_lists_are_signals(
    kind: Any, source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any
) -> None:
    row = recording("r", "t")
    row["payload"] = [np.asarray(channel, np.float16).tolist() for channel in row["payload"]]
    deliver("a.parquet", [row], kind)
    snapshot = ingest(source, tmp_path / "store", config, None)
    loaded = load_split(snapshot, "train", config.labels)
    np.testing.assert_array_equal(loaded.x[0], np.asarray(row["payload"], np.float32)[:, :16])


def test_missing_texts_and_numbers_are_kept_for_the_rules(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any
) -> None:
    row = recording("r", "t")
    row["payload"][0][3] = None
    row["payload"][1][20] = float("inf")
    deliver("a.parquet", [row, {**recording("r", "t"), "id": None, "domain": None, "label": None}])
    rows = load_rows(ingest(source, tmp_path / "store", config, None)).to_pylist()
    assert [row["n_nonfinite"] for row in rows[:4]] == [1, 1, 1, 0]
    assert all(np.isfinite(row["max"]) for row in rows)
    assert {(row["recording"], row["domain"], row["label"]) for row in rows[4:]} == {(None, None, None)}


def test_a_window_without_any_number_has_no_extremes(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any
) -> None:
    row = {**recording("r", "t"), "payload": [[float("nan")] * 16] * 2}
    deliver("a.parquet", [row])
    (found,) = load_rows(ingest(source, tmp_path / "store", config, None)).to_pylist()
    assert found["n_nonfinite"] == 32
    assert np.isnan(found["max"])


def test_a_name_that_is_no_utf8_is_taken(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any
) -> None:
    path = deliver("a.parquet", [recording("r", "t")])
    path.rename(os.fsdecode(os.fsencode(source) + b"/\xff.parquet"))
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert list(snapshot.manifest.objects) == ["\\udcff.parquet"]
    assert pending(source, snapshot) == []


def test_hidden_and_other_files_are_no_data(source: Path, tmp_path: Path, config: DataConfig) -> None:
    (source / ".tmp-1.parquet").write_bytes(b"half")
    (source / "notes.txt").write_text("hello")
    (source / ".hidden").mkdir()
    (source / ".hidden" / "a.parquet").write_bytes(b"half")
    assert ingest(source, tmp_path / "store", config, None).manifest.objects == {}


def test_a_file_that_grows_while_it_is_read_stays_pending_and_keeps_its_old_rows(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    deliver("a.parquet", [recording("a", "t")])
    first = ingest(source, store, config, None)
    deliver("a.parquet", [recording("a", "t"), recording("b", "t")])
    deliver("new.parquet", [recording("n", "t")])
    original = snapshot_module.digest_open

    def grow(file: Any) -> str:
        digest = original(file)
        with Path(file.name).open("ab") as more:
            more.write(b"more")
        return digest

    monkeypatch.setattr(snapshot_module, "digest_open", grow)
    second = ingest(source, store, config, first.id)
    monkeypatch.undo()
    assert second.manifest.objects["a.parquet"] == first.manifest.objects["a.parquet"]
    assert "changed while it was read" in second.manifest.refused_objects["new.parquet"]
    assert pending(source, second) == ["a.parquet", "new.parquet"]
    deliver("a.parquet", [recording("a", "t"), recording("b", "t")])
    deliver("new.parquet", [recording("n", "t")])
    third = ingest(source, store, config, second.id)
    assert third.manifest.rows == 12
    assert third.manifest.changed == ("a.parquet", "new.parquet")
