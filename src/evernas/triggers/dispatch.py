"""What acts on the inbox: gathers events, seals what is due, submits its run once, and follows it to its end.

One process a project does this at a time, under a lock of the database; any other may take over at any moment, because
each step is one transaction and a run is looked for by its name before it is submitted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from evernas.config import Config
from evernas.config_triggers import TriggersConfig
from evernas.digest import digest_value
from evernas.errors import EvernasError
from evernas.triggers import upkeep, works
from evernas.triggers.database import Database
from evernas.triggers.decisions import Decision, Decisions
from evernas.triggers.lease import Leases
from evernas.triggers.metrics import Metrics
from evernas.triggers.submission import Found, SubmissionRefusedError, Submitter, UnavailableError
from evernas.triggers.tables import DEAD, DONE, SEALED, WAITING
from evernas.triggers.works import Work

LOG = logging.getLogger("evernas.triggers")
UNAVAILABLE_S = 5.0
LONGEST_WAIT_S = 3600.0
# What holds a run up is asked again after so long.
HELD_UP_S = 10.0
EVENTS_A_LINE = 200


class Dispatcher:
    """Acts on the inbox of one project."""

    def __init__(
        self,
        config: Config,
        database: Database,
        submitter: Submitter,
        leases: Leases,
        metrics: Metrics,
        decisions: Decisions | None = None,
    ) -> None:
        assert config.triggers is not None
        self._project = config.project
        self._triggers: TriggersConfig = config.triggers
        self._config_digest = _digest(config)
        self._noted = ""
        self._database = database
        self._submitter = submitter
        self._leases = leases
        self._metrics = metrics
        self._decisions = decisions
        # By run, how its decision stands; None while that is not known.
        self._handed_over: dict[str, Decision] | None = {}
        self._decided_at = 0.0
        self._looked_at = 0.0
        self.held_up: Callable[[], str | None] = lambda: None
        """Says why no run of the project may start now, such as that its budget is spent."""

    @property
    def version(self) -> str:
        """What a run would execute: the config and the code."""
        return digest_value({"config": self._config_digest, "code": self._submitter.version()})

    def note_version(self, config: Config) -> None:
        """Ask for a run if config, devices, code or images are not those that were noted last.

        A changed one is taken up once no run of the former is on its way. What this process has noted it notes once:
        of two that differ for a while, as in an upgrade, neither must ask again and again.
        """
        if not self._triggers.watch_config:
            return
        with self._database.read() as connection:
            is_active = works.find(connection, self._project, *works.ACTIVE) is not None
        if not is_active:
            self._submitter.renew(config)
            self._config_digest = _digest(config)
        version = self.version
        if version != self._noted:
            with self._database.write() as connection:
                upkeep.note_version(connection, self._project, version, self._database.is_sqlite)
            self._noted = version

    def hint(self) -> None:
        """Something was heard that may mean that a run has ended: the next look asks for its state."""
        self._looked_at = 0.0

    def look(self) -> None:
        """Do what is to be done now. What the database raises is raised; the next look goes on from the tables."""
        with self._database.exclusive(f"dispatch-{self._project}") as held:
            if not held:
                return
            try:
                with self._database.write() as connection:
                    works.gather(connection, self._project)
                self._look_at_decisions()
                self._act()
            except works.Overtaken as overtaken:
                LOG.info("overtaken", extra={"reason": str(overtaken)})
            with self._database.read() as connection:
                upkeep.measure(connection, self._project, self._metrics)

    def tidy(self) -> None:
        """Forget what is done with for long, and remember what others were deferred for."""
        with self._database.exclusive(f"tidy-{self._project}") as held:
            if held:
                self._remember_deferred()
                upkeep.forget(self._database, self._project, self._triggers.retention_days)

    def _look_at_decisions(self) -> None:
        """Let what runs have handed over be decided, whoever started them; end those on which nobody could decide.

        What an event asked for is not done before its run is decided on; that which cannot be is tried again.
        """
        if self._decisions is None or time.time() < self._decided_at + self._triggers.submit.poll_s:
            return
        self._decided_at = time.time()
        # Should this fail, nothing is known.
        self._handed_over = None
        with self._database.read() as connection:
            active = works.find(connection, self._project, *works.ACTIVE)
        try:
            found = self._decisions.look()
            for run, decision in found.items():
                if decision.state == "unknown":
                    self._metrics.dispatch_failures.inc()
                    LOG.warning("decision unknown", extra={"run": run, "reason": decision.reason[:500]})
                elif decision.state == "failed" and (active is None or active.run != run):
                    LOG.error("decision failed", extra={"run": run, "reason": decision.reason[:500]})
                    self._decisions.end(run)
        except EvernasError as error:
            self._metrics.dispatch_failures.inc()
            LOG.warning("decisions unavailable", extra={"reason": str(error)[:500]})
            return
        self._handed_over = found

    def _act(self) -> None:
        with self._database.read() as connection:
            active = works.find(connection, self._project, *works.ACTIVE)
            waiting = works.find(connection, self._project, WAITING)
        moment = time.time()
        if active is None and waiting is not None:
            due_at = works.due_at(waiting.first_at, waiting.last_at, self._triggers.debounce)
            if moment < max(due_at, waiting.not_before) or self._is_held_up(waiting):
                return
            with self._database.write() as connection:
                sealed = works.seal(connection, self._project, waiting, self.version)
                active = works.find(connection, self._project, *works.ACTIVE)
            _say_sealed(waiting, sealed)
        if active is None or moment < active.not_before:
            return
        if active.state == SEALED:
            if not self._is_held_up(active):
                self._submit(active)
        elif moment >= self._looked_at + self._triggers.submit.poll_s:
            self._looked_at = moment
            self._follow(active)

    def _is_held_up(self, work: Work) -> bool:
        """Whether no run may start now: the work keeps its events, says why, and is looked at again."""
        reason = self.held_up()
        if reason is None:
            return False
        with self._database.write() as connection:
            works.postpone(connection, work, time.time() + HELD_UP_S, reason[:500])
        if reason != work.reason:
            LOG.warning("held up", extra={"project": self._project, "work": work.id, "reason": reason[:500]})
        return True

    def _submit(self, work: Work) -> None:
        """Submit the run of a sealed work, unless it is found: it may have been submitted just before a kill."""
        with self._database.write() as connection:
            works.begin(connection, self._project, work)
            removed = works.removed(connection, work)
        self._leases.note_removed(removed)
        try:
            found = self._submitter.find(work.run)
            if found is None:
                found = Found(self._submitter.submit(work.run), "running")
                self._metrics.submissions.inc()
                LOG.info("submitted", extra={"run": work.run, "work": work.id})
            else:
                LOG.info("found", extra={"run": work.run, "work": work.id, "state": found.state})
        except UnavailableError as error:
            self._postpone(work, str(error))
            return
        except SubmissionRefusedError as error:
            self._fail(work, Found("", "failed", str(error)))
            return
        with self._database.write() as connection:
            works.running(connection, work, found.handle)
        self._looked_at = 0.0

    def _follow(self, work: Work) -> None:
        """Look at the run of a running work."""
        try:
            found = self._submitter.find(work.run) or Found("", "failed", "it was removed")
        except UnavailableError as error:
            self._postpone(work, str(error))
            return
        if found.state == "running":
            return
        if found.state == "succeeded" and self._decisions is not None:
            # What a run hands over is there before it has succeeded: a look that was older has not seen it.
            self._decided_at = 0.0
            self._look_at_decisions()
            if self._handed_over is None:
                return
            decision = self._handed_over.get(work.run)
            if decision is not None and decision.state != "failed":
                return
            if decision is not None:
                found = Found(found.handle, "failed", f"it was not decided: {decision.reason}"[:500])
        if found.state == "succeeded":
            if work.run in self._leases.deferred():
                self._defer(work)
            else:
                self._end(work, DONE, "")
            return
        self._leases.end(work.run)
        self._fail(work, found)

    def _fail(self, work: Work, found: Found) -> None:
        submit = self._triggers.submit
        if found.state == "refused" or work.failures + 1 >= submit.attempts:
            self._end(work, DEAD, found.reason or "its run failed")
            return
        wait = min(submit.retry_s * 2**work.failures, LONGEST_WAIT_S)
        with self._database.write() as connection:
            works.again(connection, self._project, work, "failed", time.time() + wait, found.reason, failed=True)
        self._metrics.ended("failed")
        LOG.warning("failed", extra={"run": work.run, "work": work.id, "reason": found.reason, "again_in_s": wait})

    def _defer(self, work: Work) -> None:
        """The run ended at once because another holds the lease: it has done nothing, and is made again after that."""
        if not self._leases.is_free():
            return
        with self._database.write() as connection:
            works.again(connection, self._project, work, "deferred", 0.0, "another run worked", failed=False)
        self._leases.settle(work.run)
        self._metrics.ended("deferred")

    def _remember_deferred(self) -> None:
        """Runs that others started and that ended at once: what they were for becomes an event."""
        for run in self._leases.deferred():
            with self._database.write() as connection:
                if upkeep.is_attempt(connection, self._project, run):
                    continue
                upkeep.remember(connection, self._project, run, self._database.is_sqlite)
            self._leases.settle(run)

    def _end(self, work: Work, state: str, reason: str) -> None:
        with self._database.write() as connection:
            works.finish(connection, self._project, work, state, reason)
        self._metrics.ended(state)
        log = LOG.info if state == DONE else LOG.error
        log(state, extra={"run": work.run, "work": work.id, "reason": reason})

    def _postpone(self, work: Work, reason: str) -> None:
        with self._database.write() as connection:
            works.postpone(connection, work, time.time() + UNAVAILABLE_S, reason[:500])
        LOG.warning("unavailable", extra={"run": work.run, "work": work.id, "reason": reason[:500]})


def _digest(config: Config) -> str:
    """Of all that a run computes by: neither what starts it nor where it runs."""
    return digest_value(config.model_dump(mode="json"))


def _say_sealed(work: Work, sealed: works.Sealed) -> None:
    """Say which events a run is for, so that the logs tell what came of each."""
    for start in range(0, len(sealed.events), EVENTS_A_LINE):
        events = sealed.events[start : start + EVENTS_A_LINE]
        LOG.info("sealed", extra={"run": sealed.run, "work": work.id, "events": events})
