"""The storages that a journal can lie in, real ones: files, SQLite, PostgreSQL, S3."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import Missing, postgres, postgres_url, s3, s3_url

from evernas.registry.journal import Journal
from evernas.registry.opening import open_slots
from evernas.state import Home

BACKENDS = ("files", "sqlite", "postgresql", "s3")


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    try:
        with postgres() as port:
            yield port
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    with s3() as port:
        yield port


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """What `registry.journal` says, for each kind of storage."""
    if request.param == "files":
        return None
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    if request.param == "postgresql":
        return postgres_url(request.getfixturevalue("postgres_port"))
    return s3_url(request.getfixturevalue("s3_port"))


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project that no other test uses: servers are shared by all tests."""
    return f"p-{abs(hash(request.node.nodeid)) % 10**12}"


@pytest.fixture
def journal(url: str | None, project: str, tmp_path: Path) -> Journal:
    return Journal(open_slots(url, Home(tmp_path / "home"), project))
