"""Handing a run to the engine that executes the pipeline; engines register themselves, the library names none."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from evernas.config import Config
from evernas.errors import UsageError

Engine = Callable[[Config, Path, str, Path], bool]


def engine(name: str) -> Engine:
    """The engine of this name: called with config, state folder, run and log file; False if a step failed."""
    for point in entry_points(group="evernas.engines"):
        if point.name == name:
            try:
                loaded: Engine = point.load()
            except ImportError as error:
                raise UsageError(f"The engine {name!r} lacks a package ({error}): install evernas[local].") from None
            return loaded
    raise UsageError(f"There is no engine {name!r}: install evernas[local].")
