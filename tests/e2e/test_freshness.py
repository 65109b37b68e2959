"""A source that dries up, through the real pipeline: taken while it is fresh, refused once it is not, taken again."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from place import succeeded
from tiny_project import PEOPLE, deliver, tiny
from warm import Warm

pytestmark = pytest.mark.e2e
DAY_S = 86_400.0


def _timed(path: Path, when: float) -> None:
    """All recordings of a file are of this time."""
    table = pq.read_table(path)
    pq.write_table(table.append_column("time", pa.array([when] * table.num_rows, pa.float64())), path)


def test_what_was_fresh_enough_is_refused_when_it_is_not_any_more(tmp_path: Path, warm: Warm) -> None:
    place = tiny(tmp_path, warm, validation={"freshness": {"max_age_days": 1}}, gate={"recheck_after": 0})
    fresh_until = time.time() + 120
    _timed(tmp_path / "incoming/first.parquet", fresh_until - DAY_S)
    succeeded(place.run())
    assert place.result()["outcome"] == "promoted"
    champion = place.result()["devices"][0]["champion_after"]["bundle"]
    assert str(int(fresh_until - DAY_S)) not in (place.home / "latest/report.html").read_text()

    # Runs begin at whole seconds.
    time.sleep(max(0.0, fresh_until + 2 - time.time()))
    refused = place.run()
    assert refused.returncode == 4, refused.stdout + refused.stderr
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "The newest good row is 2 days old, more than validation.freshness.max_age_days = 1" in said

    _timed(deliver(tmp_path / "incoming", "second.parquet", PEOPLE[7:], seed=1), time.time())
    succeeded(place.run())
    assert place.result()["devices"][0]["champion_before"]["bundle"] == champion
