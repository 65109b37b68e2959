"""The plan says what a run would do before anything ran, and does nothing itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _plan(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVERNAS")}
    return subprocess.run(
        [sys.executable, "-m", "evernas.cli", "plan", str(tmp_path / "evernas.yaml"), *more],
        env={**environment, "EVERNAS_HOME": str(tmp_path / "home"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_before_the_first_run_all_steps_are_planned_with_rough_seconds(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/watch/evernas.yaml", tmp_path)
    incoming = tmp_path / "home" / "incoming" / "watch"
    incoming.mkdir(parents=True)
    (incoming / "batch.parquet").write_bytes(b"not looked into")
    planned = json.loads(_plan(tmp_path, "--json").stdout)
    assert planned["new"] == ["batch.parquet"]
    assert {step["state"] for step in planned["steps"]} == {"runs"}
    assert 60 < planned["seconds"] < 600
    assert planned["evaluations"] == 400
    said = _plan(tmp_path).stdout
    assert "roughly" in said
    assert f"{int(planned['space_size']):,}" in said
    assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["incoming"], "a plan leaves nothing behind"


def test_a_missing_source_is_refused_with_exit_2(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/watch/evernas.yaml", tmp_path)
    done = _plan(tmp_path)
    assert done.returncode == 2
    assert "data.source" in done.stderr
    assert "Traceback" not in done.stderr
