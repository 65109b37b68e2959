"""What an erasure does not reach, in sentences for the person who asked for it; nothing is changed here."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from typing import Any

from evernas.config import Config
from evernas.loop.texts import texts
from evernas.loop.trained_on import Trained
from evernas.redaction import Redaction
from evernas.registry.opening import open_journal
from evernas.state import Home


def left_of(config: Config, home: Home, redaction: Redaction, mixed: Collection[str], trained: Trained) -> list[str]:
    """What evernas does not reach, or must not: it is said, with what to do."""
    left = ["The source is not evernas's to change: take it out there. Until then ingest refuses it each time."]
    if mixed:
        left.append(f"Objects with other recordings too keep their names: {', '.join(sorted(mixed)[:5])}.")
    for champion in trained.champions:
        left.append(
            f"{champion['bundle'][:16]} ({champion['device']}, entry {champion['number']}) was trained on it. It "
            "serves on until a network of the next run, which trains without it, is shown to be better."
            + (" Its check samples hold a window of it." if champion["samples"] else "")
        )
    if os.environ.get("MLFLOW_TRACKING_URI"):
        left.append(
            "MLflow is a server of its own, and is not changed: delete the runs of this project there that are older "
            "than this erasure, and let its administrator run `mlflow gc`."
        )
    if signed := _signed(config, home, redaction):
        left.append(
            "Verdicts that an earlier version of evernas signed have the name, and stay as they are, since without its "
            f"signature no champion is delivered: {', '.join(signed)}."
        )
    if trained.unread:
        left.append(
            f"The last supernet, {trained.unread}, could not be read, and what it was trained on is not known: it is "
            "removed, and the next run trains cold."
        )
    left.append("Backups of the state hold it until they are removed.")
    return left


def _signed(config: Config, home: Home, redaction: Redaction) -> list[str]:
    """Where a signed verdict names it: entries of the journal, wherever that is kept, and other files of the state."""
    journal, found = open_journal(home, config), list[str]()
    for device in journal.devices():
        for number in range(1, journal.head_number(device) + 1):
            if redaction.is_named_in_signed([journal.read(device, number).signed]):
                found.append(f"entry {number} of {device}")
    for key, storage in texts(home, config.project):
        if key.endswith(".json") and not key.startswith("journal/"):
            found += [key] if redaction.is_named_in_signed(_parsed(storage.read(key))) else []
    return found


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data) if b'"signature"' in data else None
    except ValueError:
        return None
