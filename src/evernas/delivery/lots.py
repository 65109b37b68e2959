"""Parts that samples are put into by lot where nothing says which person or site they come from."""

from __future__ import annotations

import hashlib
import re

# Few enough that the gate speaks of nothing but the samples at hand: with five domains it would speak of others.
WHOLE, OF_TRAIN, OF_OTHERS = 10, 6, 3
_SPLITS = {
    "train": ("train", "training", "fit"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "holdout", "heldout", "hold-out"),
}


def split_named(name: str | None) -> str | None:
    """train, val or test, whichever a folder, file or value of that name means; None if it means none."""
    known = (name or "").strip().lower()
    return next((split for split, names in _SPLITS.items() if known in names), None)


def is_lot(name: str) -> bool:
    """Whether a domain is called as the parts that samples are put into by lot."""
    return re.fullmatch(r"(part|train|val|test)-\d+", name) is not None


def lot(key: str, split: str | None) -> str:
    """The part of a sample, drawn from its key: the same each time, and for each key alone."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    if split is None:
        return f"part-{1 + number % WHOLE}"
    return f"{split}-{1 + number % (OF_TRAIN if split == 'train' else OF_OTHERS)}"
