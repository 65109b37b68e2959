"""Ed25519 keys of verdicts: where the private one comes from, which public ones count; nothing is signed here."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from evernas.config import RegistryConfig
from evernas.digest import digest_bytes, short
from evernas.errors import UsageError
from evernas.state.home import Home

KEY_VARIABLE = "EVERNAS_GATE_KEY"
KEY_FILE_VARIABLE = "EVERNAS_GATE_KEY_FILE"
LOCAL_KEY = "gate-ed25519.pem"


@dataclass(frozen=True)
class Keyring:
    """The public keys whose verdicts count, by key id."""

    keys: Mapping[str, Ed25519PublicKey]

    def verifies(self, key: str, signature: bytes, message: bytes) -> bool | None:
        """Whether the signature is of this message by this key; None if the key is not one of ours."""
        if key not in self.keys:
            return None
        try:
            self.keys[key].verify(signature, message)
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a key: the first digits of its own digest, so that nobody can choose it."""
    return short(digest_bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw)))


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as the config takes it."""
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def keyring(config: RegistryConfig, home: Home) -> Keyring:
    """The keys that the config names; the state folder's own where it names none, if anything was signed with it."""
    if config.verdict_keys:
        return keyring_of(config.verdict_keys)
    if home.bucket is None and not (home.keys / LOCAL_KEY).exists():
        return Keyring({})
    own = local_key(home).public_key()
    return Keyring({key_id(own): own})


def keyring_of(texts: Sequence[str]) -> Keyring:
    """A keyring of public keys as the config has them; UsageError for one that is none."""
    found = {}
    for text in texts:
        try:
            raw = base64.b64decode(text, validate=True)
            key = Ed25519PublicKey.from_public_bytes(raw)
        except (binascii.Error, ValueError):
            raise UsageError(
                f"registry.verdict_keys has {text!r}, which is no Ed25519 public key in base64: copy what "
                "`evernas gate key` prints where the gate runs."
            ) from None
        found[key_id(key)] = key
    return Keyring(found)


def signing_key(config: RegistryConfig, home: Home) -> Ed25519PrivateKey:
    """The gate's private key: from the environment, by value or by file, else the state folder's own.

    UsageError if the config names public keys and this is none of them: what it signed, nobody would take.
    """
    key = _given_key()
    if key is None:
        if config.verdict_keys:
            raise UsageError(
                f"registry.verdict_keys names whose verdicts count, and neither {KEY_VARIABLE} nor {KEY_FILE_VARIABLE} "
                "gives the private key: set one where the gate runs, and only there."
            )
        return local_key(home)
    if config.verdict_keys and key_id(key.public_key()) not in keyring_of(config.verdict_keys).keys:
        raise UsageError(
            f"The gate's private key {key_id(key.public_key())} is none of registry.verdict_keys: add "
            f"{public_text(key.public_key())} there first, or give the key that belongs to one of them."
        )
    return key


def _given_key() -> Ed25519PrivateKey | None:
    text, file = os.environ.get(KEY_VARIABLE), os.environ.get(KEY_FILE_VARIABLE)
    if text and file:
        raise UsageError(f"Both {KEY_VARIABLE} and {KEY_FILE_VARIABLE} are set: set one.")
    if text:
        return _parsed(text.encode(), KEY_VARIABLE)
    if not file:
        return None
    try:
        return _parsed(Path(file).read_bytes(), file)
    except OSError as error:
        raise UsageError(f"{KEY_FILE_VARIABLE} is {file!r}, which cannot be read ({error.strerror}).") from None


def _parsed(pem: bytes, name: str) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{name} holds no Ed25519 private key in PEM without a password: make one with "
            "`openssl genpkey -algorithm ed25519`."
        )
    return key


def local_key(home: Home) -> Ed25519PrivateKey:
    """The state folder's own key, made on first use for its owner alone; of several at once, one makes it."""
    path = home.keys / LOCAL_KEY
    if home.bucket is not None:
        raise UsageError(
            f"The state lies in a bucket, where no private key belongs: set {KEY_VARIABLE} or {KEY_FILE_VARIABLE} "
            "where the gate runs, and name the public key in registry.verdict_keys (`evernas gate key` prints it)."
        )
    if not path.exists():
        _make(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise UsageError(
            f"The gate's private key {path} has the mode {mode:04o}, so that others may read it and sign verdicts: "
            f"`chmod 600 {path}` if nobody did, else delete it and a new one is made."
        )
    return _parsed(path.read_bytes(), str(path))


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        # Another process may have made it meanwhile: then that one is the key.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
