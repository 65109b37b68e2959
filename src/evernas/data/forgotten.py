"""Which recordings and domains were erased, known by keyed hashes alone; erasing them is done elsewhere."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc

from evernas.data.blocks import Block
from evernas.data.source import Source, SourceObject, Stamp

Kind = Literal["domain", "id"]
KINDS: tuple[Kind, ...] = ("domain", "id")
MASK = "erased/"
"""What the names of objects begin with that hold nothing but what was erased; their own names may tell of whom."""


@dataclass(frozen=True)
class Forgotten:
    """What was erased of a project: the hashes of ids and domains, and the key that they are made with."""

    key: bytes
    project: str
    hashes: Mapping[Kind, frozenset[str]]

    def hash_of(self, kind: str, value: str) -> str:
        """HMAC-SHA256 of an id or a domain, as 64 hexadecimal digits: without the key nobody can try names out."""
        return hmac.digest(self.key, "\0".join((self.project, kind, value)).encode(), "sha256").hex()

    def hides(self, kind: Kind, value: str | None) -> bool:
        """Whether this id or domain was erased."""
        return value is not None and bool(self.hashes[kind]) and self.hash_of(kind, value) in self.hashes[kind]

    def shown(self, kind: Kind, value: str) -> str:
        """The value, or what stands for it if it was erased."""
        return pseudonym(self.hash_of(kind, value)) if self.hides(kind, value) else value

    def kept(self, domains: Any, ids: Any) -> Any:
        """Which rows of two Arrow columns, domains and recordings' ids, are of nobody who was erased; booleans."""
        keep = pa.array([True] * len(ids), pa.bool_())
        for kind, column in (("domain", domains), ("id", ids)):
            if not self.hashes[kind]:  # type: ignore[index]
                continue
            hidden = [value for value in pc.unique(column).to_pylist() if self.hides(kind, value)]  # type: ignore[arg-type]
            if hidden:
                found = pc.is_in(column, value_set=pa.array(hidden, pa.string()))
                keep = pc.and_(keep, pc.invert(pc.fill_null(found, False)))
        return keep

    def without(self, block: Block) -> tuple[Block | None, int]:
        """The rows of a block that are of nobody who was erased (None for none), and how many others there are."""
        keep = self.kept(block.domains, block.ids)
        hidden = len(block) - (pc.sum(keep).as_py() or 0)
        if not hidden:
            return block, 0
        if hidden == len(block):
            return None, hidden
        return block.filtered(keep), hidden

    def masked(self, name: str) -> str:
        """The name that an object has in manifests once all of its rows were erased."""
        return name if name.startswith(MASK) else MASK + self.hash_of("object", name)[:32]


def pseudonym(hash: str) -> str:
    """What stands for something erased where its name stood, by its hash."""
    return f"erased-{hash[:8]}"


class MaskedSource(Source):
    """A source in which objects that are known under a masked name have that name."""

    def __init__(self, source: Source, forgotten: Forgotten, known: Collection[str]) -> None:
        self._source, self._forgotten = source, forgotten
        self._masked = {name for name in known if name.startswith(MASK)}
        self.lists_all, self.is_near = source.lists_all, source.is_near

    def refuse_missing(self) -> None:
        self._source.refuse_missing()

    def objects(self) -> list[SourceObject]:
        return sorted((self._named(item) for item in self._source.objects()), key=lambda item: item.name)

    def look(self, name: str) -> SourceObject | None:
        # What was not listed under a masked name has no rows to lose.
        return None if name in self._masked else self._source.look(name)

    def open(self, item: SourceObject) -> BinaryIO:
        return self._source.open(item)

    def stamp_of(self, file: BinaryIO, item: SourceObject) -> Stamp:
        return self._source.stamp_of(file, item)

    def refuse_if_changed(self, file: BinaryIO, before: Stamp) -> None:
        self._source.refuse_if_changed(file, before)

    def _named(self, item: SourceObject) -> SourceObject:
        masked = self._forgotten.masked(item.name)
        return replace(item, name=masked) if masked in self._masked else item


def masking(source: Source, forgotten: Forgotten | None, known: Collection[str]) -> Source:
    """The source as it is to be seen by who knows these names of objects."""
    if forgotten is None or not any(name.startswith(MASK) for name in known):
        return source
    return MaskedSource(source, forgotten, known)
