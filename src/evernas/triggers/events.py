"""The one form that every source's events take: a hint that something changed, of which nothing is ever executed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# In bytes. Id and version are in an index, whose entries PostgreSQL bounds to a third of a page.
LONGEST = {"id": 600, "version": 300, "bucket": 255, "key": 1024, "label": 200}
MOST_EVENTS = 1000
# What a run's exit handler says happened, in an event of the plain form.
RUN_ENDED = "evernas.run-ended"


class RefusedError(Exception):
    """A request that is not accepted: an HTTP status, and a sentence for its sender that tells no secret."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Event:
    """Something changed: which thing (bucket and key), what happened (label), and what makes a repeat a repeat.

    Two events with the same id and version, of the same source, are one event.
    """

    id: str
    version: str
    bucket: str
    key: str
    label: str

    def __post_init__(self) -> None:
        for name, most in LONGEST.items():
            value = getattr(self, name)
            if not value.isprintable() and any(
                ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in value
            ):
                raise RefusedError(400, f"{name} holds control characters, which no name has.")
            size = len(value) if value.isascii() else len(value.encode())
            if size > most:
                raise RefusedError(400, f"{name} has {size} bytes; at most {most} are accepted.")
        if not self.id:
            raise RefusedError(400, "The event has no id.")


def parse_json(body: bytes) -> Any:
    """The document of a body; RefusedError 400 for anything that is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "The body is no JSON.") from None


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object; RefusedError 400 for anything else."""
    if not isinstance(value, dict):
        raise RefusedError(400, f"{what} is no JSON object.")
    return value


def text(document: dict[str, Any], name: str, default: str | None = None) -> str:
    """A string of a JSON object; RefusedError 400 if it is missing, without a default, or something else."""
    value = document.get(name, default)
    if value is None and default is not None:
        value = default
    if not isinstance(value, str):
        raise RefusedError(400, f"{name} is missing or no string.")
    return value
