"""What steps have to tell MLflow, kept as files until it is told; importing MLflow takes seconds, so one step does it.

A store in the state folder is told by the last step of a run, or by whoever ends the run early; a server, which people
watch while a run goes on, by each step at once. Telling twice is telling once: a kill in between loses nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evernas.digest import digest_value, short
from evernas.errors import IntegrityError
from evernas.state.files import read_json, write_json
from evernas.state.home import Home
from evernas.state.sharing import fetched_folder, share

RECORD_VERSION = 1
CALLS = ("params", "metrics", "curve", "tags", "dataset", "file", "value")


@dataclass
class Telling:
    """What a step has to tell, in the order it said it; each method is that of `tracking.Tracked`."""

    calls: list[list[Any]] = field(default_factory=list)

    def params(self, values: Mapping[str, Any]) -> None:
        """What the step was given."""
        self._say("params", {key: str(value) for key, value in values.items()})

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Figures; None means that there is no such figure."""
        self._say("metrics", dict(values), step)

    def curve(self, rows: Sequence[Mapping[str, float]], by: str = "step") -> None:
        """Rows of figures, each at its step."""
        self._say("curve", [dict(row) for row in rows], by)

    def tags(self, values: Mapping[str, str]) -> None:
        """Tags."""
        self._say("tags", dict(values))

    def dataset(self, name: str, digest: str, source: str, profile: Mapping[str, Any]) -> None:
        """The dataset that the step reads."""
        self._say("dataset", name, digest, source, dict(profile))

    def file(self, path: Path, folder: str | None = None) -> None:
        """A file or folder, which must stay where it is."""
        self._say("file", str(path), folder)

    def value(self, value: Any, name: str) -> None:
        """A value, as a JSON file."""
        self._say("value", value, name)

    def _say(self, call: str, *arguments: Any) -> None:
        self.calls.append([int(time.time() * 1000), call, *arguments])


@contextmanager
def telling(home: Home, project: str, run: str, step: str, device: str | None, ref: str = "") -> Iterator[Telling]:
    """Collect what a step has to tell; on leaving it is on disk, and told if MLflow is a server."""
    said = Telling()
    yield said
    name = step if device is None else f"{step}-{device}"
    # By the reference too: a run that goes on with other data, such as mended ones, computes the step anew.
    path = _folder(home, run) / f"{name}-{short(digest_value(ref))}.json"
    ended = int(time.time() * 1000)
    document = {"version": RECORD_VERSION, "step": step, "device": device, "ref": ref, "ended": ended}
    write_json(path, {**document, "calls": said.calls})
    if told_at_once():
        tell(home, project, run)
    else:
        share(home, path)


def told_at_once() -> bool:
    """Whether MLflow is a server that people watch, and not the store in the state folder.

    A device's image holds no MLflow: what is said there, the next step elsewhere tells.
    """
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) and find_spec("mlflow") is not None


def untold(home: Home, run: str) -> list[Path]:
    """What steps of a run have said and MLflow was not told yet, oldest first."""
    folder = _folder(home, run)
    return sorted(folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def fetch_untold(home: Home, run: str) -> None:
    """Bring what steps on other machines have said, where nothing there could tell MLflow."""
    fetched_folder(home, _folder(home, run))


def tell(home: Home, project: str, run: str) -> None:
    """Tell MLflow everything that steps of a run have said, each in its nested run."""
    from evernas.registry.tracking import step_run

    for path in untold(home, run):
        record = read_json(path)
        if record.get("version") != RECORD_VERSION:
            raise IntegrityError(f"{path} was written by another version of evernas: use that version, or remove it.")
        began = min((call[0] for call in record["calls"]), default=record["ended"])
        times = (began, record["ended"])
        with step_run(home, project, run, record["step"], record["device"], record["ref"], times) as tracked:
            for moment, call, *arguments in record["calls"]:
                if call not in CALLS:
                    raise IntegrityError(f"{path} says {call!r}, which is none of {', '.join(CALLS)}: remove the file.")
                getattr(tracked.at(moment), call)(*arguments)
        path.unlink(missing_ok=True)


def _folder(home: Home, run: str) -> Path:
    return home.run(run) / "tracking"
