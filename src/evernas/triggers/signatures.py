"""Proofs of who sent a request: HMAC signatures and bearer secrets, compared in constant time, under two secrets.

Standard Webhooks (https://www.standardwebhooks.com) and MLflow sign `id.timestamp.body`; GitHub signs the body.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evernas.triggers.events import RefusedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Proof:
    """What a verified request says of itself: the sender's id for it, and when it was signed (0 if it does not say)."""

    id: str
    signed_at: float


@dataclass(frozen=True)
class TimedHeaders:
    """Names of the headers of a scheme that signs `id.timestamp.body`."""

    id: str
    timestamp: str
    signature: str


STANDARD = TimedHeaders("webhook-id", "webhook-timestamp", "webhook-signature")
MLFLOW = TimedHeaders("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
GITHUB, GITHUB_EVENT = "x-hub-signature-256", "x-github-event"
# More signatures than secrets in rotation is an attempt to make us work.
MOST_SIGNATURES = 4


def timed(
    names: TimedHeaders, headers: Headers, body: bytes, keyed: list[hmac.HMAC], now: float, max_age_s: float
) -> Proof:
    """Verify `v1,<base64 HMAC-SHA256>` over `id.timestamp.body`; RefusedError 401 if it is not ours or too old."""
    message, moment, given = (headers.get(name, "") for name in (names.id, names.timestamp, names.signature))
    if not (message and moment and given):
        raise RefusedError(401, f"The request is not signed: send {names.id}, {names.timestamp} and {names.signature}.")
    if len(message) > 200 or not (moment.isascii() and moment.isdigit() and len(moment) <= 12):
        raise RefusedError(401, f"{names.id} or {names.timestamp} is not in the form that was signed.")
    offered = [part[3:].encode("utf-8", "replace") for part in given.split(" ") if part.startswith("v1,")]
    content = f"{message}.{moment}.".encode("utf-8", "surrogateescape") + body
    if not _any(offered[:MOST_SIGNATURES], [base64.b64encode(_mac(one, content)) for one in keyed]):
        raise RefusedError(401, "The signature does not fit the body.")
    age = now - float(moment)
    if abs(age) > max_age_s:
        raise RefusedError(401, f"The signature is {age:.0f} s old; at most {max_age_s:g} s are accepted: sign again.")
    return Proof(message, float(moment))


def signed_headers(
    message: str, moment: int, body: bytes, secret: bytes | None, key: Ed25519PrivateKey | None = None
) -> dict[str, str]:
    """The headers of Standard Webhooks for what we post: `v1` by a shared secret, `v1a` by an Ed25519 key, or both."""
    content = f"{message}.{moment}.".encode() + body
    signatures = []
    if secret is not None:
        signatures.append(f"v1,{base64.b64encode(hmac.digest(secret, content, 'sha256')).decode()}")
    if key is not None:
        signatures.append(f"v1a,{base64.b64encode(key.sign(content)).decode()}")
    return {
        STANDARD.id: message,
        STANDARD.timestamp: str(moment),
        STANDARD.signature: " ".join(signatures),
    }


def github(headers: Headers, body: bytes, keyed: list[hmac.HMAC]) -> None:
    """Verify X-Hub-Signature-256; RefusedError 401 if it is not ours."""
    given = headers.get(GITHUB, "")
    if not given.startswith("sha256="):
        raise RefusedError(401, "The request is not signed: set a secret on the webhook.")
    if not _any(
        [given[7:].encode("utf-8", "replace")],
        [_mac(one, body).hex().encode() for one in keyed],
    ):
        raise RefusedError(401, "The signature does not fit the body.")


def bearer(headers: Headers, secrets: list[bytes], scheme: str) -> None:
    """Verify `Authorization: Bearer <secret>`; RefusedError 403 without TLS, 401 if the secret is not ours."""
    if scheme != "https":
        raise RefusedError(403, "A secret in a header is accepted over TLS only.")
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not _any([given.strip().encode("utf-8", "replace")], secrets):
        raise RefusedError(401, "The Authorization header holds no bearer secret of this source.")


def _mac(keyed: hmac.HMAC, content: bytes) -> bytes:
    copy = keyed.copy()
    copy.update(content)
    return copy.digest()


def _any(offered: list[bytes], expected: list[bytes]) -> bool:
    """Whether any pair is equal; all pairs are compared, so that the time tells nothing."""
    found = False
    for one in offered:
        for other in expected:
            found |= hmac.compare_digest(one, other)
    return found
