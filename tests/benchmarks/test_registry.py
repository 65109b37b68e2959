"""The registry's race, 8 promoters by 20 rounds on every storage: one winner, no gap, the alias is the head."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_quick_race_has_no_faults_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/registry.py"), "--quick", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert (figures["promoters"], figures["files_rounds"], figures["faults"]) == (8, 20, 0)
    raced = ["files", "sqlite", "s3", *(["postgresql"] if shutil.which("initdb") else [])]
    for name in raced:
        assert figures[f"{name}_wrong_winners"] == figures[f"{name}_gaps"] == figures[f"{name}_alias_wrong"] == 0
        assert figures[f"{name}_stopped"] == 2
    assert figures["files_kills_old_champion"] > 0
    assert figures["files_kills_new_champion"] > 0
    assert figures["s3_lossy_answers_lost"] > 0
    if "postgresql" not in raced:
        assert "initdb" in done.stdout
