"""What runs have handed over, found by looking, and the Job that decides on each: made once, under a name by digest.

Whoever trains may write where it is looked: what lies there takes nothing from the receiver but the run that it is of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from evernas.digest import digest_bytes, digest_value, short
from evernas.errors import EvernasError, UnknownOutcome
from evernas.storage import Storage, TooLarge
from evernas.triggers.jobs import Job, Jobs
from evernas.triggers.lease import Leases
from evernas.triggers.submission import UnavailableError

# The longest name of a release, what a Job is of, and this: the 62 of 63 characters that a label may have.
NAME_DIGITS = 12
HANDED_OVER = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\.json")
# References of some thousands of devices.
LARGEST_BYTES = 1 << 20
# Each costs a few requests, and a look that takes long holds up the inbox.
LOOKED_AT = 20
State = Literal["working", "failed", "unknown"]


@dataclass(frozen=True)
class Decision:
    """How the decision stands on what a run has handed over; once it is taken there is none."""

    run: str
    state: State
    reason: str = ""


class Decisions:
    """The decisions of one project that are not taken yet."""

    def __init__(self, handed_over: Storage, jobs: Jobs, leases: Leases) -> None:
        self._handed_over = handed_over
        self._jobs = jobs
        self._leases = leases

    def look(self) -> dict[str, Decision]:
        """By run, how its decision stands; the run that has the project gets its Job. EvernasError if nothing is known.

        Nothing has to announce a hand-over: it lies there until it is decided. Of very many each has its turn.
        """
        holder = self._holder()
        found = (HANDED_OVER.fullmatch(key) for key in self._handed_over.list())
        runs = sorted((one[1] for one in found if one is not None), key=lambda run: run != holder)
        decisions = {run: Decision(run, "working") for run in runs[LOOKED_AT:]}
        for run in runs[:LOOKED_AT]:
            decision = self._look_at(run, run == holder)
            if decision is not None:
                decisions[run] = decision
        return decisions

    def end(self, run: str) -> None:
        """Let go of a run that is over: its claim, and what it has handed over."""
        self._leases.end(run)
        self._handed_over.delete(f"{run}.json")

    def _holder(self) -> str | None:
        """The run that has the project; however old its claim is, it may be decided on until another claims."""
        current = self._leases.current()
        return None if current is None or current.released else current.holder

    def _look_at(self, run: str, holds: bool) -> Decision | None:
        """How one decision stands, whatever is wrong with it alone; None if it is taken."""
        try:
            job = self._job(run, holds)
        except (UnavailableError, UnknownOutcome):
            raise
        except TooLarge as error:
            return Decision(run, "failed", str(error))
        except EvernasError as error:
            return Decision(run, "unknown", str(error))
        if job is None:
            return None
        if job.state == "complete":
            # An attempt at handing over that came late has written again what is decided.
            self.end(run)
            return None
        return Decision(run, job.state, job.reason)

    def _job(self, run: str, holds: bool) -> Job | None:
        """The Job of what a run has handed over; a failed one where it may have none, None where nothing is left."""
        try:
            document = self._handed_over.read_within(f"{run}.json", LARGEST_BYTES)
        except KeyError:
            # Decided since the listing.
            return None
        name = short(digest_value({"run": run, "document": digest_bytes(document)}))[:NAME_DIGITS]
        found = self._jobs.find(name)
        if found is not None:
            return found
        if holds:
            return self._jobs.make(name, run)
        return Job("failed", f"run {run} has lost its project's lease, so that what it handed over is void")
