"""Signed verdicts: what a verdict is bound to, its signature over canonical JSON, and the refusals of promote."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evernas.digest import canonical_json, digest_value, short
from evernas.errors import HoldError
from evernas.registry.keys import Keyring, key_id

SIGNED_VERSION = 1
# So that a signature of something else made with the same key is never taken for one of a verdict.
DOMAIN = b"evernas verdict 1\n"


@dataclass(frozen=True)
class Statement:
    """What is signed. Digests of files are of bytes; a bundle's digest covers every file in it.

    `evidence` is what the gate was shown, from which anybody can decide again. `journal` is the number of the head
    when the verdict was made. Whoever promotes claims the next number, so that a verdict is spent once, and a rollback
    voids it.
    """

    project: str
    device: str
    run: str
    outcome: str
    verdict: dict[str, Any]
    candidate: str
    candidate_model: str
    champion: str | None
    champion_model: str | None
    policy: str
    gate_split: str
    evidence: str | None
    journal: int
    made_at: str
    expires_at: str

    @property
    def verdict_digest(self) -> str:
        """Digest of the verdict alone, without when it was signed."""
        return digest_value(self.verdict)

    @property
    def token(self) -> str:
        """What a claim of this decision carries: the same however often it is signed or tried."""
        return digest_value([self.run, self.device, self.candidate, self.verdict_digest, self.journal])


@dataclass(frozen=True)
class Bound:
    """What a promotion is about to do, which its verdict must have been made for."""

    project: str
    device: str
    policy: str
    journal: int
    champion: str | None


def expiry(made: datetime, hours: float) -> tuple[str, str]:
    """When a verdict was made and when it is void, as they are signed."""
    return made.isoformat(timespec="seconds"), (made + timedelta(hours=hours)).isoformat(timespec="seconds")


def sign(statement: Statement, key: Ed25519PrivateKey) -> dict[str, Any]:
    """The signed verdict, a plain document."""
    payload = asdict(statement)
    return {
        "version": SIGNED_VERSION,
        "key": key_id(key.public_key()),
        "payload": payload,
        "signature": base64.b64encode(key.sign(_message(payload))).decode(),
    }


def verify(document: Any, keys: Keyring, now: datetime) -> Statement:
    """What a signed verdict states. HoldError if it is unsigned, altered, of an unknown key or expired."""
    statement = authentic(document, keys)
    if datetime.fromisoformat(statement.expires_at) <= now:
        raise HoldError(
            f"The verdict of {statement.made_at} expired on {statement.expires_at}, and it is {now:%Y-%m-%dT%H:%M:%S}: "
            "run again for a new one."
        )
    return statement


def authentic(document: Any, keys: Keyring) -> Statement:
    """The same of a verdict that may have been spent long ago: its signature alone is checked."""
    if not isinstance(document, dict) or "signature" not in document:
        raise HoldError("The verdict is not signed: only the gate's signed verdict promotes; run the gate again.")
    if document.get("version") != SIGNED_VERSION:
        raise HoldError(
            f"The signed verdict has version {document.get('version')!r}, and this evernas reads {SIGNED_VERSION}: run "
            "the gate again."
        )
    key, payload = document.get("key"), document.get("payload")
    try:
        signature = base64.b64decode(document["signature"], validate=True)
        genuine = keys.verifies(str(key), signature, _message(payload))
    except (binascii.Error, TypeError, ValueError):
        genuine = False
    if genuine is None:
        raise HoldError(
            f"The verdict is signed with the key {key}, and only {', '.join(keys.keys)} "
            f"{'counts' if len(keys.keys) == 1 else 'count'}: add its public key to registry.verdict_keys if it is the "
            "gate's, and investigate if it is not."
        )
    if not genuine:
        raise HoldError(
            "The verdict does not bear out its signature: it was altered after the gate signed it; do not use it, and "
            "find out who did."
        )
    return _statement(payload)


def check_bound(statement: Statement, bound: Bound) -> None:
    """HoldError unless the verdict says to promote, and was made for exactly this promotion."""
    if statement.outcome != "promote" or statement.verdict.get("outcome") != "promote":
        raise HoldError(f"The verdict on {statement.device} is to hold: {statement.verdict.get('sentence')}")
    for name, signed, asked in [
        ("project", statement.project, bound.project),
        ("device", statement.device, bound.device),
    ]:
        if signed != asked:
            raise HoldError(f"The verdict is for the {name} {signed}, not for {asked}: use that one's own verdict.")
    if statement.journal != bound.journal:
        raise HoldError(
            f"The verdict was made at journal number {statement.journal}, and {bound.device} is now at "
            f"{bound.journal}: it was spent, or the champion was changed since; run again for a new verdict."
        )
    if statement.champion != bound.champion:
        raise HoldError(
            f"The verdict compares with the champion {_name(statement.champion)}, and that of {bound.device} is "
            f"{_name(bound.champion)}: run again for a new verdict."
        )
    if statement.policy != bound.policy:
        raise HoldError(
            f"The verdict was made under the policy {short(statement.policy)}, and the config's is now "
            f"{short(bound.policy)}: run again under the policy that holds now."
        )


def _message(payload: Any) -> bytes:
    return DOMAIN + canonical_json(payload).encode()


def _statement(payload: Any) -> Statement:
    known = {field.name for field in fields(Statement)}
    if not isinstance(payload, dict) or set(payload) != known:
        raise HoldError("The signed verdict has other fields than this evernas knows: run the gate again.")
    return Statement(**payload)


def _name(digest: str | None) -> str:
    return "(none)" if digest is None else short(digest)


def moment() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
