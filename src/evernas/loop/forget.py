"""Erasing a recording or a domain from all that a project keeps: in an order that a kill can be gone on from.

What is to be done is written down first, with the names, in a file of its own that is removed last; until then no run
takes data in. The record that stays has a hash alone, by which ingest refuses it from then on. Then snapshots are
written anew, what was computed from the old ones goes or has the names taken out, the old ones go, and what came of it
is recorded too. To go on is to look at everything again, since nobody knows what was done meanwhile.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from evernas.config import Config
from evernas.data.erasing import held, remove_rewritten, rewrite
from evernas.data.forgotten import KINDS, Forgotten, Kind, pseudonym
from evernas.errors import OwnershipError, UsageError
from evernas.loop.erasures import note, note_outcome
from evernas.loop.left import left_of
from evernas.loop.texts import end_stopped_runs, redact
from evernas.loop.trained_on import Trained, both, remove_networks, start_over, trained_on
from evernas.redaction import Redaction
from evernas.state import Guard, Home
from evernas.state.files import json_bytes
from evernas.state.ownership import claim
from evernas.state.runs import now
from evernas.state.sharing import fenced, storage_of
from evernas.steps.forgotten import PENDING, erasure_key, forgotten_of
from evernas.steps.leased import LeasedGuard, renewing
from evernas.storage import Storage
from evernas.triggers.lease import leases_of

PENDING_VERSION = 1
# Steps whose results hold nothing of the data but architectures, latencies, and weights, which are looked at apart.
STEPS_KEPT = ("profile", "search", "probe", "refine", "supernet")


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
    moved: dict[str, str] = field(default_factory=dict)
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
        hidden = [each for each in KINDS if kind in (None, each) and forgotten.hides(each, value)]
        store = storage_of(home, home.snapshots(config.project))
        if hidden and not any(held(store, _hiding(forgotten, each, value)).snapshots for each in hidden):
            hashes = {forgotten.hash_of(each, value) for each in hidden}
            completed = any(erased.record["hash"] in hashes for erased in found)
            say("That was it." if completed else "It was erased before, and is refused since.")
            return found
        named = _kind(forgotten, home, config.project, value, hidden[0] if len(hidden) == 1 else kind)
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
            with renewing(lease):
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
    # Earlier versions wrote null for what was not known yet.
    document = {name: value for name, value in document.items() if value is not None}
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
    _look(store, alone, task)
    # Before anything is changed: from here on the next call goes on, by what is written here.
    _keep(records, task)
    reason = Redaction(task.names, {}).text(task.reason)
    noted = note(home, project, alone, task.kind, reason, task.at)
    task.moved = rewrite(store, alone, task.names, guard.check, task.moved)
    trained = trained_on(config, home, task.snapshots, task.digests.get("train", []))
    if task.trained is not None:
        trained = both(Trained(**task.trained), trained)
    task.trained = asdict(trained)
    _keep(records, task)
    say(f"{task.rows} rows of {task.recordings} recordings in {len(task.snapshots)} snapshots are erased.")
    redaction = Redaction(task.names, task.moved)
    # The head first: whatever happens then, no run begins with what is about to go.
    start_over(
        config, home, trained, task.moved, {d for of in task.digests.values() for d in of}, noted["number"], guard
    )
    end_stopped_runs(home, project)
    _remove_steps(home, project)
    remove_networks(home, project, trained, task.digests.get("search", []))
    redact(home, project, redaction)
    remove_rewritten(store, task.moved, guard.check)
    what = {"rows": task.rows, "recordings": task.recordings, "snapshots": task.moved, **asdict(trained)}
    record = note_outcome(home, project, noted, what)
    records.erase(PENDING)
    return Erased(record, left_of(config, home, redaction, task.mixed, trained))


def _look(store: Storage, alone: Forgotten, task: Task) -> None:
    """Note what there is of it, by name: after the snapshots have changed, nobody could tell any more.

    What was noted before stays: a part of it may be gone by now.
    """
    found = held(store, alone)
    stands_for_it = pseudonym(task.hash)
    names = {task.value: stands_for_it, **{name: alone.masked(name) for name in sorted(found.objects)}, **task.names}
    if task.kind == "domain":
        known = sum(name.startswith(f"{stands_for_it}-") for name in names.values())
        new = sorted(found.recordings - names.keys())
        names |= {id: f"{stands_for_it}-{n}" for n, id in enumerate(new, known)}
    task.names = names
    for split, digests in found.digests.items():
        task.digests[split] = sorted({*task.digests.get(split, []), *digests})
    for snapshot, splits in found.snapshots.items():
        task.snapshots[snapshot] = sorted({*task.snapshots.get(snapshot, []), *splits})
    task.mixed = sorted({*task.mixed, *found.mixed})
    task.rows, task.recordings = max(task.rows, found.rows), max(task.recordings, len(found.recordings))


def _records(home: Home, project: str) -> Storage:
    return storage_of(home, home.erasures(project), kept=False)


def _keep(records: Storage, task: Task) -> None:
    records.write(PENDING, json_bytes({"version": PENDING_VERSION, **asdict(task)}))


def _remove_steps(home: Home, project: str) -> None:
    """Results of steps that hold rows, names or answers; a step that is asked for again is made anew."""
    steps = storage_of(home, home.steps(project), kept=False)
    for key in steps.list():
        if key.partition("/")[0] not in STEPS_KEPT:
            steps.erase(key)
