"""A project's lease: of all runs of a project, whoever started them, one works; kept in storage, with fencing numbers.

Each claim creates the next numbered key, which must not exist: of several at once one wins, on any storage that can
create. The holder notes a later deadline from time to time. After the deadline another may claim the next number, and
from then on the old holder's check fails, before it publishes anything more.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evernas.errors import IntegrityError, OwnershipError
from evernas.state.home import Home
from evernas.state.sharing import storage_of
from evernas.storage import AlreadyExists, Storage

LEASE_VERSION = 1
# Between two steps of a run nobody renews: the time to get a machine must be within it.
TERM_S = 3600.0
RENEW_S = 60.0
# How far the clocks of two machines may be apart.
CLOCK_S = 30.0
KEPT_NUMBERS = 3


def leases_of(home: Home, project: str) -> Leases:
    """The lease of a project, in the storage that its runs share."""
    return Leases(storage_of(home, home.project(project) / "lease", kept=False))


@dataclass(frozen=True)
class Record:
    """What a claim says: its number, who holds it, and until when, by its clock."""

    number: int
    holder: str
    token: str
    deadline: float
    released: bool


class Leases:
    """The lease of one project, under a prefix of its own in a storage."""

    def __init__(self, storage: Storage, prefix: str = "", clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._prefix = prefix
        self._clock = clock

    def current(self) -> Record | None:
        """The newest claim; None if there never was one."""
        numbers = self._numbers()
        return self._read(numbers[-1]) if numbers else None

    def is_free(self) -> bool:
        """Whether a claim could succeed now."""
        current = self.current()
        return current is None or current.released or self._clock() > current.deadline + CLOCK_S

    def claim(self, holder: str, term_s: float = TERM_S, taking_over: bool = False) -> Lease | None:
        """Hold the lease; None if another run does. A run that claims again fences off what is left of itself.

        `taking_over` ends another's claim before its deadline, for a caller that knows that no other run lives.
        """
        current = self.current()
        if current is not None and current.holder != holder and not (self.is_free() or taking_over):
            return None
        number = 1 if current is None else current.number + 1
        token = secrets.token_hex(16)
        try:
            self._storage.create(self._key(number), self._document(holder, token, term_s))
        except AlreadyExists:
            # Another has won, or this is the answer to a create of ours that was sent twice.
            if self._read(number).token != token:
                return None
        self._forget(number)
        return Lease(self, number, holder, token, term_s)

    def join(self, holder: str, term_s: float = TERM_S) -> Lease:
        """The lease that this run's first step claimed; OwnershipError if another run has it by now."""
        current = self.current()
        if current is None or current.holder != holder or current.released:
            who = "nobody" if current is None or current.released else f"run {current.holder}"
            raise OwnershipError(f"Run {holder} no longer holds its project's lease, {who} does: this run stops.")
        return Lease(self, current.number, holder, current.token, term_s)

    def end(self, holder: str) -> None:
        """End the claim of a run that is known to live no more, so that the next need not wait for its deadline."""
        current = self.current()
        if current is not None and current.holder == holder and not current.released:
            self.note(Lease(self, current.number, holder, current.token, 0.0), released=True)

    def defer(self, run: str) -> None:
        """Note that a run ended at once because another holds the lease: what it was for is still to be done."""
        self._storage.write(f"{self._prefix}deferred/{run}", b"{}")

    def deferred(self) -> list[str]:
        """The runs that ended at once."""
        prefix = f"{self._prefix}deferred/"
        return [key.removeprefix(prefix) for key in self._storage.list(prefix)]

    def settle(self, run: str) -> None:
        """Forget that a run ended at once: its work is done or asked for anew."""
        self._storage.delete(f"{self._prefix}deferred/{run}")

    def newest(self) -> int:
        """Number of the newest claim; 0 without one."""
        return max(self._numbers(), default=0)

    def note(self, lease: Lease, released: bool) -> None:
        """Write down a later deadline, or the end, of a claim. Only its holder writes this key."""
        term = 0.0 if released else lease.term_s
        document = self._document(lease.holder, lease.token, term, released)
        self._storage.write(self._key(lease.number, "renewed"), document)

    def _numbers(self) -> list[int]:
        keys = self._storage.list(f"{self._prefix}claims/")
        return sorted({int(key.rpartition("/")[2].partition(".")[0]) for key in keys if key.endswith(".claimed")})

    def _key(self, number: int, what: str = "claimed") -> str:
        return f"{self._prefix}claims/{number:012d}.{what}"

    def _document(self, holder: str, token: str, term_s: float, released: bool = False) -> bytes:
        value = {"version": LEASE_VERSION, "holder": holder, "token": token, "released": released}
        return json.dumps({**value, "deadline": self._clock() + term_s}).encode()

    def _read(self, number: int) -> Record:
        claimed = self._parse(number, "claimed")
        try:
            renewed = self._parse(number, "renewed")
        except KeyError:
            renewed = claimed
        # A renewal by a claimant that lost this number is not the winner's.
        newest = renewed if renewed["token"] == claimed["token"] else claimed
        return Record(number, claimed["holder"], claimed["token"], newest["deadline"], newest["released"])

    def _parse(self, number: int, what: str) -> dict[str, Any]:
        key = self._key(number, what)
        try:
            document: dict[str, Any] = json.loads(self._storage.read(key))
        except ValueError:
            raise IntegrityError(f"The lease {key} is no JSON: remove it once no run works.") from None
        if document.get("version") != LEASE_VERSION:
            raise IntegrityError(f"The lease {key} was written by another version of evernas: use that version.")
        return document

    def _forget(self, newest: int) -> None:
        """Remove claims of long ago. The newest number is never removed, so numbers are never given twice."""
        for number in self._numbers():
            if number <= newest - KEPT_NUMBERS:
                for what in ("renewed", "claimed"):
                    self._storage.delete(self._key(number, what))


@dataclass(frozen=True)
class Lease:
    """A claim that is held: proof, under its fencing number, that this run may publish."""

    leases: Leases
    number: int
    holder: str
    token: str
    term_s: float

    def check(self) -> None:
        """OwnershipError if another claim has followed."""
        newest = self.leases.newest()
        if newest != self.number:
            raise OwnershipError(
                f"Run {self.holder} held its project's lease under number {self.number}, but it is at {newest} now: "
                "another run works, this one stops."
            )

    def renew(self) -> None:
        """Hold for another term from now; OwnershipError if another claim has followed."""
        self.check()
        self.leases.note(self, released=False)

    def release(self) -> None:
        """End the claim before its deadline."""
        self.leases.note(self, released=True)
