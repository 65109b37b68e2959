"""The ledger: what each decision claimed of the gate split before it was read, and what it then told of it.

A claim is made once for each decision; the same decision, taken up again after a kill, keeps it. Which split it is of
is said by the people who are read: decisions that share one share their budget, and people who were never read bring
a new one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.errors import IntegrityError
from evernas.gate.spending import Claim, claim, telling
from evernas.state import Guard, Home
from evernas.state.formats import newer
from evernas.state.sharing import storage_of
from evernas.storage import AlreadyExists

LEDGER_VERSION = 2
TOLD_VERSION = 1


@dataclass(frozen=True)
class Decision:
    """An entry of the ledger: what was claimed, and what was told; None where it was not told yet, or never."""

    number: int
    claimed: dict[str, Any]
    told: dict[str, Any] | None

    @property
    def claim(self) -> Claim:
        """The right to decide that it holds."""
        return Claim(self.claimed["decision"], self.claimed["level"], self.claimed["left"])

    @property
    def entry(self) -> str | None:
        """What later decisions have to pay for."""
        return telling(None if self.told is None else self.told["told"], self.claimed["first"])


def decisions(home: Home, project: str) -> list[Decision]:
    """All entries, oldest first. IntegrityError for one of another version."""
    claims, told = storage_of(home, home.ledger(project)), storage_of(home, home.told(project))
    keys, answered = claims.list("gate/"), told.list("gate/")
    claims.prefetch(keys)
    told.prefetch(answered)
    answers = {_number(key): json.loads(told.read(key)) for key in answered}
    for key in answered:
        if answers[_number(key)].get("version", 0) > TOLD_VERSION:
            raise newer(f"What the ledger's {key} told", answers[_number(key)]["version"], TOLD_VERSION)
    found = []
    for key in keys:
        claimed = json.loads(claims.read(key))
        if claimed["version"] > LEDGER_VERSION:
            raise newer(f"The ledger entry {key}", claimed["version"], LEDGER_VERSION)
        if claimed["version"] != LEDGER_VERSION:
            raise IntegrityError(
                f"The ledger entry {key} has version {claimed['version']}, this evernas reads version "
                f"{LEDGER_VERSION}: what that decision told is not known, so its people cannot judge any more. Start a "
                "project with other people in data.splits.gate."
            )
        found.append(Decision(_number(key), claimed, answers.get(_number(key))))
    return found


def next_claim(home: Home, project: str, people: list[str], alpha: float, limit: int) -> Claim:
    """What the next decision that reads any of these people may spend."""
    earlier = _sharing(decisions(home, project), people)
    spent = [sum(d.claim.level for d in earlier if person in d.claimed["people"]) for person in people]
    return claim(alpha, limit, [decision.entry for decision in earlier], max(spent, default=0.0))


def people_read(home: Home, project: str) -> list[str]:
    """All people whom any decision claimed to read."""
    return sorted({person for decision in decisions(home, project) for person in decision.claimed["people"]})


def claim_decision(home: Home, project: str, guard: Guard, what: dict[str, Any], alpha: float, limit: int) -> Decision:
    """Claim a decision before the split is read. `what` has token, device, candidate, champion, journal and people.

    The token is the digest of all that the decision depends on: the same decision is not charged again.
    """
    storage = storage_of(home, home.ledger(project))
    while True:
        entries = decisions(home, project)
        for entry in entries:
            if entry.claimed["token"] == what["token"]:
                return entry
        claimed = next_claim(home, project, what["people"], alpha, limit)
        same = [e for e in _sharing(entries, what["people"]) if e.claimed["device"] == what["device"]]
        number = max((entry.number for entry in entries), default=0) + 1
        document = {
            "version": LEDGER_VERSION,
            "decision": claimed.decision,
            "level": claimed.level,
            "left": claimed.left,
            "first": what["champion"] is None and not same,
            **what,
        }
        try:
            with guard.publishing():
                storage.create(f"gate/{number:06d}.json", _bytes(document))
        except AlreadyExists:
            # Another device's branch took the entry: look again.
            continue
        return Decision(number, document, None)


def told_since_promotion(home: Home, project: str, decision: Decision) -> set[str]:
    """What earlier decisions of the same device on these people told since its last promotion."""
    since: set[str] = set()
    for earlier in _sharing(decisions(home, project), decision.claimed["people"]):
        if earlier.number >= decision.number or earlier.claimed["device"] != decision.claimed["device"]:
            continue
        kind = None if earlier.told is None else earlier.told["told"]
        since = set() if kind == "promotion" else since | ({kind} if kind else set())
    return since


def record_told(
    home: Home, project: str, guard: Guard, decision: Decision, exact: dict[str, Any], facts: dict[str, Any]
) -> dict[str, Any]:
    """Keep what a decision tells, before anybody is told; what it does not tell is sealed.

    `exact` is the whole verdict, and what was found beside it; `facts` has told, verdict (as published), moves_anchor,
    gate_error_by_domain and gate_robustness.
    """
    key = f"gate/{decision.number:06d}.json"
    document = {"version": TOLD_VERSION, "token": decision.claimed["token"], **facts}
    told = storage_of(home, home.told(project))
    with guard.publishing():
        storage_of(home, home.sealed(project)).write(key, _bytes(exact))
        try:
            told.create(key, _bytes(document))
        except AlreadyExists:
            # The answer to a first try was lost, or an attempt that was thought dead has told: what was told stands.
            standing: dict[str, Any] = json.loads(told.read(key))
            return standing
    return document


def _sharing(entries: list[Decision], people: list[str]) -> list[Decision]:
    return [entry for entry in entries if set(entry.claimed["people"]) & set(people)]


def _number(key: str) -> int:
    return int(Path(key).stem)


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()
