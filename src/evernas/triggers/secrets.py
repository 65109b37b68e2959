"""Secrets by reference: read from an environment variable or a file, read again when the file changes, never shown."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import time
from collections.abc import Sequence
from pathlib import Path

from evernas.config_triggers import SecretRef
from evernas.errors import UsageError

SHORTEST = 16
LOOK_AGAIN_S = 1.0
STANDARD_PREFIX = "whsec_"


def resolve(reference: SecretRef) -> str:
    """The secret that a reference names; UsageError, without it, if it is not there."""
    if reference.env is not None:
        value = os.environ.get(reference.env)
        if not value:
            raise UsageError(f"The secret in the variable {reference.env} is not set: set it, or name another.")
        return value
    assert reference.file is not None
    try:
        value = Path(reference.file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The secret in {reference.file} cannot be read ({type(error).__name__}).") from None
    if not value:
        raise UsageError(f"The secret in {reference.file} is empty: write one of at least {SHORTEST} characters.")
    return value


class Secrets:
    """The one or two secrets of a source as bytes; a file that changed is read again, at most once a second."""

    def __init__(self, references: Sequence[SecretRef]) -> None:
        self._references = list(references)
        self._looked_at = 0.0
        self._stamps: tuple[object, ...] = ()
        self._values: list[bytes] = []
        self._keyed: list[hmac.HMAC] = []
        self._load()

    def __repr__(self) -> str:
        return f"Secrets({len(self._references)})"

    def values(self) -> list[bytes]:
        """All secrets that are valid now."""
        self._refresh()
        return self._values

    def keyed(self) -> list[hmac.HMAC]:
        """HMAC-SHA256 under each of them; a copy of one costs a tenth of what making it does."""
        self._refresh()
        return self._keyed

    def _refresh(self) -> None:
        moment = time.monotonic()
        if moment - self._looked_at > LOOK_AGAIN_S:
            self._looked_at = moment
            if self._stamp() != self._stamps:
                try:
                    self._load()
                except UsageError:
                    # A file that is just being replaced: what was valid stays valid until the new one can be read.
                    self._stamps = ()

    def _load(self) -> None:
        stamps = self._stamp()
        values = []
        for reference in self._references:
            value = resolve(reference)
            if len(value) < SHORTEST:
                raise UsageError(
                    f"The secret in {reference.env or reference.file} has {len(value)} characters: "
                    f"use at least {SHORTEST}, from a random generator."
                )
            values.append(key_of(value, str(reference.env or reference.file)))
        self._stamps, self._values = stamps, values
        self._keyed = [hmac.new(value, digestmod="sha256") for value in values]

    def _stamp(self) -> tuple[object, ...]:
        def stamp(path: Path) -> object:
            try:
                status = path.stat()
            except OSError:
                return None
            return (status.st_mtime_ns, status.st_ino, status.st_size)

        return tuple(stamp(reference.file) for reference in self._references if reference.file is not None)


def key_of(value: str, where: str) -> bytes:
    """The key's bytes; secrets in the form of Standard Webhooks are base64 behind their prefix. UsageError if not."""
    if not value.startswith(STANDARD_PREFIX):
        return value.encode()
    try:
        return base64.b64decode(value[len(STANDARD_PREFIX) :], validate=True)
    except binascii.Error:
        raise UsageError(f"The secret in {where} starts with whsec_, but what follows is no base64.") from None
