"""What runs have handed over, found by looking, and the Job that decides on each: made once, under a name by digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evernas.digest import digest_value, short
from evernas.storage import Storage
from evernas.triggers.jobs import Jobs

# The longest name of a release, what a Job is of, and this: the 62 of 63 characters that a label may have.
NAME_DIGITS = 12
State = Literal["working", "failed"]


@dataclass(frozen=True)
class Decision:
    """How the decision stands on what a run has handed over; once it is taken there is none."""

    run: str
    state: State
    reason: str = ""


class Decisions:
    """The decisions of one project that are not taken yet."""

    def __init__(self, handed_over: Storage, jobs: Jobs) -> None:
        self._handed_over = handed_over
        self._jobs = jobs

    def look(self) -> dict[str, Decision]:
        """By run, how its decision stands; the Job of each that has none is made. EvernasError if nothing is known.

        Nothing has to announce a hand-over: it lies there until it is decided.
        """
        found = {}
        for key in self._handed_over.list():
            run = key.removesuffix(".json")
            try:
                document = self._handed_over.read(key)
            except KeyError:
                # Decided since the listing.
                continue
            name = short(digest_value({"run": run, "document": document.decode()}))[:NAME_DIGITS]
            job = self._jobs.find(name) or self._jobs.make(name, run)
            found[run] = Decision(run, "failed" if job.failed else "working", job.reason)
        return found

    def forget(self, run: str) -> None:
        """Take away what a run has handed over and nobody could decide on."""
        self._handed_over.delete(f"{run}.json")
