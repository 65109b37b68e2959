"""Which recordings were counted, and whose predictions wait for a label: by digests, in a bounded space; pure.

A recording is counted once for ever. When there are more than fit, half of them are let go, and of those to come half
are not counted either: which half, the recording's digest says. So a recording is in the sample or never was, nothing
is counted twice however late it comes again, and whether an answer was right has no part in whether it counts.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# Recordings that are known and predictions that wait, together: of 8 and 24 bytes.
LIMIT = 2**20
# Of a recording so many predictions wait for their labels: it is one witness, by their mean.
ROWS_OF_A_RECORDING = 256
WAITING = np.dtype([("id", "<u8"), ("unit", "<u8"), ("bundle", "<u2"), ("answer", "<u2"), ("domain", "<u4")])
NO_ANSWER = 2**16 - 1
"""The answer that is none of the champion's labels."""
NO_DOMAIN = 0


def digest_of(*parts: str) -> int:
    """64 bits by which a prediction or a recording is known: of two million, two are alike with a chance of 1e-7."""
    data = "\0".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _no_units() -> npt.NDArray[np.uint64]:
    return np.empty(0, "<u8")


def _none_waiting() -> npt.NDArray[np.void]:
    return np.empty(0, WAITING)


@dataclass
class Units:
    """Recordings that were counted, sorted, and predictions that wait. One of 2^`halvings` recordings is counted."""

    seen: npt.NDArray[np.uint64] = field(default_factory=_no_units)
    waiting: npt.NDArray[np.void] = field(default_factory=_none_waiting)
    halvings: int = 0

    def known(self, units: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of these were counted before."""
        at = np.searchsorted(self.seen, units)
        found = np.zeros(len(units), dtype=bool)
        inside = at < len(self.seen)
        found[inside] = self.seen[at[inside]] == units[inside]
        return found

    def sampled(self, units: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which of these are counted at all."""
        rest: npt.NDArray[np.bool_] = units & np.uint64(2**self.halvings - 1) == 0
        return rest

    def add(self, rows: npt.NDArray[np.void], limit: int = LIMIT) -> None:
        """Note rows of recordings that were not known; each waits for its label."""
        new = np.unique(rows["unit"])
        self.seen = np.insert(self.seen, np.searchsorted(self.seen, new), new)
        self.waiting = np.concatenate([self.waiting, _some_of_each(rows)])
        while len(self.seen) + len(self.waiting) > limit:
            self.halvings += 1
            self.seen = self.seen[self.sampled(self.seen)]
            self.waiting = self.waiting[self.sampled(self.waiting["unit"])]

    def settle(
        self, ids: npt.NDArray[np.uint64], labels: npt.NDArray[np.uint16]
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.float64]]:
        """The predictions that these labels are of, and of each 1 if it was wrong, else 0. Their recordings are done.

        Of two labels of one prediction the later one counts.
        """
        ids, last = np.unique(ids[::-1], return_index=True)
        labels = labels[::-1][last]
        at = np.searchsorted(ids, self.waiting["id"])
        at[at == len(ids)] = 0
        there = ids[at] == self.waiting["id"] if len(ids) else np.zeros(len(self.waiting), dtype=bool)
        rows = self.waiting[there]
        wrong = (labels[at[there]] != rows["answer"]).astype(np.float64)
        self.waiting = self.waiting[~np.isin(self.waiting["unit"], rows["unit"])]
        return rows, wrong

    def to_json(self) -> dict[str, Any]:
        """A plain document: little-endian arrays, in the base64 of URLs, in which no word stands alone."""
        return {"seen": _text(self.seen), "waiting": _text(self.waiting), "halvings": self.halvings}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Units:
        """What `to_json` gave."""
        seen, waiting = (base64.urlsafe_b64decode(document[name]) for name in ("seen", "waiting"))
        return cls(np.frombuffer(seen, "<u8"), np.frombuffer(waiting, WAITING), document["halvings"])


def _some_of_each(rows: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Of each recording no more rows than wait; which ones, the digests of their ids say."""
    ordered = rows[np.lexsort((rows["id"], rows["unit"]))]
    _, first, counts = np.unique(ordered["unit"], return_index=True, return_counts=True)
    rank = np.arange(len(rows)) - np.repeat(first, counts)
    return ordered[rank < ROWS_OF_A_RECORDING]


def _text(array: npt.NDArray[Any]) -> str:
    return base64.urlsafe_b64encode(array.tobytes()).decode()
