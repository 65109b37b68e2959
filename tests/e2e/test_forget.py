"""A person who is erased from a real state folder is in no byte of it any more."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from place import Place, succeeded

pytestmark = pytest.mark.e2e
NAMES = (b"p05-r", b"wearer-05")


def _holding(folder: Path, traces: list[bytes]) -> list[str]:
    """The files that have one of these; but for those that were delivered, which are not evernas's."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and not name.startswith("incoming"):
            data = path.read_bytes()
            found += [name for trace in traces if trace in data or trace in name.encode()]
    return found


def test_a_wearer_who_is_erased_is_nowhere_any_more(again: Place) -> None:
    shards = [pq.read_table(path) for path in again.home.glob("projects/watch/data/shards/train/*.parquet")]
    rows = [row for table in shards for row in table.to_pylist() if row["domain"] == "5"]
    assert len(rows) > 100
    traces = [*NAMES, *(row["payload"][:64] for row in rows[::10]), *(row["digest"].encode() for row in rows[::10])]
    assert len(_holding(again.home, traces)) > 20
    asked = ["--config", str(again.config), "--reason", "asked", "--json"]
    (erased,) = json.loads(succeeded(again.evernas("data", "forget", "5", *asked)).stdout)
    assert erased["record"]["rows"] == len(rows)
    assert _holding(again.home, traces) == []
    planned = json.loads(succeeded(again.evernas("plan", str(again.config), "--json")).stdout)
    assert "trains from an earlier supernet that never saw it" in planned["erasure"]
    assert planned["new"] == []
    assert {step["step"]: step["state"] for step in planned["steps"]}["supernet"] == "runs"
