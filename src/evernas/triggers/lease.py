"""A project's lease: of all runs of a project, whoever started them, one works; kept in storage, with fencing numbers.

Each claim creates the next numbered key, which must not exist: of several at once one wins, on any storage that can
create. The holder writes another key from time to time. Once the newer of the two is older than the claim's term,
another may claim the next number, and from then on the old holder's check fails, before it publishes anything more. How
old a key is says the storage's clock: those of the machines may differ as they like.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from evernas.digest import digest_bytes, short
from evernas.errors import IntegrityError, OwnershipError
from evernas.state.formats import newer
from evernas.state.home import Home
from evernas.storage import Storage
from evernas.storage.claiming import created
from evernas.triggers.lease_storage import shared_state, starter, storage_of

LEASE_VERSION = 2
# Version 1 told a deadline by its writer's clock, and no term.
READ_VERSIONS = (1, 2)
# Between two steps of a run nobody renews: the time to get a machine must be within it.
TERM_S = 3600.0
RENEW_S = 60.0
# How far the clocks of a storage that is several machines itself may be apart; its times are in whole seconds.
SLACK_S = 30.0
KEPT_NUMBERS = 3
# Whoever trains may write where the lease is, and a receiver reads what is there.
CLAIMED = re.compile(r"([0-9]{12,})\.claimed")
LARGEST_BYTES = 1 << 16


def leases_of(home: Home, project: str, shared: str | None = None) -> Leases:
    """A project's lease in the storage that its runs share: at `shared`, else as EVERNAS_LEASE says, else here."""
    shared = shared or shared_state()
    return Leases(storage_of(home, project, shared), starter=starter(home, shared))


@dataclass(frozen=True)
class Record:
    """What a claim says: its number, who holds it, in which execution, who started that, for how long, and where."""

    number: int
    holder: str
    execution: str
    starter: str
    token: str
    term_s: float
    released: bool
    key: str


class Leases:
    """The lease of one project, under a prefix of its own in a storage."""

    def __init__(self, storage: Storage, prefix: str = "", starter: str = "", slack_s: float = SLACK_S) -> None:
        self._storage = storage
        self._prefix = prefix
        self._starter = starter
        self._slack_s = slack_s

    def current(self) -> Record | None:
        """The newest claim; None if there never was one."""
        while True:
            newest = self.newest()
            if not newest:
                return None
            # A claim that several others have followed since the listing is forgotten: list again.
            with contextlib.suppress(KeyError):
                return self._read(newest)

    def is_free(self) -> bool:
        """Whether a claim could succeed now."""
        current = self.current()
        return current is None or self._is_over(current)

    def claim(self, holder: str, term_s: float = TERM_S, execution: str = "") -> Lease | None:
        """Hold the lease; None if another run does, or this one in another execution: it was submitted twice.

        An execution that claims again, as a step does that is started again, fences off what is left of itself.
        """
        current = self.current()
        ours = current is None or (current.holder, current.execution) == (holder, execution)
        if current is not None and not ours and not self._is_over(current):
            return None
        number = 1 if current is None else current.number + 1
        lease = Lease(self, number, holder, execution, self._starter, secrets.token_hex(16), term_s)
        # A claimant that was stopped since it looked can meet a number that was given, and is forgotten already.
        if not self._create(lease) or self.newest() != number:
            return None
        self._forget(number)
        return lease

    def join(self, holder: str, term_s: float = TERM_S) -> Lease:
        """The lease that this run's first step claimed; OwnershipError if another run has it by now."""
        current = self.current()
        if current is None or current.holder != holder or current.released:
            who = "nobody" if current is None or current.released else f"run {current.holder}"
            raise OwnershipError(f"Run {holder} no longer holds its project's lease, {who} does: this run stops.")
        return Lease(self, current.number, holder, current.execution, current.starter, current.token, term_s)

    def end(self, holder: str) -> None:
        """End the claim of a run that is known to live no more, so that the next need not wait for its term."""
        current = self.current()
        if current is not None and current.holder == holder:
            self._end(current)

    def end_left(self) -> None:
        """End a claim of a run that was started from this state folder, which the caller owns: so it is dead."""
        current = self.current()
        if current is not None and current.starter == self._starter:
            self._end(current)

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

    def note_removed(self, objects: Iterable[tuple[str, str]]) -> None:
        """Note that events told of the removal of objects, each a bucket and a key, for the next run to know."""
        for bucket, key in objects:
            document = json.dumps([bucket, key]).encode()
            self._storage.write(f"{self._prefix}removed/{short(digest_bytes(document))}", document)

    def removed(self) -> set[tuple[str, str]]:
        """The objects whose removal events told of, and that no run has settled since."""
        found = set()
        for name in self._storage.list(f"{self._prefix}removed/"):
            # Another run may settle it at this moment.
            with contextlib.suppress(KeyError):
                bucket, key = json.loads(self._storage.read(name))
                found.add((str(bucket), str(key)))
        return found

    def settle_removed(self, objects: Iterable[tuple[str, str]]) -> None:
        """A run has looked at these objects: what was told of them is no news any more."""
        for bucket, key in objects:
            name = short(digest_bytes(json.dumps([bucket, key]).encode()))
            self._storage.delete(f"{self._prefix}removed/{name}")

    def newest(self) -> int:
        """Number of the newest claim; 0 without one."""
        return max(self._numbers(), default=0)

    def note(self, lease: Lease, released: bool) -> None:
        """Note that a claim is held for a further term, or that it ends. Only its holder writes this key."""
        self._storage.write(self._key(lease.number, "renewed"), _document(lease, released))

    def _create(self, lease: Lease) -> bool:
        """Whether the number is this claim's. A create whose answer was lost, and which is repeated, meets itself."""
        key = self._key(lease.number, "claimed")
        if created(lambda: self._storage.create(key, _document(lease, released=False))):
            return True
        with contextlib.suppress(KeyError):
            return self._read(lease.number).token == lease.token
        return False

    def _end(self, record: Record) -> None:
        if not record.released:
            who = (record.number, record.holder, record.execution, record.starter)
            self.note(Lease(self, *who, record.token, record.term_s), released=True)

    def _is_over(self, record: Record) -> bool:
        if record.released:
            return True
        try:
            return self._storage.age_s(record.key) > record.term_s + self._slack_s
        except KeyError:
            # Forgotten since it was read: others have claimed.
            return False

    def _numbers(self) -> set[int]:
        prefix = f"{self._prefix}claims/"
        claims = (CLAIMED.fullmatch(key.removeprefix(prefix)) for key in self._storage.list(prefix))
        return {int(claim[1]) for claim in claims if claim is not None}

    def _key(self, number: int, what: str) -> str:
        return f"{self._prefix}claims/{number:012d}.{what}"

    def _read(self, number: int) -> Record:
        claimed = self._parse(number, "claimed")
        try:
            renewed = self._parse(number, "renewed")
        except KeyError:
            return claimed
        # A renewal by a claimant that lost this number is not the winner's.
        return renewed if renewed.token == claimed.token else claimed

    def _parse(self, number: int, what: str) -> Record:
        key = self._key(number, what)
        data = self._storage.read_within(key, LARGEST_BYTES)
        try:
            return _record(number, key, json.loads(data))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError):
            raise IntegrityError(f"The lease {key} is no claim: remove it once no run works.") from None

    def _forget(self, newest: int) -> None:
        """Remove claims of long ago. The newest number is never removed, so numbers are never given twice."""
        for number in sorted(self._numbers()):
            if number <= newest - KEPT_NUMBERS:
                for what in ("renewed", "claimed"):
                    self._storage.delete(self._key(number, what))


@dataclass(frozen=True)
class Lease:
    """A claim that is held: proof, under its fencing number, that this run may publish."""

    leases: Leases
    number: int
    holder: str
    execution: str
    starter: str
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
        """End the claim before its term."""
        self.leases.note(self, released=True)


def _record(number: int, key: str, document: dict[str, Any]) -> Record:
    """What a document says; IntegrityError for one of another version."""
    if document.get("version", 0) > LEASE_VERSION:
        raise newer(f"The lease {key}", document["version"], LEASE_VERSION)
    if document.get("version") not in READ_VERSIONS:
        raise IntegrityError(f"The lease {key} was written by another version of evernas: use that version.")
    who = (str(document["holder"]), str(document.get("execution", "")), str(document.get("starter", "")))
    term_s = float(document.get("term_s", TERM_S))
    if not 0 < term_s < math.inf:
        raise ValueError(f"a term of {term_s} s")
    return Record(number, *who, str(document["token"]), term_s, bool(document["released"]), key)


def _document(lease: Lease, released: bool) -> bytes:
    names = ("holder", "execution", "starter", "token", "term_s")
    said = {name: getattr(lease, name) for name in names}
    return json.dumps({"version": LEASE_VERSION, **said, "released": released}).encode()
