"""The triggers benchmark runs, and its figures say: nothing lost, nothing twice, the runs of the rules."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
@pytest.mark.skipif(
    shutil.which("initdb") is None,
    reason="PostgreSQL is not installed here: apt-get install postgresql, and put initdb and pg_ctl on the PATH",
)
def test_quick_benchmark_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/triggers.py"), "--quick", "--json", str(file)]
    done = subprocess.run(
        [*command, "--only", "load_sqlite", "kill_database", "redeliveries"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert figures["load_sqlite_0.rejected"] == 0
    assert figures["load_sqlite_0.kept"] == figures["load_sqlite_0.sent"] == 300
    kill = "kill_database_postgresql"
    assert (figures[f"{kill}.kills"], figures[f"{kill}.acknowledged"], figures[f"{kill}.sent"]) == (2, 400, 400)
    assert (figures[f"{kill}.acknowledged_but_lost"], figures[f"{kill}.kept_twice"]) == (0, 0)
    assert figures["redeliveries.events_kept"] == figures["redeliveries.distinct_events"] == 20
    assert [figures[f"redeliveries.runs_after_wave_{wave}"] for wave in (1, 2, 3)] == [1, 2, 2]
    assert {"processor", "version_uvicorn"} <= figures.keys()
