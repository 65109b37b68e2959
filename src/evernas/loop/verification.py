"""Verifying a signed verdict before it is spent: what it is bound to, and the decision again from its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evernas.config import Config
from evernas.digest import short
from evernas.errors import HoldError
from evernas.registry.keys import keyring
from evernas.registry.opening import open_journal
from evernas.registry.promotion import Leave, check_leave
from evernas.registry.verdicts import moment
from evernas.state import Home
from evernas.steps.decision import policy_digest
from evernas.steps.evidence import decide_again, evidence_digest

TOLERANCE = 1e-9
"""Relative: sums differ in their last digits between processors."""


@dataclass(frozen=True)
class Verified:
    """A verdict that may be spent now, with the reasons that were recomputed."""

    leave: Leave
    verdict: dict[str, Any]


def verify_verdict(config: Config, home: Home, device: str, signed: Any, evidence: Any) -> Verified:
    """Check all that promote checks, and decide again from the evidence. HoldError says what does not hold."""
    journal = open_journal(home, config)
    keys = keyring(config.registry, home)
    leave = check_leave(signed, keys, moment(), journal, config.project, device, policy_digest(config, device))
    statement = leave.statement
    if evidence is None:
        raise HoldError(f"The verdict on {device} comes without its evidence, so it cannot be recomputed: run again.")
    if evidence_digest(evidence) != statement.evidence:
        raise HoldError(
            f"The evidence has the digest {short(evidence_digest(evidence))}, and the verdict was signed for "
            f"{short(str(statement.evidence))}: it is another decision's, or was altered."
        )
    again = decide_again(evidence, config, device)
    if not same(again, statement.verdict):
        raise HoldError(
            f"The evidence gives another verdict than was signed: {again['sentence']} Use the version of evernas that "
            "the gate ran, and if it is that one, investigate."
        )
    return Verified(leave, again)


def same(ours: Any, theirs: Any) -> bool:
    """Whether two documents say the same; figures may differ in their last digits."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(same(a, b) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, float) and isinstance(theirs, float):
        return abs(ours - theirs) <= TOLERANCE * max(1.0, abs(ours), abs(theirs))
    return bool(ours == theirs)
