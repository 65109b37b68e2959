from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evernas.config import DataConfig
from evernas.data import Snapshot, ingest, load_rows, open_snapshot

# The child dies by SIGKILL at its n-th call of a chosen function: between any two effects on the disk.
CHILD = """
import os, signal, sys
from pathlib import Path
from evernas.config import DataConfig
from evernas.data import ingest

source, store, config, parent, name, left = sys.argv[1:]
left = [int(left)]
original = getattr(os, name, None) or getattr(Path, name)

def die(*arguments, **keywords):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return original(*arguments, **keywords)

setattr(os if hasattr(os, name) and name == "fsync" else Path, name, die)
ingest(Path(source), Path(store), DataConfig.model_validate_json(config), parent)
"""


@pytest.fixture
def parent(source: Path, tmp_path: Path, config: DataConfig, deliver: Any, recording: Any) -> Snapshot:
    deliver("a.parquet", [recording("a", "t"), recording("g", "g")])
    parent = ingest(source, tmp_path / "store", config, None)
    deliver("b.parquet", [recording("b", "t"), recording("h", "g"), recording("s", "s")])
    deliver("a.parquet", [recording("a", "t", seed=1), recording("g", "g")])
    return parent


def _child(source: Path, parent: Snapshot, config: DataConfig, name: str, left: int) -> subprocess.Popen[bytes]:
    arguments = [str(source), str(parent.store.root), config.model_dump_json(), parent.id, name, str(left)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], env={**os.environ, "PYTHONPATH": _package()})


def _package() -> str:
    import evernas

    return str(Path(evernas.__file__).parents[1])


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_killed_anywhere_the_parent_stays_and_a_rerun_gives_the_same_snapshot(
    name: str, source: Path, parent: Snapshot, config: DataConfig, tmp_path: Path
) -> None:
    before = load_rows(parent)
    killed = 0
    for left in range(0, 12, 3 if name == "fsync" else 1):
        code = _child(source, parent, config, name, left).wait(60)
        killed += code == -signal.SIGKILL
        assert load_rows(open_snapshot(parent.store, parent.id)).equals(before)
        if code == 0:
            break
    assert killed >= 3
    again = ingest(source, parent.store, config, parent.id)
    assert load_rows(again).num_rows == 20
    reference = _from_clean_store(source, tmp_path / "clean", config, parent)
    assert again.id == reference.id


def _from_clean_store(source: Path, clean: Path, config: DataConfig, parent: Snapshot) -> Snapshot:
    shutil.copytree(parent.store.root / "manifests", clean / "manifests")
    for path in (clean / "manifests").iterdir():
        if path.stem != parent.id:
            path.unlink()
    return ingest(source, clean, config, parent.id)


def test_two_at_once_give_one_snapshot(source: Path, parent: Snapshot, config: DataConfig) -> None:
    children = [_child(source, parent, config, "replace", 10**6) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    again = ingest(source, parent.store, config, parent.id)
    assert sorted(path.stem for path in (parent.store.root / "manifests").iterdir()) == sorted([parent.id, again.id])
    assert load_rows(again).num_rows == 20
