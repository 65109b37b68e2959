"""Snapshots: taking in what is new in a source, once, and opening what was taken in; nothing here judges the data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from evernas.config import DataConfig
from evernas.data.manifest import Manifest, ObjectEntry, schema_of
from evernas.data.shards import Shard, ShardWriter
from evernas.data.source import (
    ChangedWhileReadError,
    RefusedObjectError,
    SourceObject,
    Stamp,
    digest_open,
    list_objects,
    open_object,
    read_recordings,
    refuse_if_changed,
    stamp_of,
)
from evernas.data.splits import SPLITS, Split, refuse_changed_splits, split_of
from evernas.data.storage import FileStorage
from evernas.digest import canonical_json, digest_bytes
from evernas.errors import IntegrityError


@dataclass(frozen=True)
class Snapshot:
    """A dataset version in a store: its id is the digest of its manifest."""

    store: Path
    id: str
    manifest: Manifest


def open_snapshot(store: Path, id: str) -> Snapshot:
    """A snapshot of the store; IntegrityError if its manifest is missing or is not what its name says."""
    try:
        data = FileStorage(store).read(_manifest_key(id))
    except KeyError:
        raise IntegrityError(f"The snapshot {id} is not in {store}: restore it, or ingest without a parent.") from None
    if digest_bytes(data) != id:
        raise IntegrityError(f"The manifest of the snapshot {id} was changed: restore it from a backup.")
    return Snapshot(store, id, Manifest.from_json(data.decode()))


def ingest(
    source: Path, store: Path, config: DataConfig, parent: str | None, guard: Callable[[], None] = lambda: None
) -> Snapshot:
    """Take in what the source holds and the parent does not; the parent itself if nothing differs.

    Only new or changed files are read. `guard` is called before each publication and may raise. Killed anywhere, it
    leaves at most unused shards behind, and the next call gives the same snapshot. UsageError if a known domain
    would change its split; IntegrityError if the parent is damaged.
    """
    storage = FileStorage(store)
    base = open_snapshot(store, parent).manifest if parent is not None else None
    if base is not None:
        refuse_changed_splits(base.splits, config.splits)
    storage.sweep()
    taken = _Increment(storage, config, base, _read_index(storage, parent), guard)
    for item in list_objects(source):
        taken.take(item)
    manifest = taken.manifest(parent)
    if base is not None and parent is not None and manifest is None:
        _write_index(storage, parent, taken.stamps, guard)
        return Snapshot(store, parent, base)
    assert manifest is not None
    data = manifest.to_json().encode()
    id = digest_bytes(data)
    # The index first: the manifest is what makes the snapshot exist.
    _write_index(storage, id, taken.stamps, guard)
    if not storage.exists(_manifest_key(id)):
        guard()
        storage.write(_manifest_key(id), data)
    return Snapshot(store, id, manifest)


def pending(source: Path, snapshot: Snapshot | None) -> list[str]:
    """Names of the files in which source and snapshot differ; bytes are read only where a stamp differs."""
    objects = list_objects(source)
    if snapshot is None:
        return [item.name for item in objects]
    index = _read_index(FileStorage(snapshot.store), snapshot.id)
    known = snapshot.manifest.objects
    names = [item.name for item in objects if not _is_known(item, known.get(item.name), index)]
    return sorted({*names, *(known.keys() - {item.name for item in objects})})


def unchanged(source: Path, snapshot: Snapshot, config: DataConfig) -> bool:
    """Whether to ingest the source on top of this snapshot would give the snapshot itself; reads as `pending` does."""
    return snapshot.manifest.schema == schema_of(config) and not pending(source, snapshot)


class _Increment:
    """One ingest under way: the files seen so far, each either carried over from the parent or read."""

    def __init__(
        self,
        storage: FileStorage,
        config: DataConfig,
        base: Manifest | None,
        index: Mapping[str, Stamp],
        guard: Callable[[], None],
    ) -> None:
        self.storage, self.config, self.base, self.index, self.guard = storage, config, base, index, guard
        self.generation = 0 if base is None else base.generation + 1
        self.same_schema = base is not None and base.schema == schema_of(config)
        self.objects: dict[str, ObjectEntry] = {}
        self.stamps: dict[str, Stamp] = {}
        self.splits: dict[str, Split] = {} if base is None else dict(base.splits)

    def take(self, item: SourceObject) -> None:
        """Carry the file's entry over, or read it."""
        known = None if self.base is None else self.base.objects.get(item.name)
        if (
            known is not None
            and known.digest is not None
            and self.same_schema
            and self.index.get(item.name) == item.stamp
        ):
            self._keep(item.name, known, item.stamp)
            return
        try:
            with open_object(item) as file:
                self._take_open(item.name, file, known)
        except FileNotFoundError:
            return
        except RefusedObjectError as refusal:
            readable_before = known is not None and known.digest is not None and self.same_schema
            entry = known if known is not None and readable_before else None
            self._keep(item.name, entry or ObjectEntry(None, self.generation, refused=str(refusal)), item.stamp)
            if entry is not None or isinstance(refusal, ChangedWhileReadError):
                # What is known of the file stays; without a stamp it is pending, so the next run looks at it again.
                del self.stamps[item.name]

    def _take_open(self, name: str, file: BufferedReader, known: ObjectEntry | None) -> None:
        stamp = stamp_of(os.fstat(file.fileno()))
        digest = digest_open(file)
        if known is not None and known.digest == digest and self.same_schema:
            refuse_if_changed(file, stamp)
            self._keep(name, known, stamp)
            return
        unchanged = known is not None and known.digest == digest
        generation = known.generation if known is not None and unchanged else self.generation
        try:
            shards = self._shards(file)
            entry = ObjectEntry(digest, generation, shards)
        except RefusedObjectError as refusal:
            entry = ObjectEntry(digest, generation, refused=str(refusal))
        refuse_if_changed(file, stamp)
        self._keep(name, entry, stamp)

    def _shards(self, file: BufferedReader) -> tuple[Shard, ...]:
        writers: dict[Split, ShardWriter] = {}
        for recording in read_recordings(file):
            split = split_of(recording.domain, self.config.splits)
            if split not in writers:
                writers[split] = ShardWriter(self.storage, split, self.config.signal, self.guard)
            writers[split].add(recording)
        for writer in writers.values():
            writer.flush()
        return tuple(shard for split in SPLITS if split in writers for shard in writers[split].shards)

    def _keep(self, name: str, entry: ObjectEntry, stamp: Stamp) -> None:
        self.objects[name] = entry
        self.stamps[name] = stamp
        for shard in entry.shards:
            self.splits.update({domain: shard.split for domain in shard.domains if domain})

    def manifest(self, parent: str | None) -> Manifest | None:
        """The new manifest; None if it would say the same as the parent's."""
        before = {} if self.base is None else self.base.objects
        if self.base is not None and self.same_schema and _content(self.objects) == _content(before):
            return None
        both = self.objects.keys() & before.keys()
        changed = [name for name in both if not self.same_schema or _moved(self.objects[name], before[name])]
        return Manifest(
            parent=parent,
            generation=self.generation,
            schema=schema_of(self.config),
            objects=self.objects,
            splits=dict(sorted(self.splits.items())),
            added=tuple(sorted(self.objects.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - self.objects.keys())),
            changed=tuple(sorted(changed)),
        )


def _content(objects: Mapping[str, ObjectEntry]) -> dict[str, tuple[str | None, str | None]]:
    return {name: (entry.digest, entry.refused) for name, entry in objects.items()}


def _moved(entry: ObjectEntry, before: ObjectEntry) -> bool:
    return (entry.digest, entry.refused) != (before.digest, before.refused)


def _is_known(item: SourceObject, entry: ObjectEntry | None, index: Mapping[str, Stamp]) -> bool:
    if entry is None:
        return False
    if index.get(item.name) == item.stamp:
        return True
    try:
        with open_object(item) as file:
            return digest_open(file) == entry.digest
    except (OSError, RefusedObjectError):
        return False


def _manifest_key(id: str) -> str:
    return f"manifests/{id}.json"


def _index_key(id: str) -> str:
    return f"index/{id}.json"


def _read_index(storage: FileStorage, id: str | None) -> dict[str, Stamp]:
    """Stamps by name. The index only saves reading: without it, or with a damaged one, files are digested again."""
    if id is None:
        return {}
    try:
        document = json.loads(storage.read(_index_key(id)))
        return {str(name): (int(a), int(b), int(c), int(d)) for name, (a, b, c, d) in document["stamps"].items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _write_index(storage: FileStorage, id: str, stamps: Mapping[str, Stamp], guard: Callable[[], None]) -> None:
    data = canonical_json({"version": 1, "stamps": stamps}).encode()
    if not storage.exists(_index_key(id)) or storage.read(_index_key(id)) != data:
        guard()
        storage.write(_index_key(id), data)
