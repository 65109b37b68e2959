"""Private keys under a passphrase: scrypt (RFC 7914) and AES-GCM, so that a changed byte is found when it is opened."""

from __future__ import annotations

import base64
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from evernas.errors import IntegrityError, UsageError

VERSION = 1
COST, BLOCK, PARALLEL = 2**15, 8, 1
SHORTEST = 16


def seal(data: bytes, passphrase: str) -> bytes:
    """The data, unreadable without the passphrase; UsageError for one that is soon guessed."""
    if len(passphrase) < SHORTEST:
        raise UsageError(f"The passphrase has {len(passphrase)} characters: use at least {SHORTEST}, drawn at random.")
    salt, nonce = os.urandom(16), os.urandom(12)
    document = {
        "version": VERSION,
        "salt": base64.b64encode(salt).decode(),
        "nonce": base64.b64encode(nonce).decode(),
        "data": base64.b64encode(AESGCM(_key(passphrase, salt)).encrypt(nonce, data, None)).decode(),
    }
    return json.dumps(document, sort_keys=True).encode()


def open_sealed(sealed: bytes, passphrase: str) -> bytes:
    """What was sealed; UsageError if the passphrase is another one."""
    document = json.loads(sealed)
    if document["version"] != VERSION:
        raise IntegrityError(f"The key is sealed in version {document['version']}, this evernas opens {VERSION}.")
    salt, nonce, data = (base64.b64decode(document[name]) for name in ("salt", "nonce", "data"))
    try:
        return AESGCM(_key(passphrase, salt)).decrypt(nonce, data, None)
    except InvalidTag:
        raise UsageError("The passphrase does not open the keys here: give the one it was made with.") from None


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt, 32, COST, BLOCK, PARALLEL).derive(passphrase.encode())
