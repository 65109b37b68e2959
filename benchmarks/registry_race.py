"""Promoters that race for a journal: many at once, with lost answers, stopped, and killed at every point."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.errors import EvernasError, HoldError, UnknownOutcome
from evernas.registry import models
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.keys import Keyring, key_id, local_key
from evernas.registry.models import model_name, project_alias
from evernas.registry.opening import open_slots
from evernas.registry.promotion import check_leave, promote
from evernas.registry.slots import Slots
from evernas.registry.tracking import client
from evernas.registry.verdicts import Statement, expiry, moment, sign
from evernas.state import Home

FORK = multiprocessing.get_context("fork")
DEVICE = "laptop"
VERSIONS = 7
PATIENCE_S = 600.0
CLAIM_AGAIN = 30


@dataclass(frozen=True)
class Place:
    """Where a race is run: a state folder with an MLflow store, and the journal's address."""

    home: Home
    url: str | None
    project: str
    loss: float = 0.0

    def journal(self) -> Journal:
        slots = open_slots(self.url, self.home, self.project)
        return Journal(_Losing(slots, self.loss) if self.loss else slots)


class _Losing(Slots):
    """Places whose answers are lost with a chance, before or after the write: for storages without a network."""

    def __init__(self, inner: Slots, loss: float) -> None:
        self._inner, self._loss, self._random = inner, loss, random.Random(os.getpid())

    @property
    def place(self) -> str:
        return self._inner.place

    def devices(self) -> list[str]:
        return self._inner.devices()

    def newest(self, device: str) -> int:
        return self._inner.newest(device)

    def read(self, device: str, number: int) -> bytes:
        return self._inner.read(device, number)

    def create(self, device: str, number: int, data: bytes) -> None:
        fate = self._random.random()
        if fate < self._loss / 2:
            raise UnknownOutcome("lost before the write")
        self._inner.create(device, number, data)
        if fate < self._loss:
            raise UnknownOutcome("lost after the write")


@dataclass
class Outcome:
    """What a race came to; every count but `rounds` and `lost` must be 0."""

    rounds: int
    winners_wrong: int = 0
    gaps: int = 0
    alias_wrong: int = 0
    projections_failed: int = 0
    why: str = ""
    lost: int = 0
    seconds: float = 0.0
    claims_ms: list[float] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return self.winners_wrong + self.gaps + self.alias_wrong


def in_child(work: Callable[[], Any]) -> Any:
    """The result of work in a forked process; its exception is raised here."""
    pid, reader = start_child(work)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        raise RuntimeError(f"A child ended with {status} and said nothing.")
    kind, value = pickle.loads(data)
    if kind == "error":
        raise RuntimeError(value)
    return value


def start_child(work: Callable[[], Any]) -> tuple[int, int]:
    """A forked process at work; its id, and the end of the pipe that it answers to."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    status = 1
    with contextlib.suppress(BaseException):
        os.close(reader)
        try:
            answer = ("result", work())
            status = 0
        except BaseException as error:  # noqa: BLE001 - told to the parent
            answer = ("error", f"{type(error).__name__}: {error}")
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
    os._exit(status)


def empty_store(folder: Path) -> Path:
    """MLflow's database with nothing in it: copied for each project, since its migrations take seconds."""
    home = Home(folder)
    client(home).search_registered_models()
    _close(home)
    return folder / "mlflow.db"


def prepare(home: Home, project: str, empty: Path) -> None:
    """A registered model with a few versions; then no connection is open that a fork could share."""
    shutil.copyfile(empty, home.path / empty.name)
    store = client(home)
    store.create_registered_model(model_name(project))
    for _ in range(VERSIONS):
        store.create_model_version(model_name(project), source="file:///of/the/race")
    _close(home)


def _close(home: Home) -> None:
    from mlflow.tracking._model_registry.utils import _get_store

    _get_store(home.tracking_uri).engine.dispose()


def race(place: Place, promoters: int, rounds: int, url: str | None = None) -> Outcome:
    """Let promoters claim each entry at once; each winner projects the alias while the next rounds are on.

    `url` is how they reach the journal, where it is not as the place says; what came of it is judged without it.
    """
    theirs = place if url is None else replace(place, url=url)
    barrier, results = FORK.Barrier(promoters), FORK.SimpleQueue()
    began = time.monotonic()
    processes = [FORK.Process(target=_promoter, args=(theirs, i, rounds, barrier, results)) for i in range(promoters)]
    for process in processes:
        process.start()
    told = [results.get() for _ in processes]
    for process in processes:
        process.join(PATIENCE_S)
    outcome = in_child(lambda: _judge(place, rounds, told))
    outcome.seconds = time.monotonic() - began
    return outcome


def _promoter(place: Place, number: int, rounds: int, barrier: Any, results: Any) -> None:
    won: list[int] = []
    failed: list[str] = []
    claims: list[float] = []
    try:
        journal, todo = place.journal(), queue.Queue()
        projector = threading.Thread(target=_project, args=(place, todo, failed))
        projector.start()
        for n in range(1, rounds + 1):
            barrier.wait(PATIENCE_S)
            began = time.perf_counter()
            if _claimed(journal, entry(n, f"{number}-{n}", version=1 + (n + number) % VERSIONS)):
                won.append(n)
                todo.put(n)
            claims.append(1000 * (time.perf_counter() - began))
        todo.put(None)
        projector.join()
    finally:
        results.put((number, won, failed, claims))


def _claimed(journal: Journal, wanted: Entry) -> bool:
    """Whether the claim won; where no answer came, the same command is given again."""
    for _ in range(CLAIM_AGAIN):
        try:
            journal.claim(wanted)
        except HoldError:
            return False
        except UnknownOutcome:
            continue
        return True
    raise RuntimeError(f"{CLAIM_AGAIN} claims of entry {wanted.number} in a row got no answer.")


def _project(place: Place, todo: queue.Queue[int | None], failed: list[str]) -> None:
    journal = place.journal()
    while todo.get() is not None:
        for attempt in range(CLAIM_AGAIN):
            try:
                project_alias(place.home, place.project, DEVICE, journal)
                break
            except UnknownOutcome as error:
                if attempt == CLAIM_AGAIN - 1:
                    failed.append(str(error))
            except Exception as error:  # noqa: BLE001 - counted, and told
                failed.append(f"{type(error).__name__}: {error}")
                break


def entry(number: int, token: str, version: int) -> Entry:
    """An entry of the race: a promotion of one of the versions."""
    model = f"models:/race/{version}"
    now = datetime.now(UTC).isoformat()
    return Entry(number, DEVICE, "b" * 64, {}, "race", "v", model, now, token, previous=number - 1)


def _judge(place: Place, rounds: int, told: list[tuple[int, list[int], list[str], list[float]]]) -> Outcome:
    journal = replace(place, loss=0.0).journal()
    outcome = Outcome(rounds)
    winners: dict[int, list[int]] = {n: [] for n in range(1, rounds + 1)}
    for number, won, failed, claims in told:
        outcome.projections_failed += len(failed)
        outcome.why = outcome.why or "".join(failed[:1])
        outcome.claims_ms += claims
        for n in won:
            winners[n].append(number)
    outcome.gaps = int(journal.head_number(DEVICE) != rounds)
    for n, who in winners.items():
        try:
            token = journal.read(DEVICE, n).token
        except KeyError:
            outcome.gaps += 1
            continue
        outcome.winners_wrong += [f"{number}-{n}" for number in who] != [token]
    outcome.alias_wrong = int(not aliases_right(place, journal))
    return outcome


def aliases_right(place: Place, journal: Journal) -> bool:
    """Whether MLflow's aliases are what the journal's head says."""
    head = journal.head(DEVICE)
    assert head is not None
    wanted = {f"champion-{DEVICE}": head.model.rsplit("/", 1)[1]}
    if head.previous:
        wanted[f"previous-{DEVICE}"] = journal.read(DEVICE, head.previous).model.rsplit("/", 1)[1]
    found = client(place.home).get_registered_model(model_name(place.project)).aliases
    return {alias: str(version) for alias, version in found.items()} == wanted


def stopped(place: Place, inside: bool) -> Outcome:
    """A promoter stopped between its claim and its alias, two promotions meanwhile, and it goes on.

    `inside`: stopped later still, when it has read the head and is about to set the alias to it.
    """
    journal = replace(place, loss=0.0).journal()
    number = in_child(lambda: journal.head_number(DEVICE)) + 1

    def stop_and_project() -> None:
        mine = place.journal()
        mine.claim(entry(number, f"stopped-{number}", 1))
        if inside:
            _stop_before_the_alias()
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        project_alias(place.home, place.project, DEVICE, mine)

    pid, reader = start_child(stop_and_project)
    _, status = os.waitpid(pid, os.WUNTRACED)
    outcome = Outcome(2)
    outcome.winners_wrong += not os.WIFSTOPPED(status)
    for later in (number + 1, number + 2):
        in_child(lambda later=later: _whole(place, entry(later, f"later-{later}", 1 + later % VERSIONS)))
    os.kill(pid, signal.SIGCONT)
    with os.fdopen(reader, "rb") as pipe:
        outcome.projections_failed += pickle.loads(pipe.read())[0] != "result"
    os.waitpid(pid, 0)
    outcome.gaps += in_child(lambda: journal.head_number(DEVICE)) != number + 2
    outcome.alias_wrong += not in_child(lambda: aliases_right(place, journal))
    return outcome


def _whole(place: Place, wanted: Entry) -> None:
    journal = place.journal()
    journal.claim(wanted)
    project_alias(place.home, place.project, DEVICE, journal)


def _stop_before_the_alias() -> None:
    """Stop this process the first time that it is about to set an alias."""
    made, state = models.client, {"stopped": False}

    def client_that_stops(home: Home) -> Any:
        store = made(home)
        setter = store.set_registered_model_alias

        def stop_then_set(*arguments: Any) -> None:
            if not state["stopped"]:
                state["stopped"] = True
                os.kill(os.getpid(), signal.SIGSTOP)
            setter(*arguments)

        store.set_registered_model_alias = stop_then_set
        return store

    models.client = client_that_stops  # type: ignore[assignment]


@dataclass
class Kills:
    """What promotions that were killed at one point each came to."""

    points: int = 0
    old: int = 0
    new: int = 0
    neither: int = 0
    not_resumed: int = 0
    alias_wrong: int = 0

    @property
    def faults(self) -> int:
        return self.neither + self.not_resumed + self.alias_wrong


def killed(place: Place, every: int) -> Kills:
    """Kill a promotion at every so many-th point of it, each time from the start.

    After each kill the champion must be the old one or the new one, the same promotion must then succeed once, and the
    aliases follow.
    """
    bundles = [_bundle(place, number) for number in (1, 2)]
    journal, kills = place.journal(), Kills()
    in_child(lambda: _promotion(place, bundles[1], _signed(place, bundles[1])))
    line = 0
    while True:
        line += every
        before, signed = in_child(lambda: (journal.head(DEVICE), _signed(place, _other(journal.head(DEVICE), bundles))))
        candidate = _other(before, bundles)
        work = _until_line(line, lambda candidate=candidate, signed=signed: _promotion(place, candidate, signed))
        pid, reader = start_child(work)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            kills.not_resumed += pickle.loads(said)[0] != "result"
            return kills
        kills.points += 1
        _look(kills, *in_child(lambda candidate=candidate, signed=signed: _resume(place, candidate, signed)), before)


def _other(head: Entry, bundles: list[Bundle]) -> Bundle:
    return bundles[0] if head.bundle == bundles[1].digest else bundles[1]


def _resume(place: Place, candidate: Bundle, signed: dict[str, Any]) -> tuple[Entry, Entry, bool, str]:
    """The head after a kill, and after the same promotion again; whether the aliases are right; the candidate."""
    journal = place.journal()
    after = journal.head(DEVICE)
    with contextlib.suppress(EvernasError):
        _promotion(place, candidate, signed)
    head = journal.head(DEVICE)
    assert after is not None
    assert head is not None
    return after, head, aliases_right(place, journal), candidate.digest


def _look(kills: Kills, after: Entry, head: Entry, right: bool, candidate: str, before: Entry) -> None:
    if (after.number, after.bundle) == (before.number, before.bundle):
        kills.old += 1
    elif (after.number, after.bundle) == (before.number + 1, candidate):
        kills.new += 1
    else:
        kills.neither += 1
    kills.not_resumed += (head.number, head.bundle) != (before.number + 1, candidate)
    kills.alias_wrong += not right


def _promotion(place: Place, bundle: Bundle, signed: dict[str, Any]) -> None:
    """A promotion as `evernas promote` does it, with the version registered before."""
    journal, key = place.journal(), local_key(place.home).public_key()
    leave = check_leave(signed, Keyring({key_id(key): key}), moment(), journal, place.project, DEVICE, "policy")
    promote(journal, leave, bundle, f"models:/race/{1 + leave.statement.journal % VERSIONS}")
    project_alias(place.home, place.project, DEVICE, journal)


def _signed(place: Place, bundle: Bundle) -> dict[str, Any]:
    head = place.journal().head(DEVICE)
    made_at, expires_at = expiry(moment(), 1.0)
    statement = Statement(
        project=place.project,
        device=DEVICE,
        run="race",
        outcome="promote",
        verdict={"outcome": "promote", "sentence": "Promote."},
        candidate=bundle.digest,
        candidate_model=bundle.model_digest,
        champion=None if head is None else head.bundle,
        champion_model=None,
        policy="policy",
        gate_split="split",
        evidence=None,
        journal=0 if head is None else head.number,
        made_at=made_at,
        expires_at=expires_at,
    )
    return sign(statement, local_key(place.home))


def _bundle(place: Place, number: int) -> Bundle:
    samples = Samples(np.zeros((1, 1, 8), np.float32), np.full((1, 2), number, np.float32))
    folder = place.home.bundles(place.project)
    return write_bundle(folder, b"network %d" % number, ["a", "b"], Contract(("x",), (8,)), samples, {})


def _lines(frame: Any) -> tuple[tuple[str, int], ...]:
    """The lines of evernas that a frame stands at and was called from."""
    found = []
    while frame is not None:
        if "/evernas/" in frame.f_code.co_filename:
            found.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)


def _until_line(line: int, work: Callable[[], None]) -> Callable[[], None]:
    """Work that is killed at its so many-th point: a line of the registry or its storages, with those that led there.

    A loop over the journal's entries is one point a line, so that their number does not grow with the journal.
    """

    def traced() -> None:
        points: set[tuple[tuple[str, int], ...]] = set()

        def trace(frame: Any, event: str, argument: Any) -> Any:
            name = frame.f_code.co_filename
            if "/evernas/registry/" not in name and "/evernas/storage/" not in name:
                return None
            if event == "line":
                points.add(_lines(frame))
                if len(points) >= line:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(None)

    return traced


@contextlib.contextmanager
def timed() -> Iterator[list[float]]:
    """Seconds that the body took, as the one number of a list."""
    began = time.monotonic()
    took: list[float] = []
    yield took
    took.append(time.monotonic() - began)
