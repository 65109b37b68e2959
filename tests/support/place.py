"""A state folder and a config as a person has them, for tests that run the whole loop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from small_config import SMALL
from warm import Warm, WarmProcess

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "watch" / "evernas.yaml"
PATIENCE_S = 600


@dataclass
class Place:
    """A state folder and a config, with the commands that a person would type.

    Each command is a new interpreter, or with `warm`, a fork of one that has imported everything.
    """

    home: Path
    config: Path
    warm: Warm | None = None
    more: dict[str, str] = field(default_factory=dict)
    """What its commands find in the environment besides."""
    example: str = "watch"
    """Whose data is delivered."""

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("EVERNAS", "MLFLOW"))}
        return {**clean, "COLUMNS": "200", **self.more, "EVERNAS_HOME": str(self.home)}

    def deliver(self) -> str:
        script = str(ROOT / "examples" / self.example / "deliver.py")
        return succeeded(self._do(script, "--config", str(self.config), "--home", str(self.home))).stdout

    def evernas(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._do("-m", "evernas.cli", *arguments)

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.evernas("run", str(self.config), *more)

    def start(self) -> subprocess.Popen[str] | WarmProcess:
        """A run in the background, in a process group of its own."""
        arguments = ["-m", "evernas.cli", "run", str(self.config)]
        if self.warm is not None:
            return self.warm.start(arguments, self.environment, self.home.parent)
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=self.home.parent,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Tests that run in the background inherit that Ctrl-C is ignored; a person's terminal does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def runs(self) -> list[str]:
        return sorted(path.name for path in (self.home / "runs").glob("*"))

    def result(self, run: str | None = None) -> dict[str, Any]:
        folder = self.home / "latest" if run is None else self.home / "runs" / run
        return json.loads((folder / "result.json").read_text())

    def copy(self, home: Path, warm: Warm | None = None) -> Place:
        shutil.copytree(self.home, home, symlinks=True)
        return Place(home, self.config, warm or self.warm)

    def _do(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        folder = self.home.parent
        if self.warm is not None:
            return self.warm.run(list(arguments), self.environment, folder, PATIENCE_S)
        return subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=folder,
            text=True,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )


def write_config(path: Path, **changes: Any) -> Path:
    """The watch example with everything made small, and further changes to its sections."""
    document = yaml.safe_load(EXAMPLE.read_text())
    for section, values in {**SMALL, **changes}.items():
        old = document.get(section)
        document[section] = {**old, **values} if isinstance(old, dict) and isinstance(values, dict) else values
    path.write_text(yaml.safe_dump(document))
    return path


def succeeded(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def unnamed(supernet: dict[str, Any]) -> dict[str, Any]:
    """A result's supernet without the names of the runs whose finalists it ranks."""
    ranking = supernet["ranking"]
    pairs = [{name: value for name, value in pair.items() if name != "run"} for pair in ranking["pairs"]]
    assert pairs, "the run's own finalists are there"
    return {**supernet, "ranking": {**ranking, "pairs": pairs}}
