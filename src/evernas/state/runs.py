"""Runs: what a run was started with, what is pinned for it, and what the last completed run left for the next."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evernas.config import Config, parse_config
from evernas.digest import digest_value
from evernas.errors import EXIT_DATA_REFUSED, IntegrityError
from evernas.state.files import json_bytes, read_json, write_json
from evernas.state.home import Home
from evernas.state.sharing import fetched, fetched_folder, share, storage_of
from evernas.storage import AlreadyExists, Storage

RUN_VERSION, READ_VERSIONS = 2, (1, 2)
MANIFEST = "run.json"
NOTHING_NEW = "nothing-new"
"""The outcome of a run that had nothing to do, and what its first step then tells the pipeline."""
STOPPED = "stopped"
"""The outcome of a run that its budget ended, and the output of each of its steps from there on."""
HISTORY = 60
"""Earlier runs that a report tells of, where each has to be fetched."""
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_MOMENT = len("20261126-101112")


def now() -> str:
    """This moment in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Head:
    """What the last completed run left: where a warm start begins. References name steps as `step/key`.

    `key` is of all that the run depended on; empty where it left a decision open, so that no run equals it. `measured`
    says of each device when its champion was measured, where it was. `stale` names the devices whose finalists cost
    something else than their profile's predictors say, which are to be profiled again; `departed` says of these, and
    of those that a new profile did not set right, by cost, how many times as much they cost before it; `drifted`
    says how many times as much they cost in this run, where that is outside the predictor's band.
    """

    run: str
    key: str
    snapshot: str
    supernet: str
    searches: dict[str, str] = field(default_factory=dict)
    validated: str | None = None
    measured: dict[str, str] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    departed: dict[str, dict[str, float]] = field(default_factory=dict)
    drifted: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Head:
        """From a document, also an older one, in which a departure was always one of latency."""
        departed = {
            device: found if isinstance(found, dict) else {"latency_ms": found}
            for device, found in document.get("departed", {}).items()
        }
        return cls(**{**document, "departed": departed})

    @classmethod
    def read(cls, home: Home, project: str) -> Head | None:
        path = fetched(home, home.head(project))
        if not path.exists():
            return None
        document = read_json(path)
        if document.pop("version", None) not in READ_VERSIONS:
            raise IntegrityError(
                f"{path} was written by another version of evernas: use that version, or remove the state folder."
            )
        return cls.of(document)

    def write(self, home: Home, project: str) -> None:
        write_json(home.head(project), {"version": RUN_VERSION, **asdict(self)})
        share(home, home.head(project))


@dataclass(frozen=True)
class RunManifest:
    """A run's inputs, pinned when it was opened, so that a killed run goes on with the same."""

    run: str
    config: Config
    source: str
    started_at: str
    head: Head | None
    journal: dict[str, int]
    config_digest: str

    @classmethod
    def open(cls, home: Home, run: str, config: Config, source: str, journal: dict[str, int]) -> RunManifest:
        """The manifest of a run: read if the run was opened before, else pinned now."""
        storage = storage_of(home, home.run(run))
        if not storage.exists(MANIFEST):
            head = Head.read(home, config.project)
            document = {
                "version": RUN_VERSION,
                "run": run,
                "config": config.model_dump(mode="json"),
                "source": source,
                "started_at": now(),
                "head": None if head is None else asdict(head),
                "journal": journal,
            }
            # Another attempt at the same step may have pinned it meanwhile.
            with contextlib.suppress(AlreadyExists):
                storage.create(MANIFEST, json_bytes(document))
        return cls.read(home, run)

    @classmethod
    def read(cls, home: Home, run: str) -> RunManifest:
        path = fetched(home, home.run(run) / MANIFEST)
        document = read_json(path)
        if document.get("version") not in READ_VERSIONS:
            raise IntegrityError(f"{path} was written by another version of evernas: start a new run.")
        if document["run"] != run:
            raise IntegrityError(f"{path} is of run {document['run']}, not of {run}: start a new run.")
        head = document["head"]
        return cls(
            run=document["run"],
            config=parse_config(document["config"], str(path)),
            source=document["source"],
            started_at=document["started_at"],
            head=None if head is None else Head.of(head),
            journal=document["journal"],
            config_digest=config_digest(document["config"]),
        )


def config_digest(document: Any) -> str:
    """Digest of a dumped config."""
    return digest_value(document)


def new_run_id() -> str:
    """A name that sorts by time and that two starts in one second do not share."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def next_run_id(home: Home) -> str:
    """A name for a run of this folder that sorts after all that are there, also where the clock was set back since.

    Their order is by name: which run is gone on with, and which are the last ones.
    """
    name = new_run_id()
    newest = max((folder.name for folder in home.runs.glob("*") if _RUN.fullmatch(folder.name)), default="")
    if name[:_MOMENT] > newest[:_MOMENT]:
        return name
    after = datetime.strptime(newest[:_MOMENT], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) + timedelta(seconds=1)
    return f"{after:%Y%m%d-%H%M%S}{name[_MOMENT:]}"


def failure_of(home: Home, run: str) -> dict[str, Any] | None:
    """Why a step of the run failed (step, device, exit_code, sentence); None if none has said so."""
    if home.bucket is None:
        paths = [home.run(run) / "failure.json"]
    else:
        paths = sorted(fetched_folder(home, home.run(run) / "failures").glob("*.json"))
    found: list[dict[str, Any]] = [read_json(path) for path in paths if path.exists()]
    return found[0] if found else None


def ended(home: Home, run: str) -> bool:
    """Whether the run has left its result."""
    return result_path(home, run).exists()


def result_path(home: Home, run: str) -> Path:
    """Where a run leaves its result."""
    return home.run(run) / "result.json"


def unfinished_run(home: Home, config: Config) -> str | None:
    """The newest run of this project and config, if it was opened and not published to the last.

    The record of what was consumed is what a run publishes last: one that was killed just before goes on, so that its
    result is shown to the person too. One whose data was refused goes on once that is mended.
    """
    digest = config_digest(config.model_dump(mode="json"))
    for folder in sorted(home.runs.glob("*"), reverse=True):
        document = read_json(folder / "run.json") if (folder / "run.json").exists() else None
        if document is None or document["config"].get("project") != config.project:
            continue
        published = ended(home, folder.name) and newest_run(home, config.project) == folder.name
        # A run that its budget ended is over: the next goes on from its steps' checkpoints, under a budget of its own.
        stopped = ended(home, folder.name) and (folder / f"{STOPPED}.json").exists()
        if (
            published
            or stopped
            or _refused_by_its_day(home, folder.name, document)
            or config_digest(document["config"]) != digest
        ):
            return None
        return folder.name
    return None


def _refused_by_its_day(home: Home, run: str, document: dict[str, Any]) -> bool:
    """Whether the run refused data and judges by the day that it began: what comes later lies ahead of it."""
    failure = failure_of(home, run)
    refused = failure is not None and failure["exit_code"] == EXIT_DATA_REFUSED
    return refused and document["config"]["validation"].get("freshness") is not None


def newest_run(home: Home, project: str) -> str | None:
    """The project's run that was published last; None if there is none."""
    path = home.consumed(project)
    run: str | None = read_json(path)["run"] if path.exists() else None
    return run


def completed_runs(home: Home, project: str) -> list[str]:
    """Runs of the project that ended with a result, oldest first.

    Where the state lies in a bucket, the newest of those that had something to do: each has to be fetched.
    """
    if home.bucket is not None:
        notes = (key.split(".", 2) for key in _ends(home, project).list())
        return [run for _, outcome, run in notes if outcome != NOTHING_NEW][-HISTORY:]
    return [run for run in runs_of(home, project) if ended(home, run)]


def note_end(home: Home, project: str, manifest: RunManifest, outcome: str) -> None:
    """Note that a run has left its result, for those after it to find where there is no folder of all runs."""
    if home.bucket is not None:
        began = datetime.fromisoformat(manifest.started_at)
        _ends(home, project).keep(f"{began:%Y%m%d-%H%M%S}.{outcome}.{manifest.run}", b"")


def _ends(home: Home, project: str) -> Storage:
    return storage_of(home, home.project(project) / "ended", kept=False)


def unended_runs(home: Home, project: str) -> list[str]:
    """Runs of the project that were opened and have left no result, oldest first."""
    return [run for run in runs_of(home, project) if not ended(home, run)]


def runs_of(home: Home, project: str) -> list[str]:
    """Runs of the project that were opened in this folder, oldest first."""
    opened = [folder for folder in sorted(home.runs.glob("*")) if (folder / "run.json").exists()]
    return [folder.name for folder in opened if read_json(folder / "run.json")["config"].get("project") == project]
