"""A step's part in its project's lease: the first step claims it, later ones join, and every publication checks it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from evernas.errors import EvernasError, OwnershipError
from evernas.state import Guard
from evernas.triggers.lease import RENEW_S, Lease, Leases

# The name under which whoever submitted the run will look for it, where that is not the run's own.
NAME_VARIABLE = "EVERNAS_SUBMISSION"
EXECUTION_VARIABLE = "EVERNAS_EXECUTION"


@dataclass(frozen=True)
class LeasedGuard(Guard):
    """Ownership of the state folder and of the project's lease."""

    lease: Lease

    def check(self) -> None:
        super().check()
        self.lease.check()


def execution_of(given: str) -> str:
    """What tells two executions of one run apart: what the pipeline says, which may have been submitted twice.

    Not so where this machine runs the pipeline, and says so: a run that is gone on with here is the same one.
    """
    return os.environ.get(EXECUTION_VARIABLE, given)


def defer(leases: Leases, run: str) -> str:
    """Note that this run ends at once, for whoever asked for it to ask again; returns the sentence that says so."""
    holder = leases.current()
    leases.defer(_name(run))
    who = "another run" if holder is None else f"run {holder.holder}"
    return f"{who[0].upper()}{who[1:]} of this project is working: this one ends at once, and is remembered."


def remember(lease: Lease) -> None:
    """Note that what this run was for is still to be done, for whoever asked for it to ask again."""
    try:
        lease.leases.defer(_name(lease.holder))
    except (EvernasError, OSError) as error:
        print(f"That this run is to be asked for again could not be noted: {error}", file=sys.stderr)


@contextmanager
def renewing(lease: Lease, every_s: float = RENEW_S) -> Iterator[None]:
    """Renew while the step works. Once another run holds the lease, this one's next publication fails."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(every_s):
            try:
                lease.renew()
            except OwnershipError:
                return
            except (EvernasError, OSError) as error:
                # The term is many renewals long: a storage that is away for a while costs nothing.
                print(f"The lease could not be renewed, which is tried again: {error}", file=sys.stderr)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def ending_on_failure(lease: Lease, alone: bool) -> Iterator[None]:
    """End the claim with a step that fails, and so ends its run; not while branches of other devices may work on."""
    try:
        yield
    except OwnershipError:
        raise
    except Exception:
        if alone:
            release(lease)
        raise


def release(lease: Lease, done: bool = False) -> None:
    """End the claim. What the run has done stands, whether the storage hears of this or its term passes.

    `done` where its work is: then it need not be asked for again, though a second execution of it has ended at once.
    """
    try:
        if done:
            lease.leases.settle(_name(lease.holder))
        lease.release()
    except (EvernasError, OSError) as error:
        print(f"The lease could not be released, and ends with its term: {error}", file=sys.stderr)


def _name(run: str) -> str:
    return os.environ.get(NAME_VARIABLE) or run
