"""Parts that samples are put into by lot where nothing says which person or site they come from."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

from evernas.delivery.items import Item

# Few enough that the gate speaks of nothing but the samples at hand: with five domains it would speak of others.
WHOLE, OF_TRAIN, OF_OTHERS = 10, 6, 3
# From so many samples on, a class that is put into parts by lot alone is in all of them but for a chance in thousands.
ENOUGH_FOR_LOT = 50
_SPLITS = {
    "train": ("train", "training", "fit"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "holdout", "heldout", "hold-out"),
}
# What stands beside a split's name and says only what is in it, as in train_images, seg_test or val2017.
_OF_WHAT = (
    *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "text", "texts", "data", "dataset"),
    *("set", "seg", "split", "subset", "file", "files", "label", "labels", "annotation", "annotations", "sample"),
    *("samples", "example", "examples"),
)


def split_named(name: str | None) -> str | None:
    """train, val or test, whichever a folder, file or value of that name means; None if it means none."""
    # One of several files of a split, as train-00000-of-00005.
    known = re.sub(r"-\d+-of-\d+$", "", (name or "").strip().lower())
    words = [word for word in re.split(r"[\W_\d]+", known) if word and word not in _OF_WHAT]
    said = known if known in _SPLITS["test"] else words[0] if len(words) == 1 else ""
    return next((split for split, names in _SPLITS.items() if said in names), None)


def is_lot(name: str) -> bool:
    """Whether a domain is called as the parts that samples are put into by lot."""
    return re.fullmatch(r"(part|train|val|test)-\d+", name) is not None


def lot(key: str, split: str | None) -> str:
    """The part of a sample, drawn from its key: the same each time, and for each key alone."""
    return _part(_number(key), split)


def dealt(items: Iterable[Item]) -> dict[str, str]:
    """Parts, by id, of the samples of classes that have few of them, dealt one after another in an order by lot.

    So a class of three is in three parts, which can judge, guide and train; by lot alone it may well be in one. All
    begin with the first part, so that there are parts that every class is in.
    """
    ids_of: dict[tuple[str | None, str | None], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if item.domain is None:
            # The same text is in one part, however often it is there.
            key = item.content if isinstance(item.content, str) else item.id
            ids_of[item.label, item.split][key].append(item.id)
    parts: dict[str, str] = {}
    for (_, split), ids in ids_of.items():
        if len(ids) < ENOUGH_FOR_LOT:
            for turn, key in enumerate(sorted(ids, key=lambda key: (_number(key), key))):
                parts.update(dict.fromkeys(ids[key], _part(turn, split)))
    return parts


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _part(number: int, split: str | None) -> str:
    if split is None:
        return f"part-{1 + number % WHOLE}"
    return f"{split}-{1 + number % (OF_TRAIN if split == 'train' else OF_OTHERS)}"
