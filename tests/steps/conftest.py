"""A state folder, its owner's guard, and a bundle that the tests of several steps begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evernas.state import Guard, Home
from evernas.state.ownership import claim


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Home(tmp_path / "home")


@pytest.fixture
def guard(home: Home) -> Iterator[Guard]:
    with claim(home, 0, lambda text: None) as ownership:
        yield ownership.guard
