from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import DataConfig
from evernas.data import Snapshot, ingest, load_rows, load_split
from evernas.data.windows import cut, cuts
from evernas.errors import IntegrityError


@pytest.fixture
def snapshot(source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any) -> Snapshot:
    deliver("b.parquet", [recording("b", "t", "run"), recording("a", "t"), recording("g", "g")])
    deliver("a.parquet", [recording("s", "s"), recording("u", "t", "swim")])
    return ingest(source, tmp_path / "store", config, None)


def test_a_split_holds_its_windows_in_a_fixed_order(snapshot: Snapshot, config: DataConfig, recording: Any) -> None:
    train = load_split(snapshot, "train", config.labels)
    assert train.x.shape == (8, 2, 16)
    assert train.x.dtype == np.float32
    assert train.y.tolist() == [0] * 4 + [1] * 4
    assert train.y.dtype == np.int64
    assert train.sample_ids == ("a/0", "a/8", "a/16", "a/24", "b/0", "b/8", "b/16", "b/24")
    assert set(train.domains) == {"t"}
    np.testing.assert_array_equal(train.x[1], np.asarray(recording("a", "t")["payload"], np.float32)[:, 8:24])


def test_the_order_does_not_depend_on_the_files(
    snapshot: Snapshot, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any, source: Path
) -> None:
    for path in source.iterdir():
        path.unlink()
    deliver("x.parquet", [recording("a", "t")])
    deliver("y.parquet", [recording("b", "t", "run")])
    other = load_split(ingest(source, tmp_path / "other", config, None), "train", config.labels)
    mine = load_split(snapshot, "train", config.labels)
    assert other.sample_ids == mine.sample_ids
    np.testing.assert_array_equal(other.x, mine.x)


def test_only_kept_rows_are_loaded(snapshot: Snapshot, config: DataConfig) -> None:
    rows = load_rows(snapshot).to_pylist()
    keep = np.array([row["row"] for row in rows if row["sample_id"] in ("a/8", "b/0", "g/0")], np.int64)
    assert load_split(snapshot, "train", config.labels, keep).sample_ids == ("a/8", "b/0")
    assert load_split(snapshot, "gate", config.labels, keep).sample_ids == ("g/0",)
    assert load_split(snapshot, "search", config.labels, keep).x.shape == (0, 2, 16)
    assert len(load_split(snapshot, "train", config.labels, np.array([], np.int64))) == 0


@pytest.mark.parametrize("row", [-1, 20])
def test_kept_rows_of_another_snapshot_are_refused(snapshot: Snapshot, config: DataConfig, row: int) -> None:
    with pytest.raises(IntegrityError, match="validate this snapshot again"):
        load_split(snapshot, "train", config.labels, np.array([0, row]))


def test_training_and_search_never_open_a_gate_shard(snapshot: Snapshot, config: DataConfig) -> None:
    (gate,) = (snapshot.store.root / "shards" / "gate").iterdir()
    gate.unlink()
    assert len(load_split(snapshot, "train", config.labels)) == 8
    assert len(load_split(snapshot, "search", config.labels)) == 4
    with pytest.raises(IntegrityError, match="is missing"):
        load_split(snapshot, "gate", config.labels)


def test_a_damaged_shard_is_never_used(snapshot: Snapshot, config: DataConfig) -> None:
    for path in (snapshot.store.root / "shards" / "train").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(IntegrityError, match="not that of its name"):
        load_split(snapshot, "train", config.labels)
    with pytest.raises(IntegrityError, match="not that of its name"):
        load_rows(snapshot)


def test_ingesting_again_mends_a_damaged_shard(snapshot: Snapshot, source: Path, config: DataConfig) -> None:
    for path in (snapshot.store.root / "shards" / "train").iterdir():
        path.write_bytes(b"damaged")
    again = ingest(source, snapshot.store, config, None)
    assert again.id == snapshot.id
    assert len(load_split(again, "train", config.labels)) == 8


def test_windows_made_some_at_a_time_are_those_made_at_once(config: DataConfig) -> None:
    payload = np.random.default_rng(0).normal(size=(5, 2, 100)).astype(np.float32)
    payload[3, 1, 40:60] = np.nan
    whole = cut(payload, config.signal)
    for most_bytes in (1, 500, 2000, 10**6):
        parts = list(cuts(payload, config.signal, most_bytes))
        assert max(part.payload.nbytes for _, part in parts) <= max(most_bytes, 128)
        rows = [row for rows, part in parts for row in range(rows.start, rows.stop) for _ in range(part.per_recording)]
        assert rows == [row for row in range(5) for _ in range(11)]
        assert b"".join(part.digests for _, part in parts) == whole.digests
        for name in ("starts", "payload", "nonfinite", "minimum", "maximum", "mean", "min_channel_std"):
            joined = np.concatenate([getattr(part, name) for _, part in parts])
            np.testing.assert_allclose(joined, getattr(whole, name), rtol=1e-12)
