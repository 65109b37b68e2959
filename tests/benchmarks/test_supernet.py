"""The supernet's benchmark: the three ways compute the same, a slower way is seen to be slower."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from supernet import Ways  # noqa: E402


def test_a_ratio_is_of_the_same_draw() -> None:
    assert Ways([1.0, 3.0], [2.0, 3.0], [1.0, 2.0]).ratios([2.0, 3.0]) == [0.5, 1.0]


def test_the_quick_run_compares_what_computes_the_same(tmp_path: Path) -> None:
    """It ends with an error where the plain modules, the extracted ones and the supernet have other losses."""
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/supernet.py"), "--quick", "--draws", "1", "--threads", "1"]
    done = subprocess.run([*command, "--json", str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert figures["cpu"]
    for space in ("signal", "image"):
        assert figures[f"{space}.of_plain"] > 0
        assert figures[f"{space}.of_plain_within_bar"] == (figures[f"{space}.of_plain"] <= 0.65)
        assert f"\n{space}" in done.stdout
