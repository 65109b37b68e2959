"""Spares the compiler half a minute a pipeline: KFP asks who called it, and pytest's stack is deep."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial

import pytest


@pytest.fixture(autouse=True, scope="session")
def _stacks_without_source() -> Iterator[None]:
    """KFP needs the callers' names alone; to read each caller's source Python looks through all modules, every time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect, "stack", partial(inspect.stack, 0))
        yield
