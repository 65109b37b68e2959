"""The champion for those who serve it: a folder whose `current` is always one whole, checked champion."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import short
from evernas.errors import HoldError, IntegrityError, UsageError
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.keys import Keyring, keyring
from evernas.registry.models import fetch
from evernas.registry.opening import open_journal
from evernas.registry.verdicts import authentic
from evernas.state.home import Home
from evernas.storage import sync_folder

CURRENT, VERSIONS, BUNDLE, ABOUT = "current", "versions", "bundle", "champion.json"
KEPT, KEPT_S = 3, 3600.0
"""Versions that stay for those who still read them: so many, and all that are younger than so many seconds."""


@dataclass(frozen=True)
class Delivered:
    """The champion that a folder now holds: its journal entry, its version's folder, and whether that was new."""

    entry: Entry
    folder: Path
    changed: bool


def deliver(config: Config, home: Home, device: str, folder: Path) -> Delivered:
    """Make `folder/current` the champion of a device, by the journal: its bundle in `bundle/`, and `champion.json`.

    Digests of every file are checked, and the signature of the verdict that promoted it. `current` is a link that is
    replaced at once, so that who opens it finds the old champion or the new one, whole; the last few versions stay for
    those who still read them, an hour at least. Two who deliver at once do it in turn, and none goes back to an older
    champion.

    UsageError if there is no champion, or the folder is of another device; HoldError if no signature bears the champion
    out, IntegrityError if its files are not those that it names; `current` is then left as it was.
    """
    journal, keys = open_journal(home, config), keyring(config.registry, home)
    folder.mkdir(parents=True, exist_ok=True)
    with _in_turn(folder):
        _refuse_another(folder, config.project, device)
        head = journal.head(device)
        if head is None:
            raise UsageError(f"{device} has no champion yet: promote or import one first.")
        _check_leave(journal, head, config.project, keys)
        version = folder / VERSIONS / f"{head.number:06d}-{short(head.bundle)}"
        if _is_whole(version, head) and _current(folder) == version.name:
            return Delivered(head, version, changed=False)
        _write(version, fetch(home, config.project, head.bundle), head, config.project)
        _switch(folder, version)
        _forget(folder)
        return Delivered(head, version, changed=True)


@contextmanager
def _in_turn(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _refuse_another(folder: Path, project: str, device: str) -> None:
    about = folder / CURRENT / ABOUT
    if not about.exists():
        return
    held = json.loads(about.read_text(encoding="utf-8"))
    if (held["project"], held["device"]) != (project, device):
        raise UsageError(
            f"{folder} holds the champion of {held['device']} of {held['project']}, not of {device} of {project}: give "
            "each device a folder of its own."
        )


def _check_leave(journal: Journal, head: Entry, project: str, keys: Keyring) -> None:
    """HoldError unless what made this bundle champion is signed, or a person's import."""
    stands = head if head.stands == head.number else journal.read(head.device, head.stands)
    if stands.kind == "import":
        return
    statement = authentic(stands.signed, keys)
    signed = (statement.project, statement.device, statement.outcome, statement.candidate)
    if signed != (project, head.device, "promote", head.bundle):
        raise HoldError(
            f"Entry {stands.number} of {head.device} makes {short(head.bundle)} champion, and its signed verdict is "
            f"to {statement.outcome} {short(statement.candidate)} on {statement.device} of {statement.project}: the "
            "journal was tampered with; restore it, and do not serve this network."
        )


def _is_whole(version: Path, head: Entry) -> bool:
    try:
        load_bundle(version / BUNDLE, expected=head.bundle)
    except IntegrityError:
        # Fetched again: what is served must not stay damaged.
        return False
    return (version / ABOUT).is_file()


def _current(folder: Path) -> str | None:
    try:
        return (folder / CURRENT).readlink().name
    except OSError:
        return None


def _write(version: Path, source: Path, head: Entry, project: str) -> None:
    """A version's folder, whole or not at all."""
    version.parent.mkdir(exist_ok=True)
    about = {
        "version": 1,
        "project": project,
        "device": head.device,
        "number": head.number,
        "bundle": head.bundle,
        "kind": head.kind,
        "run": head.run,
        "promoted_at": head.promoted_at,
        "model": head.model,
    }
    scratch = Path(tempfile.mkdtemp(dir=version.parent, prefix=".writing-"))
    try:
        shutil.copytree(source, scratch / BUNDLE)
        load_bundle(scratch / BUNDLE, expected=head.bundle)
        (scratch / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        for file in (*(scratch / BUNDLE).iterdir(), scratch / ABOUT):
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        sync_folder(scratch / BUNDLE)
        sync_folder(scratch)
        scratch.chmod(0o755)
        shutil.rmtree(version, ignore_errors=True)
        scratch.rename(version)
        sync_folder(version.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _switch(folder: Path, version: Path) -> None:
    link = folder / f".{CURRENT}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(VERSIONS) / version.name)
    link.replace(folder / CURRENT)
    sync_folder(folder)


def _forget(folder: Path) -> None:
    """Remove versions that nobody reads any more, never the current one; and what a killed delivery left."""
    current, now = _current(folder), time.time()
    found = sorted(path for path in (folder / VERSIONS).iterdir() if not path.name.startswith("."))
    old = [path for path in found[:-KEPT] if path.name != current and now - path.stat().st_mtime > KEPT_S]
    left = list((folder / VERSIONS).glob(".writing-*"))
    for path in [*left, *old]:
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
