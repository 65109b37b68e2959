"""The watch benchmark runs, prints its table and writes every figure of it under plain names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from warm import Warm
from warm_python import lent

ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
def test_quick_benchmark_prints_its_table_and_writes_its_figures(tmp_path: Path, warm: Warm) -> None:
    file = tmp_path / "figures.json"
    script = str(ROOT / "benchmarks/watch.py")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVERNAS", "MLFLOW"))}
    with lent(warm, tmp_path) as interpreter:
        command = [str(interpreter), script, "--quick", "--json", str(file), "--folder", str(tmp_path / "kept")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    assert "points to the trees" in done.stdout
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    named = {"first_champion_mean", "first_trees_mean", "last_candidate_worst_person", "last_minus_trees"}
    assert named <= figures.keys()
    assert figures["first_trees_mean"] - figures["first_majority_mean"] > 30, "the peer is a real one"
    assert figures["quick"] is True
    assert {"processor", "version_torch"} <= figures.keys()
