"""Rows of a source file as blocks of recordings of one shape, whatever format they came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evernas.config import SplitConfig
from evernas.data.source import RefusedObjectError
from evernas.data.splits import Split, split_of
from evernas.data.windows import Payload, Recording

MAX_TEXT_BYTES = 1024


@dataclass(frozen=True)
class Block:
    """Rows of a source file in order. Their payload is (n, channels, time), or null with the sentence why.

    positions (int64), ids, domains and labels (string) are Arrow arrays of n.
    """

    positions: Any
    ids: Any
    domains: Any
    labels: Any
    payload: Payload | None
    error: str | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def recordings(self) -> Iterator[Recording]:
        """The rows one by one."""
        texts = [column.to_pylist() for column in (self.positions, self.ids, self.domains, self.labels)]
        for row, (position, id, domain, label) in enumerate(zip(*texts, strict=True)):
            payload = None if self.payload is None else self.payload[row]
            yield Recording(position, id, domain, label, payload, self.error)

    def by_split(self, splits: SplitConfig) -> Iterator[tuple[Split, Block]]:
        """The rows of each split, in order."""
        encoded = self.domains.dictionary_encode()
        of = pa.array([split_of(domain, splits) for domain in encoded.dictionary.to_pylist()], pa.string())
        # A row without a domain has no index, and belongs where split_of puts it.
        rows = pc.fill_null(of.take(encoded.indices), split_of(None, splits))
        for split in rows.unique().to_pylist():
            mask = pc.equal(rows, split)
            yield split, self if len(rows.unique()) == 1 else self._filtered(mask)

    def _filtered(self, mask: Any) -> Block:
        positions, ids, domains, labels = (
            c.filter(mask) for c in (self.positions, self.ids, self.domains, self.labels)
        )
        payload = None if self.payload is None else self.payload[mask.to_numpy(zero_copy_only=False)]
        return Block(positions, ids, domains, labels, payload, self.error)


def refuse_long_texts(columns: dict[str, Any]) -> None:
    """RefusedObjectError for an id, domain or label that is no name but a text."""
    for name, column in columns.items():
        longest = pc.max(pc.binary_length(column)).as_py() or 0
        if longest > MAX_TEXT_BYTES:
            raise RefusedObjectError(
                f"Its column {name!r} has a text of {longest} bytes, more than {MAX_TEXT_BYTES}: write names."
            )
