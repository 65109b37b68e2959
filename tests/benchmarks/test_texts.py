"""The benchmark of texts runs, and writes every figure of its table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evernas.config import load_config

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from texts import within  # noqa: E402


def test_texts_that_the_pipeline_would_not_take_in_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERNAS_HOME", str(tmp_path))
    config = load_config(ROOT / "examples" / "languages" / "evernas.yaml")
    rows = [{"payload": payload} for payload in ("a" * 256, "a" * 257, "a " + " " * 300 + "b")]
    assert within(rows, config) == [rows[0], rows[2]]


def test_quick_run_compares_networks_with_ngrams(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "texts.py"), "--quick", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert 0.03 < figures["ngrams_error"] < 0.15
    for name in ("embedding", "convolution", "attention", "attention_convolution"):
        assert 0 < figures[f"{name}_error"] <= figures[f"{name}_error_worst"] <= 1
        assert figures[f"{name}_size_kb"] < figures["ngrams_size_kb"]
    assert "| ngrams |" in done.stdout
