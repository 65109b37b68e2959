"""Samples as they were found, and what of them is kept: each with a class, with domains or splits only as a whole."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evernas.delivery.items import Item
from evernas.delivery.layouts import Layout


@dataclass
class Samples:
    """Samples as found, of a kind, how they are named there (`why`), and what a person should know (`remarks`).

    `options` are what to give so that later samples are read in the same way.
    """

    kind: str
    place: Path
    items: list[Item]
    why: str
    remarks: list[str] = field(default_factory=list)
    layout: Layout | None = None
    options: tuple[str, ...] = ()

    @property
    def has_domains(self) -> bool:
        return any(item.domain is not None for item in self.items[:1])

    @property
    def splits(self) -> set[str]:
        return {item.split for item in self.items if item.split is not None}


def resolved(items: list[Item], remarks: list[str]) -> list[Item]:
    """The samples with a class; of each either all or none with domains, and with splits only where they are whole."""
    kept = [item for item in items if item.label]
    if len(kept) < len(items):
        remarks.append(f"{len(items) - len(kept)} samples have no class: they are left out.")
    without = sum(item.domain is None for item in kept)
    if 0 < without < len(kept):
        remarks.append(f"{without} samples have no domain, as others have: they are left out.")
        kept = [item for item in kept if item.domain is not None]
    remarks += _alike(kept)
    splits = {item.split for item in kept}
    if None in splits or not splits & {"val", "test"} or "train" not in splits or _straddles(kept):
        if splits != {None}:
            told = "lie in more than one of them" if _straddles(kept) else "do not say of all what they are for"
            remarks.append(f"The folders or values train, val and test are passed over: samples {told}.")
        kept = [Item(i.id, i.content, i.label, i.domain, None) for i in kept]
    return kept


def _alike(items: Sequence[Item]) -> list[str]:
    """Classes that differ in capitals or in how letters are encoded, and in nothing else."""
    of: dict[str, set[str]] = {}
    for label in {str(item.label) for item in items}:
        of.setdefault(unicodedata.normalize("NFKC", label).casefold(), set()).add(label)
    return [
        f"The classes {' and '.join(map(ascii, sorted(labels)))} differ only in capitals or encoding, and are taken "
        "for different ones: give them one name if they are one."
        for _, labels in sorted(of.items())
        if len(labels) > 1
    ]


def _straddles(items: Sequence[Item]) -> bool:
    """Whether a domain is in two splits: domains then count, since no domain may be in two."""
    of: dict[str, set[str | None]] = {}
    for item in items:
        if item.domain is not None:
            of.setdefault(item.domain, set()).add(item.split)
    return any(len(splits) > 1 for splits in of.values())
