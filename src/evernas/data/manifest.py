"""The manifest: the immutable list of what a snapshot holds, whose digest names it; nothing here reads samples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evernas.config import DataConfig, SignalConfig, TextConfig
from evernas.data.shards import Shard
from evernas.data.splits import Split
from evernas.digest import canonical_json, digest_bytes
from evernas.errors import IntegrityError

VERSION = 3
# What is written where domains are split, and not recordings by a rule.
_BY_DOMAIN = 2
# What version 1 has not, which said nothing of rows that repeat others.
_SINCE_2 = ("joined", "duplicates")


@dataclass(frozen=True)
class ObjectEntry:
    """A source file in a snapshot: its digest, the increment that brought it, and its shards or why it was refused.

    digest is None for a file whose bytes could not be read; such a file is tried again each time. erased counts its
    recordings that were not taken because they, or whom they are of, had been erased.
    """

    digest: str | None
    generation: int
    shards: tuple[Shard, ...] = ()
    refused: str | None = None
    erased: int = 0

    def to_json(self) -> dict[str, Any]:
        """The entry as a manifest has it."""
        known = {"digest": self.digest, "generation": self.generation, "refused": self.refused}
        erased = {"erased": self.erased} if self.erased else {}
        return {**known, **erased, "shards": [vars(shard) for shard in self.shards]}


@dataclass(frozen=True)
class Duplicates:
    """What was found of rows that repeat others: the digest of the table of them, and how many there are of each kind.

    `similarity` is the least at which rows of different domains were called near; None where they were not looked for.
    """

    digest: str
    exact: int
    near: int
    similarity: float | None


@dataclass(frozen=True)
class Manifest:
    """What a snapshot holds. It has no times and no absolute paths: equal content gives an equal id."""

    parent: str | None
    generation: int
    schema: dict[str, Any]
    objects: dict[str, ObjectEntry]
    splits: dict[str, Split]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    joined: dict[str, Split] = field(default_factory=dict)
    """Splits of domains that no config names, given when they were new: those of which they are copies, or drawn."""
    duplicates: Duplicates | None = None
    rule: dict[str, Any] | None = None
    """By what recordings were put into splits; None where domains were. Then `joined` names recordings."""

    @property
    def id(self) -> str:
        """SHA-256 of the manifest's text: the name of the dataset version."""
        return digest_bytes(self.to_json().encode())

    @property
    def refused_objects(self) -> dict[str, str]:
        """Why each refused file was refused, by name."""
        return {name: entry.refused for name, entry in self.objects.items() if entry.refused is not None}

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file that was taken in or refused, by name: what `consumed.json` holds."""
        return {name: entry.digest for name, entry in self.objects.items() if entry.digest is not None}

    @property
    def erased(self) -> int:
        """Recordings of the source that are not taken because they, or whom they are of, had been erased."""
        return sum(entry.erased for entry in self.objects.values())

    @property
    def rows(self) -> int:
        """Rows in all shards, before validation."""
        return sum(shard.rows for _, _, shard in self.shards())

    def shards(self) -> list[tuple[str, ObjectEntry, Shard]]:
        """All shards in the order of arrival: by increment, then by name of the file, then as written."""
        entries = sorted(self.objects.items(), key=lambda item: (item[1].generation, item[0]))
        return [(name, entry, shard) for name, entry in entries for shard in entry.shards]

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows by split, domain and label; a missing domain or label counts under the empty name."""
        totals: dict[str, Counter[str]] = {"split": Counter(), "domain": Counter(), "label": Counter()}
        for _, _, shard in self.shards():
            totals["split"][shard.split] += shard.rows
            totals["domain"].update(shard.domains)
            totals["label"].update(shard.labels)
        return {name: dict(sorted(total.items())) for name, total in totals.items()}

    def to_json(self) -> str:
        """The canonical text, counts and refusals spelled out for readers of the file."""
        document = vars(self) | {
            "version": VERSION,
            "objects": {name: entry.to_json() for name, entry in self.objects.items()},
            "rows": self.rows,
            "counts": self.counts(),
            "refused_objects": self.refused_objects,
            "duplicates": None if self.duplicates is None else vars(self.duplicates),
        }
        if self.rule is None:
            # As all snapshots are whose domains are split; an evernas that knows no rule would move all recordings.
            del document["rule"]
            document["version"] = _BY_DOMAIN
        if self.duplicates is None and not self.joined and self.rule is None:
            document = {name: value for name, value in document.items() if name not in _SINCE_2} | {"version": 1}
        return canonical_json(document)

    @staticmethod
    def from_json(text: str) -> Manifest:
        """The manifest of a text of this version or an earlier one; IntegrityError for any other text."""
        try:
            document = json.loads(text)
            version = document["version"]
        except (ValueError, KeyError, TypeError):
            raise IntegrityError("The manifest is no JSON with a version: restore it from a backup.") from None
        if version not in (1, _BY_DOMAIN, VERSION):
            raise IntegrityError(f"The manifest has version {version}, this evernas reads {VERSION}: upgrade evernas.")
        repeats = document.get("duplicates")
        objects = {name: _entry(entry) for name, entry in document["objects"].items()}
        return Manifest(
            parent=document["parent"],
            generation=document["generation"],
            schema=document["schema"],
            objects=objects,
            splits=document["splits"],
            added=tuple(document["added"]),
            removed=tuple(document["removed"]),
            changed=tuple(document["changed"]),
            joined=document.get("joined", {}),
            duplicates=None if repeats is None else Duplicates(**repeats),
            rule=document.get("rule"),
        )


def schema_of(config: DataConfig) -> dict[str, Any]:
    """What makes two snapshots' samples comparable; when it differs from the parent's, all files are read again."""
    sample = config.sample
    shared = {"kind": config.kind, "channels": list(sample.channels), "dtype": "float32"}
    if isinstance(sample, SignalConfig):
        return {**shared, "length": sample.length, "stride": sample.stride}
    if isinstance(sample, TextConfig):
        return {**shared, "characters": sample.characters}
    return {**shared, "height": sample.height, "width": sample.width}


def sample_shape(schema: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of one sample of a snapshot with this schema, channels first."""
    sides = {"signal": ("length",), "image": ("height", "width"), "text": ("characters",)}[schema["kind"]]
    return len(schema["channels"]), *(int(schema[side]) for side in sides)


def _entry(document: Mapping[str, Any]) -> ObjectEntry:
    shards = tuple(Shard(**shard) for shard in document["shards"])
    return ObjectEntry(
        document["digest"], document["generation"], shards, document["refused"], document.get("erased", 0)
    )
