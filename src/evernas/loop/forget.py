"""Erasing a recording or a domain from all that a project keeps: in an order that a kill can be gone on from.

What is to be done is written down first, with the names, in a file of its own that is removed last; the record that
stays has hashes alone. Then snapshots are written anew, what was computed from the old ones goes or has the names taken
out, the old ones go, and the record is written.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evernas.config import Config
from evernas.data.erasing import held, remove_rewritten, rewrite
from evernas.data.forgotten import KINDS, Forgotten, Kind, pseudonym
from evernas.errors import OwnershipError, UsageError
from evernas.loop.redaction import Redaction
from evernas.loop.remembering import renew, sole
from evernas.loop.trained_on import Trained, remove_networks, start_over, trained_on
from evernas.state import Guard, Home
from evernas.state.files import json_bytes, read_json, write_bytes
from evernas.state.ownership import claim
from evernas.state.runs import now
from evernas.state.sharing import erasures_of, fenced, storage_of
from evernas.steps.forgotten import erasure_key, forgotten_of, key_name
from evernas.steps.leased import LeasedGuard
from evernas.storage import FileStorage, Storage
from evernas.triggers.lease import leases_of

PENDING = "pending.json"
PENDING_VERSION = 1
# Steps whose results hold nothing of the data but architectures, latencies, and weights, which are looked at apart.
STEPS_KEPT = ("profile", "search", "supernet")
TEXTS = (".json", ".jsonl", ".txt", ".log", ".md", ".yaml", ".csv")


@dataclass
class Task:
    """An erasure under way: what is to be erased, by name, and how far it has come. Never kept longer than that."""

    kind: Kind
    value: str
    hash: str
    reason: str
    at: str
    names: dict[str, str] = field(default_factory=dict)
    digests: dict[str, list[str]] = field(default_factory=dict)
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    mixed: list[str] = field(default_factory=list)
    rows: int = 0
    recordings: int = 0
    moved: dict[str, str] | None = None
    trained: dict[str, Any] | None = None


@dataclass(frozen=True)
class Erased:
    """What came of an erasure: its record, as it is kept, and what evernas could not reach, in sentences."""

    record: dict[str, Any]
    left: list[str]


def forget(
    config: Config,
    home: Home,
    value: str,
    kind: Kind | None,
    reason: str,
    wait_seconds: float = 0.0,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[Erased]:
    """Erase a domain, or a recording by its id; first what an earlier call was stopped in. What came of each.

    Everything is gone when this returns. UsageError where it is neither, or both, of the snapshots' names, and no
    `kind` says which; OwnershipError if a run holds the state folder for longer than `wait_seconds`.
    """
    with _owning(home, config.project, wait_seconds, say) as (home, guard):
        found = finish(config, home, guard, say)
        forgotten = _of(config, home, make=True)
        if any(forgotten.hides(each, value) for each in KINDS if kind in (None, each)):
            say("It was erased before, and is refused since." if not found else "That was it.")
            return found
        named = _kind(forgotten, home, config.project, value, kind)
        task = Task(named, value, forgotten.hash_of(named, value), reason, now())
        return [*found, _work(config, home, forgotten, task, guard, say)]


@contextmanager
def _owning(home: Home, project: str, wait_seconds: float, say: Callable[[str], None]) -> Iterator[tuple[Home, Guard]]:
    """Hold the state folder, and a bucket's project as a run does; the home to write through, and the guard."""
    with claim(home, wait_seconds, say, "evernas data forget") as ownership:
        if home.bucket is None:
            yield home, ownership.guard
            return
        leases, holder = leases_of(home, project), f"erasure-{secrets.token_hex(4)}"
        lease = leases.claim(holder)
        if lease is None:
            raise OwnershipError(f"A run of {project} is at work: erase when it has ended.")
        try:
            place = fenced(home, lease.check)
            yield place, LeasedGuard(home, ownership.guard.fence, lease)
        finally:
            leases.end(holder)


def finish(
    config: Config, home: Home, guard: Guard, say: Callable[[str], None] = lambda sentence: None
) -> list[Erased]:
    """Complete an erasure that was stopped, if there is one. To be called by the owner of the state."""
    try:
        document = json.loads(_records(home, config.project).read(PENDING))
    except KeyError:
        return []
    del document["version"]
    say("An erasure was stopped, and is completed now.")
    return [_work(config, home, _of(config, home, make=False), Task(**document), guard, say)]


def _of(config: Config, home: Home, *, make: bool) -> Forgotten:
    """What was erased so far; nothing, with the key to begin with, where nothing was."""
    known = forgotten_of(home, config.project)
    return known or Forgotten(erasure_key(home, make=make), config.project, {"domain": frozenset(), "id": frozenset()})


def _kind(forgotten: Forgotten, home: Home, project: str, value: str, kind: Kind | None) -> Kind:
    """Whether a value is a domain or an id; UsageError where the snapshots have it as neither or both."""
    if kind is not None:
        return kind
    store = storage_of(home, home.snapshots(project))
    found = [each for each in KINDS if held(store, _hiding(forgotten, each, value)).snapshots]
    if len(found) == 1:
        return found[0]
    what = "a domain and a recording" if found else "neither a domain nor a recording"
    raise UsageError(
        f"{value!r} is {what} of {project}'s snapshots: say --kind domain or --kind id"
        + ("." if found else ", to have it refused if it is ever delivered.")
    )


def _hiding(forgotten: Forgotten, kind: Kind, value: str) -> Forgotten:
    """What hides this one alone."""
    hashes: dict[Kind, frozenset[str]] = {"domain": frozenset(), "id": frozenset()}
    return Forgotten(forgotten.key, forgotten.project, {**hashes, kind: frozenset({forgotten.hash_of(kind, value)})})


def _work(
    config: Config, home: Home, forgotten: Forgotten, task: Task, guard: Guard, say: Callable[[str], None]
) -> Erased:
    """All of an erasure, from wherever it has come to."""
    project = config.project
    store, records = storage_of(home, home.snapshots(project)), _records(home, project)
    alone = _hiding(forgotten, task.kind, task.value)
    if task.moved is None:
        _look(store, alone, task)
        # Before anything is changed: from here on the next call goes on, by what is written here.
        _keep(records, task)
        task.moved = rewrite(store, alone, task.names, guard.check)
        task.trained = asdict(trained_on(config, home, task.snapshots, task.digests.get("train", [])))
        _keep(records, task)
    say(f"{task.rows} rows of {task.recordings} recordings in {len(task.snapshots)} snapshots are erased.")
    assert task.trained is not None
    trained = Trained(**task.trained)
    redaction = Redaction(task.names, task.moved)
    # The head first: whatever happens then, no run begins with what is about to go.
    start_over(config, home, trained, task.moved, {d for of in task.digests.values() for d in of}, guard)
    _end_stopped_runs(home, project)
    _remove_steps(home, project)
    remove_networks(home, project, trained, task.digests.get("search", []))
    _redact(config, home, redaction)
    remove_rewritten(store, task.moved, guard.check)
    record = {
        "kind": task.kind,
        "hash": task.hash,
        "key": key_name(forgotten.key),
        "reason": task.reason,
        "at": task.at,
        "done_at": now(),
        "rows": task.rows,
        "recordings": task.recordings,
        "snapshots": task.moved,
        **asdict(trained),
    }
    known = {(each["kind"], each["hash"]) for each in erasures_of(home, project).all()}
    if (task.kind, task.hash) not in known:
        erasures_of(home, project).append(record)
    records.erase(PENDING)
    return Erased(record, _left(config, home, task, trained))


def _look(store: Storage, alone: Forgotten, task: Task) -> None:
    """Note what there is of it, by name: after the snapshots have changed, nobody could tell any more."""
    found = held(store, alone)
    stands_for_it = pseudonym(task.hash)
    task.names = {name: alone.masked(name) for name in sorted(found.objects)}
    if task.kind == "domain":
        task.names |= {id: f"{stands_for_it}-{n}" for n, id in enumerate(sorted(found.recordings - {task.value}))}
    task.names[task.value] = stands_for_it
    task.digests = {split: sorted(digests) for split, digests in found.digests.items()}
    task.snapshots, task.mixed = found.snapshots, sorted(found.mixed)
    task.rows, task.recordings = found.rows, len(found.recordings)


def _records(home: Home, project: str) -> Storage:
    return storage_of(home, home.erasures(project), kept=False)


def _keep(records: Storage, task: Task) -> None:
    records.write(PENDING, json_bytes({"version": PENDING_VERSION, **asdict(task)}))


def _end_stopped_runs(home: Home, project: str) -> None:
    """Runs without a result would go on with what was pinned before: they are no more."""
    for storage, keys in _runs(home, project):
        if not any(key.endswith("/result.json") or key == "result.json" for key in keys):
            for key in keys:
                storage.erase(key)


def _runs(home: Home, project: str) -> list[tuple[Storage, list[str]]]:
    """The files of each run of the project."""
    runs = storage_of(home, home.runs, kept=False)
    found: dict[str, list[str]] = {}
    for key in runs.list():
        found.setdefault(key.partition("/")[0], []).append(key)
    return [(runs, keys) for run, keys in sorted(found.items()) if _is_of(runs, run, project)]


def _is_of(runs: Storage, run: str, project: str) -> bool:
    try:
        return bool(json.loads(runs.read(f"{run}/run.json"))["config"].get("project") == project)
    except KeyError:
        return False


def _remove_steps(home: Home, project: str) -> None:
    """Results of steps that hold rows, names or answers; a step that is asked for again is made anew."""
    steps = storage_of(home, home.steps(project), kept=False)
    for key in steps.list():
        if key.partition("/")[0] not in STEPS_KEPT:
            steps.erase(key)


def _redact(config: Config, home: Home, redaction: Redaction) -> None:
    """Take the names out of what is kept: runs' results and reports, records, MLflow's store here."""
    project = config.project
    # A look of the monitor that is under way ends first, and the next one sees that an erasure is.
    with sole(home, project):
        renew(home, project)
        for key, storage in _texts(home, project):
            data = storage.read(key)
            redacted = redaction.data(data, Path(key).suffix)
            if redacted != data:
                storage.write(key, redacted)
    _reports(home, project)
    if home.bucket is None:
        for path in [*home.path.glob("*.db"), *home.project(project).glob("*.db")]:
            redaction.database(path)
    for folder in (home.project(project), home.runs):
        storage_of(home, folder, kept=False).erase_versions("")


def _texts(home: Home, project: str) -> list[tuple[str, Storage]]:
    """All files that may name somebody, beside snapshots, bundles and steps' outputs."""
    found: list[tuple[str, Storage]] = []
    own = storage_of(home, home.project(project), kept=False)
    skipped = ("data/", "bundles/", "champions/", f"erasures/{PENDING}", "releases/")
    found += [(key, own) for key in own.list() if not key.startswith(skipped)]
    for runs, keys in _runs(home, project):
        found += [(key, runs) for key in keys]
    if home.bucket is None:
        artifacts = FileStorage(home.artifacts)
        found += [(key, artifacts) for key in artifacts.list(f"{project}/") if "/bundles/" not in key]
    return [(key, storage) for key, storage in found if key.endswith(TEXTS)]


def _reports(home: Home, project: str) -> None:
    """Reports are drawn anew from the results, which name nobody any more; pages over several runs are removed."""
    from evernas.report import render_report
    from evernas.result import Result

    results, drawn = list[Result](), dict[str, bytes]()
    for runs, keys in _runs(home, project):
        run = keys[0].partition("/")[0]
        if f"{run}/result.json" not in keys:
            continue
        try:
            result = Result.model_validate(json.loads(runs.read(f"{run}/result.json")))
        except ValueError:
            # Another version's, which nobody here can draw: what it shows cannot be told.
            runs.erase(f"{run}/report.html")
            continue
        if f"{run}/report.html" in keys:
            html = render_report(result, [r for r in results if r.outcome != "nothing-new"]).encode()
            runs.write(f"{run}/report.html", html)
            drawn[run] = html
        results.append(result)
    if home.bucket is None:
        _draw_artifacts(home, project, drawn)
        folder = FileStorage(home.path)
        for path in [*home.path.glob("compare-*.html"), *home.path.glob("index.html")]:
            folder.erase(path.name)
        artifacts = FileStorage(home.artifacts)
        for key in artifacts.list(f"{project}/"):
            if "/data_docs/" in key:
                artifacts.erase(key)


def _draw_artifacts(home: Home, project: str, drawn: Mapping[str, bytes]) -> None:
    """The copies of reports that MLflow's store here has, of runs whose folder was removed too."""
    from evernas.report import render_report
    from evernas.result import Result

    for path in (home.artifacts / project).glob("*/artifacts/report.html"):
        document = read_json(path.with_name("result.json"))
        try:
            html = drawn.get(document["run"]) or render_report(Result.model_validate(document), []).encode()
        except ValueError:
            path.unlink()
            continue
        write_bytes(path, html)


def _left(config: Config, home: Home, task: Task, trained: Trained) -> list[str]:
    """What evernas does not reach, or must not: it is said, with what to do."""
    left = ["The source is not evernas's to change: take it out there. Until then ingest refuses it each time."]
    if task.mixed:
        left.append(f"Objects with other recordings too keep their names: {', '.join(task.mixed[:5])}.")
    for champion in trained.champions:
        left.append(
            f"{champion['bundle'][:16]} ({champion['device']}, entry {champion['number']}) was trained on it. It "
            "serves on until a network of the next run, which trains without it, is shown to be better."
            + (" Its check samples hold a window of it." if champion["samples"] else "")
        )
    if os.environ.get("MLFLOW_TRACKING_URI"):
        left.append(
            "MLflow is a server of its own, and is not changed: delete the runs of this project there that are older "
            "than this erasure, and let its administrator run `mlflow gc`."
        )
    if config.registry.journal is not None and "gate" in task.digests and task.kind == "domain":
        left.append(f"Verdicts in {config.registry.journal} may name it as the worst domain of a gate.")
    left.append("Backups of the state hold it until they are removed.")
    return left


def is_pending(home: Home, project: str) -> bool:
    """Whether an erasure was stopped and waits to be completed."""
    return _records(home, project).exists(PENDING)
