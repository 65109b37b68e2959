"""The anchor of a device: the model that candidates must not fall below, however many small steps led down from it.

It is the first champion, then each later one that was shown to have a lower error than the anchor before it, by the
journal and what each decision told; or what was the champion when a person set it anew.
"""

from __future__ import annotations

from evernas.bundle import Bundle, load_bundle
from evernas.registry.journal import Journal
from evernas.registry.models import fetch
from evernas.state import Home
from evernas.steps.context import Setting
from evernas.steps.ledger import decisions


def anchor_of(home: Home, project: str, journal: Journal, device: str, number: int) -> str | None:
    """Digest of the anchor's bundle at an entry of the journal; None where the device had no champion."""
    raised = {
        (decision.claimed["candidate"], decision.claimed["journal"] + 1)
        for decision in decisions(home, project)
        if decision.claimed["device"] == device and decision.told is not None and decision.told["moves_anchor"]
    }
    anchor: str | None = None
    for n in range(1, number + 1):
        entry = journal.read(device, n)
        if anchor is None or entry.kind == "anchor" or (entry.bundle, n) in raised:
            anchor = entry.bundle
    return anchor


def anchor_digest(setting: Setting) -> str | None:
    """The anchor that this run's candidates are compared with; None where the champion itself is the anchor."""
    device = setting.device.name
    number = setting.manifest.journal.get(device, 0)
    anchor = anchor_of(setting.home, setting.project, setting.journal, device, number)
    if anchor is None:
        return None
    return None if anchor == setting.journal.read(device, number).bundle else anchor


def load_anchor(setting: Setting) -> Bundle | None:
    """The anchor's files, bytes checked; None where the champion is the anchor. IntegrityError if they are lost."""
    digest = anchor_digest(setting)
    if digest is None:
        return None
    return load_bundle(fetch(setting.home, setting.project, digest), expected=digest)
