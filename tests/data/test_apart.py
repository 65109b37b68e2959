"""Held-out rows in a bucket: who takes them in cannot read them again, and who validates is only told of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import DataConfig, SplitConfig
from evernas.data import Snapshot, ingest, load_rows, load_split, open_snapshot
from evernas.data.splits import drawn
from evernas.errors import EvernasError, IntegrityError
from evernas.state import Home
from evernas.state.sharing import storage_of
from evernas.storage import Storage
from machines import Killed, Server, machine, server

__all__ = ["machine", "server"]


def store(home: Home) -> Storage:
    return storage_of(home, home.snapshots("p"))


@pytest.fixture
def delivered(source: Path, deliver: Any, recording: Any) -> Path:
    deliver("b.parquet", [recording("b", "t", "run"), recording("a", "t"), recording("g", "g")])
    deliver("a.parquet", [recording("s", "s"), recording("u", "t", "swim")])
    return source


@pytest.fixture
def in_folder(delivered: Path, tmp_path: Path, config: DataConfig) -> Snapshot:
    return ingest(delivered, tmp_path / "store", config, None)


def test_only_the_gate_reads_held_out_rows_and_all_else_is_as_in_a_folder(
    machine: Callable[..., Home], server: Server, delivered: Path, in_folder: Snapshot, config: DataConfig
) -> None:
    server.refuses = "gate/"
    snapshot = ingest(delivered, store(machine()), config, None)
    assert snapshot.id == in_folder.id
    assert [key for key in server.list() if key.startswith("gate/p/shards/")]
    validating = open_snapshot(store(machine()), snapshot.id)
    assert load_rows(validating).equals(load_rows(in_folder))
    for split in ("train", "search"):
        assert (load_split(validating, split, config.labels).x == load_split(in_folder, split, config.labels).x).all()
    with pytest.raises(EvernasError, match="the server refuses it"):
        load_split(validating, "gate", config.labels)
    assert not any(line.startswith("read gate/") for line in server.asked[:-1])
    server.refuses = None
    gate = load_split(open_snapshot(store(machine()), snapshot.id), "gate", config.labels)
    assert (gate.x == load_split(in_folder, "gate", config.labels).x).all()


def test_a_machine_fetches_only_the_shards_of_the_split_that_it_loads(
    machine: Callable[..., Home], server: Server, delivered: Path, config: DataConfig
) -> None:
    snapshot = ingest(delivered, store(machine()), config, None)
    server.asked.clear()
    load_split(open_snapshot(store(machine()), snapshot.id), "search", config.labels)
    folders = [line.rpartition("/")[0] for line in server.asked]
    assert folders == ["read snapshots/p/manifests", "read snapshots/p/shards/search"]


def test_damaged_rows_beside_a_shard_are_refused(
    machine: Callable[..., Home], server: Server, delivered: Path, config: DataConfig
) -> None:
    snapshot = ingest(delivered, store(machine()), config, None)
    (key,) = [key for key in server.list() if "/rows/" in key]
    data = bytearray(server.read(key))
    # Within a page: the first bytes are the file's magic and a page's header.
    data[120] ^= 1
    server.write(key, bytes(data))
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_rows(open_snapshot(store(machine()), snapshot.id))


def test_a_machine_that_is_killed_while_it_takes_data_in_leaves_no_snapshot_and_the_next_goes_on(
    machine: Callable[..., Home], server: Server, delivered: Path, in_folder: Snapshot, config: DataConfig
) -> None:
    writes = 0
    while True:
        server.writes_left = writes
        try:
            snapshot = ingest(delivered, store(machine()), config, None)
            break
        except Killed:
            assert not server.list("snapshots/p/manifests/")
        writes += 1
    assert snapshot.id == in_folder.id
    server.writes_left = 1000
    assert ingest(delivered, store(machine()), config, snapshot.id).id == snapshot.id
    assert load_rows(open_snapshot(store(machine()), snapshot.id)).equals(load_rows(in_folder))


def test_who_may_not_read_the_gate_joins_a_copy_of_its_recordings_by_what_lies_beside_them(
    machine: Callable[..., Home], server: Server, source: Path, deliver: Any, recording: Any, config: DataConfig
) -> None:
    by_recording = config.model_copy(update={"splits": SplitConfig(by="recording", gate=0.4, search=0.2)})
    names = [f"r{n}" for n in range(40)]
    gate, other = (next(n for n in names if drawn(n, by_recording.splits) == split) for split in ("gate", "train"))
    deliver("a.parquet", [recording(gate, "north", steps=64, seed=1), recording("x", "north", steps=64, seed=2)])
    server.refuses = "gate/"
    first = ingest(source, store(machine()), by_recording, None)
    copy = recording(gate, "south", steps=64, seed=1)
    deliver("b.parquet", [{**copy, "id": other, "payload": (3 * np.asarray(copy["payload"])).tolist()}])
    second = ingest(source, store(machine()), by_recording, first.id)
    assert second.manifest.joined == {other: "gate"}
    rows = load_rows(open_snapshot(store(machine()), second.id)).to_pylist()
    assert {row["split"] for row in rows if row["recording"] == other} == {"gate"}
    assert not any(line.startswith("read gate/") for line in server.asked)
