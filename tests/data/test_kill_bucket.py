"""Killed at any request to a bucket, or twice at once, an ingest gives the parent or the one right snapshot."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3

from evernas.config import DataConfig
from evernas.data import Snapshot, ingest, load_rows, open_snapshot, open_source
from evernas.state import Home
from evernas.state.bucket import Bucket
from evernas.state.sharing import storage_of
from evernas.storage import Storage
from evernas.storage.s3 import S3Address, S3Storage, connect


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3() as port:
        yield port


class Place:
    """A source and a store in a bucket, and a store in a folder for what should come of it."""

    def __init__(self, port: int, name: str, folder: Path, config: DataConfig) -> None:
        self.options = f"?endpoint=http://127.0.0.1:{port}&region=us-east-1"
        self.name, self.folder, self.config = name, folder, config
        self.direct = connect(S3Address.parse(f"s3://{BUCKET}/{self.options}"))

    def put(self, name: str, body: bytes) -> None:
        self.direct.put_object(Bucket=BUCKET, Key=f"{self.name}/in/{name}", Body=body)

    def store(self, scratch: str, client: Any = None) -> Storage:
        address = S3Address.parse(f"s3://{BUCKET}/{self.name}/state{self.options}")
        root = self.folder / scratch
        home = Home(root, Bucket(root, S3Storage(address, client)))
        return storage_of(home, home.snapshots("p"))

    def ingest(self, parent: str | None, scratch: str, client: Any = None) -> Snapshot:
        source = open_source(f"s3://{BUCKET}/{self.name}/in{self.options}", self.folder / scratch)
        if client is not None:
            source._client = client  # type: ignore[attr-defined]
        return ingest(source, self.store(scratch, client), self.config, parent)

    def forked(self, parent: str, scratch: str, dies_after: int) -> int:
        """The process of an ingest that ends at a request to the server after so many."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            client, left = connect(S3Address.parse(f"s3://{BUCKET}/{self.options}")), [dies_after]

            def count(**_: Any) -> None:
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1

            client.meta.events.register("before-send.s3", count)
            self.ingest(parent, scratch, client)
            code = 0
        finally:
            os._exit(code)


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def place(
    port: int,
    tmp_path: Path,
    config: DataConfig,
    deliver: Callable[..., Path],
    recording: Any,
    request: pytest.FixtureRequest,
) -> Place:
    place = Place(port, request.node.name, tmp_path, config)
    for name, rows in {"a": ["t", "g"], "b": ["t", "s"]}.items():
        place.put(f"{name}.parquet", deliver("made.parquet", [recording(f"{name}{d}", d) for d in rows]).read_bytes())
    return place


@pytest.fixture
def parent(place: Place, deliver: Callable[..., Path], recording: Any) -> Snapshot:
    """What was there before two more objects came and one was changed."""
    parent = place.ingest(None, "first")
    changed = {"a": ["t", "g", "u"], "c": ["t"], "d": ["g", "s"]}
    for name, rows in changed.items():
        made = [recording(f"{name}{d}", d, seed=1) for d in rows]
        place.put(f"{name}.parquet", deliver("made.parquet", made).read_bytes())
    return parent


def test_killed_at_any_request_the_parent_stays_and_the_next_run_completes_it(place: Place, parent: Snapshot) -> None:
    before = load_rows(parent)
    killed = 0
    for after in range(0, 40, 3):
        code = _ended(place.forked(parent.id, f"run-{after}", after))
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            break
        killed += 1
        assert load_rows(open_snapshot(place.store(f"look-{after}"), parent.id)).equals(before)
    assert killed >= 4
    found = place.ingest(parent.id, "last")
    clean = ingest(open_source(f"s3://{BUCKET}/{place.name}/in{place.options}", place.folder), *_clean(place, parent))
    assert found.id == clean.id
    assert load_rows(found).num_rows == 4 * 8


def _clean(place: Place, parent: Snapshot) -> tuple[Path, DataConfig, str]:
    """A folder that has the parent alone, to take the same in anew."""
    store, there = place.folder / "clean", place.store("look")
    shards = [f"shards/{shard.split}/{shard.digest}.parquet" for _, _, shard in parent.manifest.shards()]
    for key in (f"manifests/{parent.id}.json", *shards):
        (store / key).parent.mkdir(parents=True, exist_ok=True)
        (store / key).write_bytes(there.read(key))
    return store, place.config, parent.id


def test_two_at_once_give_one_snapshot_in_a_bucket_too(place: Place, parent: Snapshot) -> None:
    codes = [_ended(pid) for pid in [place.forked(parent.id, f"one-{n}", 10**6) for n in range(2)]]
    assert codes == [0, 0]
    found = place.ingest(parent.id, "last")
    held = [key.removeprefix("manifests/") for key in place.store("look").list("manifests/")]
    assert sorted(held) == sorted(f"{id}.json" for id in (parent.id, found.id))
    assert load_rows(found).num_rows == 4 * 8
