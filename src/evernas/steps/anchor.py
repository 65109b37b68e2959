"""The anchor of a device: the model that candidates must not fall below, however many small steps led down from it.

It is the first champion, then each later one that was shown to have a lower error than the anchor before it, by the
journal and what each decision told; or what was the champion when a person set it anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from evernas.bundle import Bundle, load_bundle
from evernas.data.storage import FileStorage
from evernas.errors import IntegrityError, UsageError
from evernas.registry import journal
from evernas.state import Home
from evernas.state.runs import now
from evernas.steps.context import Setting
from evernas.steps.ledger import decisions

ANCHOR_VERSION = 1


def anchor_of(home: Home, project: str, device: str, number: int) -> str | None:
    """Digest of the anchor's bundle at an entry of the journal; None where the device had no champion."""
    raised = {
        (decision.claimed["candidate"], decision.claimed["journal"] + 1)
        for decision in decisions(home, project)
        if decision.claimed["device"] == device and decision.told is not None and decision.told["moves_anchor"]
    }
    set_by_hand = _resets(home, project, device)
    anchor: str | None = None
    for n in range(1, number + 1):
        entry = journal.read(home.journal(project), device, n)
        if anchor is None or (entry.bundle, n) in raised:
            anchor = entry.bundle
        anchor = set_by_hand.get(n, anchor)
    return anchor


def anchor_digest(setting: Setting) -> str | None:
    """The anchor that this run's candidates are compared with; None where the champion itself is the anchor."""
    device = setting.device.name
    number = setting.manifest.journal.get(device, 0)
    anchor = anchor_of(setting.home, setting.project, device, number)
    if anchor is None:
        return None
    champion = journal.read(setting.home.journal(setting.project), device, number).bundle
    return None if anchor == champion else anchor


def load_anchor(setting: Setting) -> Bundle | None:
    """The anchor's files, bytes checked; None where the champion is the anchor. IntegrityError if they are lost."""
    digest = anchor_digest(setting)
    if digest is None:
        return None
    return load_bundle(setting.home.bundles(setting.project) / digest[:16], expected=digest)


def reset_anchor(home: Home, project: str, device: str, reason: str) -> str:
    """Make the champion the anchor, and journal who gave up what: the digest of its bundle.

    UsageError without a reason or a champion. It is a person's decision that the quality lost since the last anchor
    is accepted.
    """
    if not reason.strip():
        raise UsageError("The anchor was not set: say why the quality lost since the last one is accepted.")
    number = journal.head_number(home.journal(project), device)
    if number == 0:
        raise UsageError(f"{device} has no champion that could be the anchor: run the loop first.")
    entry = journal.read(home.journal(project), device, number)
    document = {
        "version": ANCHOR_VERSION,
        "device": device,
        "journal": number,
        "bundle": entry.bundle,
        "before": anchor_of(home, project, device, number),
        "reason": reason.strip(),
        "at": now(),
    }
    storage = FileStorage(home.anchors(project))
    taken = [int(Path(key).stem) for key in storage.list(f"{device}/")]
    key = f"{device}/{max(taken, default=0) + 1:06d}.json"
    storage.create(key, json.dumps(document, indent=1, sort_keys=True).encode())
    return entry.bundle


def _resets(home: Home, project: str, device: str) -> dict[int, str]:
    """What a person set, by the number of the journal's entry at which it was set; the last of each."""
    storage, found = FileStorage(home.anchors(project)), {}
    for key in storage.list(f"{device}/"):
        document = json.loads(storage.read(key))
        if document["version"] != ANCHOR_VERSION:
            raise IntegrityError(f"The anchor record {key} was written by another version of evernas: use that one.")
        found[int(document["journal"])] = str(document["bundle"])
    return found
