"""The order of the tests: the files that take minutes first, so that no process of `make test` is left with them."""

from __future__ import annotations

import pytest

# The kills, and beside them what needs none of the runs that they begin with.
FIRST = ("tests/e2e/test_kills.py", "tests/benchmarks/", "tests/e2e/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))
