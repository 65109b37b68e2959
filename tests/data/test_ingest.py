from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import DataConfig
from evernas.data import Manifest, ingest, load_rows, open_snapshot, pending
from evernas.data.folder import FolderSource
from evernas.errors import DataRefusedError, IntegrityError, OwnershipError, UsageError


@pytest.fixture
def three(deliver: Any, recording: Any) -> None:
    deliver("a.parquet", [recording("a1", "t"), recording("a2", "t", "run")])
    deliver("deep/b.parquet", [recording("b1", "s"), recording("b2", "g", "run")])
    deliver("c.parquet", [recording("c1", "g")])


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    original = FolderSource.open

    def spy(self: FolderSource, item: Any) -> Any:
        names.append(item.name)
        return original(self, item)

    monkeypatch.setattr(FolderSource, "open", spy)
    return names


@pytest.mark.usefixtures("three")
def test_recordings_become_windows_in_their_domains_split(source: Path, tmp_path: Path, config: DataConfig) -> None:
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert snapshot.manifest.counts() == {
        "split": {"gate": 8, "search": 4, "train": 8},
        "domain": {"g": 8, "s": 4, "t": 8},
        "label": {"run": 8, "walk": 12},
    }
    assert snapshot.manifest.splits == {"g": "gate", "s": "search", "t": "train"}
    assert snapshot.manifest.added == ("a.parquet", "c.parquet", "deep/b.parquet")
    rows = load_rows(snapshot)
    assert "payload" not in rows.column_names
    assert rows.column("sample_id").to_pylist()[:4] == ["a1/0", "a1/8", "a1/16", "a1/24"]
    assert rows.column("row").to_pylist() == list(range(20))


@pytest.mark.usefixtures("three")
def test_equal_content_gives_an_equal_id_wherever_and_whenever(
    source: Path, tmp_path: Path, config: DataConfig
) -> None:
    first = ingest(source, tmp_path / "store", config, None)
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    for path in copy.rglob("*.parquet"):
        os.utime(path, (1, 1))
    second = ingest(copy, tmp_path / "other", config, None)
    assert second.id == first.id
    text = (tmp_path / "store" / "manifests" / f"{first.id}.json").read_text()
    assert str(tmp_path) not in text


@pytest.mark.usefixtures("three")
def test_nothing_new_gives_the_parent_and_reads_nothing(
    source: Path, tmp_path: Path, config: DataConfig, read_names: list[str]
) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    read_names.clear()
    assert ingest(source, store, config, first.id).id == first.id
    assert pending(source, first) == []
    assert read_names == []


def test_of_many_files_only_the_new_and_changed_are_read(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any, read_names: list[str]
) -> None:
    template = deliver("000.parquet", [recording("r", "t")]).read_bytes()
    for number in range(1, 300):
        (source / f"{number:03d}.parquet").write_bytes(template)
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    assert len(list((store / "shards" / "train").iterdir())) == 1
    read_names.clear()
    deliver("007.parquet", [recording("changed", "t")])
    deliver("new.parquet", [recording("n", "t")])
    (source / "009.parquet").unlink()
    assert pending(source, first) == ["007.parquet", "009.parquet", "new.parquet"]
    read_names.clear()
    second = ingest(source, store, config, first.id)
    assert read_names == ["007.parquet", "new.parquet"]
    assert second.manifest.added == ("new.parquet",)
    assert second.manifest.changed == ("007.parquet",)
    assert second.manifest.removed == ("009.parquet",)
    assert second.manifest.parent == first.id
    assert second.manifest.rows == first.manifest.rows


@pytest.mark.usefixtures("three")
def test_a_touched_file_is_read_once_and_changes_nothing(
    source: Path, tmp_path: Path, config: DataConfig, read_names: list[str]
) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    os.utime(source / "a.parquet", (1, 1))
    assert pending(source, first) == []
    read_names.clear()
    assert ingest(source, store, config, first.id).id == first.id
    assert ingest(source, store, config, first.id).id == first.id
    assert read_names == ["a.parquet"]


@pytest.mark.usefixtures("three")
def test_a_change_that_keeps_size_and_mtime_is_seen(source: Path, tmp_path: Path, config: DataConfig) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    path = source / "a.parquet"
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[:4] = b"XXXX"
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert pending(source, first) == ["a.parquet"]
    assert ingest(source, store, config, first.id).manifest.changed == ("a.parquet",)


@pytest.mark.usefixtures("three")
def test_new_windows_make_all_rows_new(source: Path, tmp_path: Path, config: DataConfig) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    wider = config.model_copy(update={"signal": config.signal.model_copy(update={"stride": 4})})
    second = ingest(source, store, wider, first.id)
    assert second.manifest.changed == ("a.parquet", "c.parquet", "deep/b.parquet")
    assert second.manifest.rows > first.manifest.rows
    assert all(load_rows(second).column("new").to_pylist())


@pytest.mark.usefixtures("three")
def test_a_known_domain_never_changes_its_split(source: Path, tmp_path: Path, config: DataConfig) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    moved = config.model_copy(update={"splits": config.splits.model_copy(update={"gate": ["t"]})})
    with pytest.raises(UsageError, match=r"'g' from gate to train, 't' from train to gate"):
        ingest(source, store, moved, first.id)
    shutil.rmtree(source)
    source.mkdir()
    emptied = ingest(source, store, config.model_copy(update={"retired": ["g", "s", "t"]}), first.id)
    assert emptied.manifest.removed == ("a.parquet", "c.parquet", "deep/b.parquet")
    with pytest.raises(UsageError, match="'g' from gate to train"):
        ingest(source, store, moved, emptied.id)


@pytest.mark.usefixtures("three")
def test_a_whole_domain_that_would_go_is_refused_unless_it_is_retired(
    source: Path, tmp_path: Path, config: DataConfig
) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    (source / "deep" / "b.parquet").unlink()
    with pytest.raises(DataRefusedError, match=r"domain 's' would go \(1 of 3 domains\).*data\.retired"):
        ingest(source, store, config, first.id)
    retired = config.model_copy(update={"retired": ["s"]})
    with pytest.raises(DataRefusedError, match=r"4 of 20 rows \(20\.0%\) would go, more than data\.max_loss = 1\.0%"):
        ingest(source, store, retired, first.id)
    allowed = retired.model_copy(update={"max_loss": 0.2})
    assert ingest(source, store, allowed, first.id).manifest.removed == ("deep/b.parquet",)


@pytest.mark.usefixtures("three")
def test_rows_that_only_move_to_another_file_are_no_loss(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any
) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    deliver("merged.parquet", [recording("b1", "s"), recording("b2", "g", "run"), recording("c1", "g")])
    (source / "deep" / "b.parquet").unlink()
    (source / "c.parquet").unlink()
    assert ingest(source, store, config, first.id).manifest.rows == first.manifest.rows


@pytest.mark.usefixtures("three")
def test_a_file_cut_short_is_a_loss(source: Path, tmp_path: Path, config: DataConfig) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    path = source / "c.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    for wider in (config, config.model_copy(update={"signal": config.signal.model_copy(update={"stride": 4})})):
        with pytest.raises(DataRefusedError, match="4 of 20 rows"):
            ingest(source, store, wider, first.id)


def test_rows_arrive_in_the_order_of_increments(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any
) -> None:
    store = tmp_path / "store"
    deliver("z.parquet", [recording("early", "t")])
    first = ingest(source, store, config, None)
    deliver("a.parquet", [recording("late", "t")])
    second = ingest(source, store, config, first.id)
    rows = load_rows(second)
    assert rows.column("recording").to_pylist() == ["early"] * 4 + ["late"] * 4
    assert rows.column("new").to_pylist() == [False] * 4 + [True] * 4


def test_a_source_that_is_no_folder_is_refused(tmp_path: Path, config: DataConfig) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        ingest(tmp_path / "missing", tmp_path / "store", config, None)


def test_an_empty_source_is_an_empty_snapshot(source: Path, tmp_path: Path, config: DataConfig) -> None:
    snapshot = ingest(source, tmp_path / "store", config, None)
    rows = load_rows(snapshot)
    assert rows.num_rows == 0
    assert {"sample_id", "digest", "new", "split"} <= set(rows.column_names)


@pytest.mark.usefixtures("three")
def test_a_changed_manifest_is_noticed(source: Path, tmp_path: Path, config: DataConfig) -> None:
    store = tmp_path / "store"
    snapshot = ingest(source, store, config, None)
    path = store / "manifests" / f"{snapshot.id}.json"
    path.write_text(path.read_text().replace('"train"', '"gate"', 1))
    with pytest.raises(IntegrityError, match="was changed"):
        open_snapshot(store, snapshot.id)
    with pytest.raises(IntegrityError, match="is not in"):
        open_snapshot(store, "0" * 64)


@pytest.mark.usefixtures("three")
def test_a_manifest_survives_its_text_and_another_version_is_refused(
    source: Path, tmp_path: Path, config: DataConfig
) -> None:
    manifest = ingest(source, tmp_path / "store", config, None).manifest
    assert Manifest.from_json(manifest.to_json()) == manifest
    with pytest.raises(IntegrityError, match="version 4"):
        Manifest.from_json(manifest.to_json().replace('"version":2', '"version":4'))


@pytest.mark.usefixtures("three")
def test_a_lost_ownership_publishes_nothing_more(source: Path, tmp_path: Path, config: DataConfig) -> None:
    def lost() -> None:
        raise OwnershipError("Another run owns the state folder: this one ends.")

    with pytest.raises(OwnershipError):
        ingest(source, tmp_path / "store", config, None, lost)
    assert not list(tmp_path.glob("store/**/*.*"))


@pytest.mark.usefixtures("three")
def test_a_damaged_index_only_costs_reading(
    source: Path, tmp_path: Path, config: DataConfig, read_names: list[str]
) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    (store / "index" / f"{first.id}.json").write_text("{")
    read_names.clear()
    assert ingest(source, store, config, first.id).id == first.id
    assert len(read_names) == 3


def test_a_file_of_many_recordings_is_cut_into_shards_in_little_memory(
    source: Path, tmp_path: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evernas.data import shards

    monkeypatch.setattr(shards, "SHARD_PAYLOAD_BYTES", 64 * 2**10)
    rng = np.random.default_rng(0)
    payload = pa.array([list(rng.normal(size=(2, 160)).astype(np.float32)) for _ in range(400)])
    n = len(payload)
    columns = {"id": [f"r{i}" for i in range(n)], "domain": ["t"] * n, "label": ["walk"] * n, "payload": payload}
    pq.write_table(pa.table(columns), source / "big.parquet", row_group_size=100)
    snapshot = ingest(source, tmp_path / "store", config, None)
    sizes = [shard.bytes for _, _, shard in snapshot.manifest.shards()]
    assert snapshot.manifest.rows == 400 * 19
    assert len(sizes) > 10
    assert max(sizes) < 256 * 2**10
