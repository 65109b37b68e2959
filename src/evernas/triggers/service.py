"""`evernas serve`: puts receivers together, serves them, acts on their inboxes, and loses nothing at the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import text

from evernas.config import Config
from evernas.config_triggers import TriggersConfig
from evernas.errors import EvernasError, UsageError
from evernas.state import Home
from evernas.triggers.app import make_app
from evernas.triggers.config_file import ConfigFile
from evernas.triggers.database import Database
from evernas.triggers.decisions import Decisions
from evernas.triggers.dispatch import Dispatcher
from evernas.triggers.hotpath import HotPath
from evernas.triggers.inbox import Inbox
from evernas.triggers.jobs import Jobs
from evernas.triggers.lease import Leases, leases_of
from evernas.triggers.lease_storage import handed_over, shared_state
from evernas.triggers.logs import log_to
from evernas.triggers.metrics import Metrics
from evernas.triggers.places import refuse_overlaps, written
from evernas.triggers.protocol import with_deadlines
from evernas.triggers.receiver import Receiver
from evernas.triggers.rules import Rules
from evernas.triggers.secrets import resolve
from evernas.triggers.several import Projects
from evernas.triggers.sources import Source
from evernas.triggers.sqs import Poller
from evernas.triggers.submission import Submitter, create

LOG = logging.getLogger("evernas.triggers")
LOOK_S = 0.5
TIDY_S = 30.0
NOTE_S = 30.0
CHECKPOINT_S = 2.0
# A dispatcher that has not managed a look for so long is stuck.
STUCK_S = 120.0
UNAVAILABLE_S = 5.0
GRACE_S = 20
# The thread that commits must not wait 5 ms for its turn while requests are handled.
SWITCH_S = 0.0005


def database_of(config: Config, home: Home) -> Database:
    """The inbox's database; UsageError if the config has no triggers or the address is not there."""
    if config.triggers is None:
        raise UsageError(
            "The config has no section `triggers`: write what may start runs; docs/triggers.md has examples."
        )
    reference = config.triggers.database
    path = home.project(config.project) / "inbox.db"
    return Database(f"sqlite:///{path}" if reference is None else resolve(reference))


def decisions_of(config: Config, home: Home, leases: Leases) -> Decisions | None:
    """What runs hand over, where this receiver lets it be decided on; UsageError for what cannot be used."""
    assert config.triggers is not None
    template, state = config.triggers.submit.decision, config.bucket_of_runs
    if template is None:
        return None
    if state is None:
        raise UsageError(
            "triggers.submit.decision is set, and triggers.submit.kfp.home is a folder: what is handed over to another "
            "namespace lies in a bucket; write s3://bucket/prefix."
        )
    return Decisions(handed_over(home, config.project, state), Jobs(template), leases)


def nothing() -> str | None:
    """For a project that nothing holds up."""
    return None


@dataclass(frozen=True)
class Aside:
    """What a receiver is given beside its config: why no run may start now, and what else it does, every so often.

    `chores` are functions by name, each called in a thread of its own every so many seconds, with the series to set.
    """

    held_up: Callable[[], str | None] = nothing
    chores: Mapping[str, tuple[float, Callable[[Metrics], object]]] | None = None


class Service:
    """The receiver of one project: the parts, and a thread that acts on the inbox."""

    def __init__(
        self, file: ConfigFile, home: Home, submitter: Submitter, database: Database, aside: Aside | None = None
    ) -> None:
        config = file.config
        assert config.triggers is not None
        self._file = file
        self._aside = aside or Aside()
        self.project = config.project
        self.triggers: TriggersConfig = config.triggers
        places = written(config, self.triggers, shared_state())
        refuse_overlaps(config, self.triggers, home.path, places)
        self._sources = {source.name: Source.of(source) for source in self.triggers.sources}
        self.metrics = Metrics(config.project)
        self.database = database
        leases = leases_of(home, config.project, config.bucket_of_runs)
        decisions = decisions_of(config, home, leases)
        self.dispatcher = Dispatcher(config, database, submitter, leases, self.metrics, decisions)
        self.dispatcher.held_up = self._aside.held_up
        self.inbox = Inbox(database, config.project, self.triggers.limits.waiting, self.metrics)
        self.receiver = Receiver.of(
            self._sources,
            Rules(config.project, self.triggers, places),
            self.inbox,
            self.metrics,
            self.triggers.limits,
            self.dispatcher.hint,
        )
        self.documented = make_app(self.metrics.text, self.ready, self.lifespan)
        self.app = HotPath(self.receiver, self.metrics, self.triggers.limits, self.documented)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._act, name="dispatch", daemon=True)
        self._acted_at = time.monotonic()
        self._readiness: tuple[float, str | None] = (0.0, "starting")

    async def ready(self) -> str | None:
        """Why events cannot be kept or acted on now; None if they can. Asked of the database once a second at most."""
        moment = time.monotonic()
        if moment - self._readiness[0] > 1.0:
            self._readiness = (moment, self._readiness[1])
            self._readiness = (moment, await asyncio.to_thread(self._problem))
        return self._readiness[1]

    def _problem(self) -> str | None:
        if time.monotonic() - self._acted_at > STUCK_S:
            return f"No look at the inbox has succeeded for {STUCK_S:g} s."
        try:
            if self.inbox.failing:
                # Senders may stay away while this is not ready, so it is for us to find out when it keeps things again.
                self.database.probe()
                self.inbox.failing = False
            with self.database.read() as connection:
                connection.execute(text("SELECT 1"))
        except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready, and say so
            return f"The database does not answer, or keeps nothing ({type(error).__name__})."
        return None

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        queues = [source for source in self._sources.values() if source.config.kind == "sqs"]
        pollers = [Poller(source, self.receiver, loop, self.metrics) for source in queues]
        self._thread.start()
        for name, (every_s, chore) in (self._aside.chores or {}).items():
            threading.Thread(target=self._do, args=(name, every_s, chore), name=name, daemon=True).start()
        for poller in pollers:
            poller.start()
        LOG.info("serving", extra={"project": self.project})
        yield
        for poller in pollers:
            poller.stop()
        await self.inbox.close()
        self._stop.set()
        await asyncio.to_thread(self._thread.join, GRACE_S)
        self.database.close()
        LOG.info("stopped", extra={"project": self.project})

    def _do(self, name: str, every_s: float, chore: Callable[[Metrics], object]) -> None:
        """Do a chore until stopped; one that fails is said, and done again the next time."""
        while not self._stop.wait(every_s):
            try:
                chore(self.metrics)
            except EvernasError as error:
                LOG.warning("chore failed", extra={"project": self.project, "chore": name, "reason": str(error)[:500]})
            except Exception:
                LOG.exception("chore failed", extra={"project": self.project, "chore": name})

    def _act(self) -> None:
        """Look at the inbox until stopped. Nothing is lost by a look that fails: the next goes on from the tables."""
        noted_at, tidied_at, checked_at = 0.0, time.monotonic(), time.monotonic()
        while not self._stop.wait(LOOK_S):
            try:
                if time.monotonic() - noted_at > NOTE_S or not noted_at:
                    noted_at = time.monotonic()
                    self.dispatcher.note_version(self._file.newest())
                if time.monotonic() - checked_at > CHECKPOINT_S:
                    checked_at = time.monotonic()
                    self.database.checkpoint()
                self.dispatcher.look()
                if time.monotonic() - tidied_at > TIDY_S:
                    tidied_at = time.monotonic()
                    self.dispatcher.tidy()
                self._acted_at = time.monotonic()
            except EvernasError as error:
                self.metrics.dispatch_failures.inc()
                LOG.warning("unavailable", extra={"reason": str(error)[:500]})
                self._acted_at = time.monotonic()
                self._stop.wait(UNAVAILABLE_S)
            except Exception:
                self.metrics.dispatch_failures.inc()
                LOG.exception("look failed")
                self._stop.wait(LOOK_S)


@dataclass(frozen=True)
class Served:
    """A project that is to be served: its config, the file that it is in, and what is done beside."""

    config: Config
    path: Path
    aside: Aside


def serve(projects: Sequence[Served], home: Home) -> None:
    """Serve until SIGTERM or SIGINT. UsageError for what is refused at the start.

    How it listens is said by the first project; the others must say the same.
    """
    import uvicorn

    databases = [database_of(one.config, home) for one in projects]
    triggers = _listening([one.config for one in projects])
    address = _bound(triggers.host, triggers.port)
    log_to(sys.stdout)
    sys.setswitchinterval(SWITCH_S)
    services = [_service(one, home, database) for one, database in zip(projects, databases, strict=True)]
    for database in databases:
        database.migrate()
    # uvicorn ends gracefully, then raises the signal again: which must not undo that by killing us.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # What was made so far stays: a collection that walked over all of it would hold up the requests.
    gc.collect()
    gc.freeze()
    tls = triggers.tls
    server = uvicorn.Server(
        uvicorn.Config(
            Projects(services),
            loop="uvloop",
            http=with_deadlines(triggers.limits.header_s, triggers.limits.body_s),
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(triggers.trusted_proxies),
            forwarded_allow_ips=triggers.trusted_proxies,
            limit_concurrency=triggers.limits.connections,
            backlog=2048,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=None if tls is None else str(tls.certificate),
            ssl_keyfile=None if tls is None else str(tls.key),
        )
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[address])
    if not server.started:
        raise EvernasError("The receiver did not start: its log says why.")


def _service(served: Served, home: Home, database: Database) -> Service:
    path = served.path.absolute()
    submitter = create(served.config, path, home.path)
    return Service(ConfigFile(path, served.config), home, submitter, database, served.aside)


def _listening(configs: Sequence[Config]) -> TriggersConfig:
    """How a receiver of these projects listens; UsageError if two say otherwise, or are of one project."""
    names = [config.project for config in configs]
    if len(set(names)) != len(names):
        raise UsageError(f"The configs are of the projects {', '.join(names)}: serve each project once.")
    first = configs[0].triggers
    assert first is not None
    for config in configs[1:]:
        for name in ("host", "port", "tls", "trusted_proxies"):
            said, other = getattr(first, name), getattr(config.triggers, name)
            if said != other:
                raise UsageError(
                    f"triggers.{name} is {said} for {names[0]} and {other} for {config.project}, and one receiver "
                    "listens for both: write the same, or serve them apart."
                )
    return first


def _bound(host: str, port: int) -> socket.socket:
    """A socket with this address; UsageError if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise UsageError(
            f"The receiver cannot listen on {host}, port {port} ({error.strerror}): give triggers.host and "
            "triggers.port an address of this machine that is free."
        ) from None
    return made
