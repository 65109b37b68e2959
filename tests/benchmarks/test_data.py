"""The benchmark of taking data in runs, prints its table and writes every figure of it under plain names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_quick_benchmark_prints_its_table_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    script = str(ROOT / "benchmarks/data.py")
    command = [sys.executable, script, "--quick", "--json", str(file), "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "5,000 rows: seconds" in done.stdout
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert figures["peak_mb_5000"] < 1500
    assert {"mb_per_s_5000", "mb_per_cpu_s_5000", "load_average_5000", "processor", "version_pyarrow"} <= set(figures)
    assert (figures["objects_first_gets"], figures["objects_second_gets"], figures["objects_third_gets"]) == (15, 5, 0)
    assert figures["objects_second_others"] == 0
    assert figures["copies_5000"] == 50
    assert figures["near_rows_per_cpu_s_5000"] > 0
    assert {"default_mb_per_s_5000", "default_peak_mb_5000", "added_cpu_seconds_5000"} <= set(figures)
    assert figures["near_signal_false_share"] <= 0.001
    changes = [name for name in figures if name.startswith("near_signal_recall_")]
    assert len(changes) == 5
    assert min(figures[name] for name in changes) >= 0.8, "of 20 copies; the bound of 0.95 is for the full run"
    assert list(tmp_path.iterdir()) == [file]
