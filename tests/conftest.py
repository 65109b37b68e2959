"""The order of the tests: what takes minutes first, so that no process is left with it; and what spares imports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from warm import Warm

# The kills, and beside them what needs none of the runs that they begin with.
FIRST = ("tests/e2e/test_kills.py", "tests/benchmarks/", "tests/e2e/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Spares the commands of most tests the imports; the first run of all does without, as a person does."""
    server = Warm(tmp_path_factory.mktemp("warm"))
    yield server
    server.stop()
