"""Changing the champion: a promotion by a signed verdict, a rollback, an import; each is one claim of the journal.

A killed change leaves the old champion or the new one: nothing is visible before the claim, and what follows it (the
aliases) is repaired by every later command.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evernas.bundle import Bundle
from evernas.digest import digest_value, short
from evernas.errors import IntegrityError, UsageError
from evernas.registry.entries import Entry, Kind
from evernas.registry.journal import Journal
from evernas.registry.keys import Keyring
from evernas.registry.verdicts import Bound, Statement, check_bound, verify
from evernas.state.runs import now as now_text

Publishing = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Leave:
    """Leave to promote: a verdict that was checked against the journal as it stands. `done` if it was spent on this."""

    statement: Statement
    signed: dict[str, Any]
    head: Entry | None
    done: Entry | None


def check_leave(
    signed: Any, keys: Keyring, now: datetime, journal: Journal, project: str, device: str, policy: str
) -> Leave:
    """Leave to promote by a signed verdict; HoldError says why there is none.

    A promotion that was killed after its claim finds its own entry as the head, and is done.
    """
    head = journal.head(device)
    if head is not None and head.signed is not None and head.signed == signed:
        return Leave(Statement(**head.signed["payload"]), head.signed, head, head)
    statement = verify(signed, keys, now)
    if head is not None and statement.device == device and head.token == statement.token:
        return Leave(statement, signed, head, head)
    number, champion = (0, None) if head is None else (head.number, head.bundle)
    check_bound(statement, Bound(project, device, policy, number, champion))
    return Leave(statement, signed, head, None)


def promote(journal: Journal, leave: Leave, bundle: Bundle, model: str, publishing: Publishing = nullcontext) -> Entry:
    """Make the verdict's candidate the champion. HoldError if another decision was first.

    IntegrityError if the bundle is not the one that was judged, byte for byte.
    """
    statement = leave.statement
    if (bundle.digest, bundle.model_digest) != (statement.candidate, statement.candidate_model):
        raise IntegrityError(
            f"The verdict is on the bundle {short(statement.candidate)}, and {short(bundle.digest)} was given: "
            "restore the bundle that was judged."
        )
    if leave.done is not None:
        return leave.done
    entry = Entry(
        number=statement.journal + 1,
        device=statement.device,
        bundle=bundle.digest,
        architecture=bundle.extra.get("architecture"),
        run=statement.run,
        verdict=statement.verdict_digest,
        model=model,
        promoted_at=now_text(),
        token=statement.token,
        previous=0 if leave.head is None else leave.head.stands,
        signed=leave.signed,
    )
    with publishing():
        return journal.claim(entry)


def rollback_target(journal: Journal, device: str, number: int | None) -> tuple[Entry, Entry]:
    """The head, and the entry that a rollback takes up again: the one before the champion, or of any number.

    UsageError if there is none.
    """
    head = journal.head(device)
    if head is None:
        raise UsageError(f"{device} has no champion: there is nothing to roll back.")
    wanted = head.previous if number is None else number
    if number is None and wanted == 0:
        raise UsageError(
            f"No champion stood on {device} before number {head.stands}: name an entry with --to, or import one."
        )
    if not 1 <= wanted <= head.number:
        raise UsageError(f"The journal of {device} has the entries 1 to {head.number}, and no {wanted}: name another.")
    target = journal.read(device, wanted)
    target = target if target.stands == target.number else journal.read(device, target.stands)
    if target.bundle == head.bundle:
        raise UsageError(
            f"Entry {wanted} of {device} is {short(target.bundle)}, the champion already: name another with --to."
        )
    return head, target


def roll_back(journal: Journal, head: Entry, target: Entry, run: str, reason: str) -> Entry:
    """Take an earlier champion up again. What stands behind it is what stood behind it then."""
    return journal.claim(_by_hand("rollback", head, target, run, reason))


def anchor(journal: Journal, head: Entry, run: str, reason: str) -> Entry:
    """Note that a person takes the champion as it is for the anchor of margins from here on."""
    return journal.claim(_by_hand("anchor", head, head, run, reason))


def _by_hand(kind: Kind, head: Entry, target: Entry, run: str, reason: str) -> Entry:
    return Entry(
        number=head.number + 1,
        device=head.device,
        bundle=target.bundle,
        architecture=target.architecture,
        run=run,
        verdict=target.verdict,
        model=target.model,
        promoted_at=now_text(),
        token=secrets.token_hex(32),
        kind=kind,
        stands=target.stands,
        previous=target.previous,
        reason=reason,
    )


def import_entry(journal: Journal, device: str, bundle: Bundle, model: str, run: str, reason: str | None) -> Entry:
    """Make a network from elsewhere the champion. HoldError if another decision was first."""
    head = journal.head(device)
    entry = Entry(
        number=1 if head is None else head.number + 1,
        device=device,
        bundle=bundle.digest,
        architecture=None,
        run=run,
        verdict="",
        model=model,
        promoted_at=now_text(),
        token=digest_value([run, device, bundle.digest]),
        kind="import",
        previous=0 if head is None else head.stands,
        reason=reason,
    )
    return journal.claim(entry)


def refuse_without_reason(reason: str | None, act: str) -> str:
    """The reason that a person gave for acting without a verdict; UsageError where there is none."""
    if reason is None or not reason.strip():
        raise UsageError(f"{act} needs --reason with a sentence: it is kept in the journal.")
    return reason.strip()
