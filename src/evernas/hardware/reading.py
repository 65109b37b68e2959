"""Reading a network's file in a measuring process: its digest is checked before anything is loaded from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evernas.digest import digest_bytes, short


class RefusedError(Exception):
    """This network cannot be measured; the text is the reason."""


def read_checked(model: dict[str, Any]) -> bytes:
    """The bytes of the job's network, which has path and digest. Raises RefusedError if they are others."""
    path = Path(model["path"])
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"The file {path} cannot be read ({error.strerror}).") from None
    if digest_bytes(data) != model["digest"]:
        raise RefusedError(
            f"The file {path} has the digest {short(digest_bytes(data))}, not the recorded {short(model['digest'])}: "
            "it was changed after it was logged, and was not loaded."
        )
    return data


def cannot_run(runtime: str, error: Exception) -> RefusedError:
    """The refusal that the runtime's own exception is."""
    first_line = (str(error).splitlines() or [""])[0][:300]
    return RefusedError(f"{runtime} cannot run the network ({type(error).__name__}: {first_line}).")
