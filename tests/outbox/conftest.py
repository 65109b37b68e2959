"""A project whose happenings are told, with the outbox in either database."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import serving
from evernas.state import Home
from sinks import SECRET, Sink, listening
from small_project import Place, project_in


@pytest.fixture
def sink() -> Iterator[Sink]:
    with listening() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Place:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("EVERNAS_HOME", str(home.path))
    monkeypatch.setenv("SINK_SECRET", SECRET)
    made = project_in(home, tmp_path)
    ops = {"name": "ops", "url": sink.url, "private": True, "secret": {"env": "SINK_SECRET"}, "retry_s": 0.0}
    made.change(outbox={"sinks": [ops]})
    return made


@pytest.fixture(scope="session")
def postgres() -> Iterator[serving.Postgres]:
    if shutil.which("initdb") is None:
        pytest.skip("PostgreSQL is not installed here: put initdb and pg_ctl on the PATH")
    with serving.postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def kept_in(request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which database has the outbox; of PostgreSQL one that all tests share, told apart by the project."""
    if request.param == "postgresql":
        monkeypatch.setenv("INBOX_URL", request.getfixturevalue("postgres").url)
        place.change(triggers={"database": {"env": "INBOX_URL"}})
    return str(request.param)
