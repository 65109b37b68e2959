"""The cache of evaluations: one file per architecture in a folder, written whole, shared by any number of processes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.digest import digest_value
from evernas.errors import UsageError
from evernas.search.objectives import Evaluation
from evernas.spaces.api import Architecture
from evernas.state.files import write_json

EVALUATION_VERSION = 1


@dataclass(frozen=True)
class RefusedFile:
    """A file of the folder that is no evaluation, and why."""

    path: Path
    reason: str


class EvaluationCache:
    """Evaluations by architecture. What was put is there in full or not at all; a bad file counts as not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, arch: Architecture) -> Evaluation | None:
        """The evaluation of an architecture, or None if there is none that can be trusted."""
        path = self._path(arch)
        if not path.exists():
            return None
        found = _read(path)
        return found if isinstance(found, Evaluation) and found.architecture == arch else None

    def put(self, arch: Architecture, values: Mapping[str, float]) -> Evaluation:
        """Keep the values of an architecture; the last of two wins. UsageError for NaN."""
        for name, value in values.items():
            if math.isnan(value):
                raise UsageError(f"{arch.id} has {name} = nan: keep numbers only, or infinity for a failure.")
        evaluation = Evaluation(arch, {name: float(value) for name, value in values.items()})
        body = {
            "version": EVALUATION_VERSION,
            "architecture": arch.to_json(),
            "values": {name: _text(value) for name, value in evaluation.values.items()},
        }
        write_json(self._path(arch), {**body, "digest": digest_value(body)})
        return evaluation

    def all(self) -> list[Evaluation]:
        """All evaluations that can be trusted, by the architecture's id."""
        return [found for found in self._scan() if isinstance(found, Evaluation)]

    def refused(self) -> list[RefusedFile]:
        """The files that are no evaluations, each with the reason."""
        return [found for found in self._scan() if isinstance(found, RefusedFile)]

    def _path(self, arch: Architecture) -> Path:
        return self.folder / f"{arch.id}.json"

    def _scan(self) -> list[Evaluation | RefusedFile]:
        # Names that start with a dot are writes under way, or what a kill left of them.
        paths = sorted(p for p in self.folder.iterdir() if not p.name.startswith(".")) if self.folder.is_dir() else []
        return [_read(path) for path in paths]


def _read(path: Path) -> Evaluation | RefusedFile:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        return RefusedFile(path, f"{path.name} cannot be read ({error}): it is evaluated again.")
    try:
        body = {key: document[key] for key in ("version", "architecture", "values")}
        if body["version"] != EVALUATION_VERSION:
            return RefusedFile(path, f"{path.name} has version {body['version']!r}, not {EVALUATION_VERSION}.")
        if document["digest"] != digest_value(body):
            return RefusedFile(path, f"{path.name} was altered after it was written: it is evaluated again.")
        arch = Architecture.from_json(body["architecture"])
        values = {str(name): float(value) for name, value in body["values"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, UsageError):
        return RefusedFile(path, f"{path.name} is no evaluation of evernas.")
    if path.name != f"{arch.id}.json":
        return RefusedFile(path, f"{path.name} holds the architecture {arch.id}: a file bears its architecture's id.")
    return Evaluation(arch, values)


def _text(value: float) -> Any:
    """Infinity as a text, which JSON has no number for."""
    return value if math.isfinite(value) else repr(value)
