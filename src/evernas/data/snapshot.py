"""Snapshots: taking in what is new in a source, once, and opening what was taken in; nothing here judges the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from evernas.config import DataConfig
from evernas.data.ahead import opened
from evernas.data.blocks import Names
from evernas.data.copies import (
    Copies,
    Known,
    find_copies,
    joined,
    known_copies,
    least_similarity,
    parts_of,
    write_copies,
)
from evernas.data.folder import FolderSource
from evernas.data.forgotten import Forgotten, masking
from evernas.data.formats import read_blocks
from evernas.data.images import as_signal
from evernas.data.loss import SHOWN, refuse_loss
from evernas.data.manifest import Manifest, ObjectEntry, sample_shape, schema_of
from evernas.data.near import fingerprint_of
from evernas.data.shards import Shard, ShardWriter
from evernas.data.source import (
    ChangedWhileReadError,
    RefusedObjectError,
    Source,
    SourceObject,
    Stamp,
    UncertainError,
    digest_open,
)
from evernas.data.splits import SPLITS, Split, drawn_domain, refuse_changed_splits, rule_of, split_of
from evernas.data.told import Pack, Told, keep_told, learn, recall
from evernas.data.units import Units, held_units, named_units
from evernas.digest import canonical_json, digest_bytes
from evernas.errors import EvernasError, IntegrityError
from evernas.storage import FileStorage, Storage


@dataclass(frozen=True)
class Snapshot:
    """A dataset version in a store: its id is the digest of its manifest."""

    store: Storage
    id: str
    manifest: Manifest


def open_snapshot(store: Storage | Path, id: str) -> Snapshot:
    """A snapshot of the store (a folder by its path).

    IntegrityError if its manifest is missing or is not what its name says.
    """
    store = _storage(store)
    try:
        data = store.read(manifest_key(id))
    except KeyError:
        raise IntegrityError(f"The snapshot {id} is not in {store}: restore it, or ingest without a parent.") from None
    if digest_bytes(data) != id:
        raise IntegrityError(f"The manifest of the snapshot {id} was changed: restore it from a backup.")
    return Snapshot(store, id, Manifest.from_json(data.decode()))


def ingest(
    source: Source | Path,
    store: Storage | Path,
    config: DataConfig,
    parent: str | None,
    guard: Callable[[], None] = lambda: None,
    run: str = "",
    say: Callable[[str], None] = lambda sentence: None,
    forgotten: Forgotten | None = None,
    scratch: Path | None = None,
    deleted: Collection[str] = (),
) -> Snapshot:
    """Take in what the source holds and the parent does not; the parent if nothing differs. Folders by their paths.

    Only new or changed objects are read. `guard` is called before each publication and may raise. Killed anywhere, it
    leaves at most unused shards behind, and the next call gives the same snapshot. An object that the listing of a
    bucket lacks is removed only when a second `run` finds it gone too; `say` is told of those in between. One
    that is among the `deleted`, as an event told, is removed if it is not there now. What was `forgotten` is not taken
    in again, and `say` is told how many recordings of it the source still holds. UsageError
    if a known domain or recording would change its split; DataRefusedError if more would be lost than data.max_loss
    allows; IntegrityError if the parent is damaged; EvernasError if the source does not answer.
    """
    storage = _storage(store)
    base = open_snapshot(storage, parent).manifest if parent is not None else None
    if base is not None:
        refuse_changed_splits(base.splits, config.splits, base.joined, base.rule)
    storage.sweep()
    index = _Index.read(storage, parent)
    source = masking(_source(source), forgotten, () if base is None else base.objects)
    schema = schema_of(config)
    fingerprint = fingerprint_of(schema) if config.near_duplicates.enabled else None
    with Told(fingerprint, sample_shape(schema), scratch, config.splits) as told:
        taken = _Increment(source, storage, config, base, index, guard, told, forgotten)
        return _ingested(taken, storage, config, parent, run, say, scratch, deleted)


def _ingested(
    taken: _Increment,
    storage: Storage,
    config: DataConfig,
    parent: str | None,
    run: str,
    say: Callable[[str], None],
    scratch: Path | None,
    deleted: Collection[str],
) -> Snapshot:
    base, index, guard = taken.base, taken.before, taken.guard
    with closing(opened(taken.source, taken.source.objects(), taken.is_read)) as items:
        for item, open_it in items:
            taken.take(item, open_it)
    for name in sorted(() if base is None else base.objects.keys() - taken.objects.keys()):
        taken.take_unlisted(name, run, say, name in deleted)
    if base is not None and parent is not None:
        # Of a run that is refused below, too, the next one has to know what was gone.
        _Index(index.stamps, taken.index.missing, index.told).write(storage, parent, guard)
        refuse_loss(base, taken.objects, config)
    taken.tell_erased(say)
    manifest = taken.manifest(parent)
    if base is not None and parent is not None and manifest is None:
        taken.index.told = index.told
        taken.index.write(storage, parent, guard)
        return Snapshot(storage, parent, base)
    assert manifest is not None
    least, packs = least_similarity(config.near_duplicates, manifest.schema), recall(storage, taken.told, index.told)
    known = None if base is None else known_copies(storage, base, taken.told, least)
    copies = _copies(taken, manifest, least, known, scratch)
    moved = taken.join(copies)
    if moved:
        say(joined_sentence(moved, _noun(config)))
        manifest = taken.manifest(parent)
        assert manifest is not None
        # Of many that are alike the nearest of each split were paired: where splits have changed, others are.
        copies = _copies(taken, manifest, least, None, scratch)
    if taken.drawn():
        say(drawn_sentence(taken.drawn(), config.domain_noun))
    guard()
    found = write_copies(storage, copies, least, taken.told)
    taken.keep_told(manifest, packs)
    manifest = replace(manifest, duplicates=found)
    data = manifest.to_json().encode()
    id = digest_bytes(data)
    # The index first: the manifest is what makes the snapshot exist.
    taken.index.write(storage, id, guard)
    if not storage.exists(manifest_key(id)):
        guard()
        storage.write(manifest_key(id), data)
    return Snapshot(storage, id, manifest)


def _copies(
    taken: _Increment, manifest: Manifest, least: float | None, known: Known | None, scratch: Path | None
) -> Copies:
    near = taken.config.near_duplicates
    return find_copies(taken.storage, parts_of(manifest), near, least, taken.told, known, scratch)


def _noun(config: DataConfig) -> str:
    """What is never parted, in the plural."""
    if not config.splits.by_recording:
        return config.domain_noun
    return "recordings" if config.kind == "signal" else config.sample_noun


def joined_sentence(moved: Mapping[str, Split], noun: str) -> str:
    """What is said of new domains, or recordings, that turn out to be others under new names."""
    listed = ", ".join(f"{domain!r} ({split})" for domain, split in sorted(moved.items())[:SHOWN])
    more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
    return (
        f"{len(moved)} new {noun} mostly repeat others, and go into their splits: {listed}{more}. If they are not the "
        "same, raise data.near_duplicates.join or .similarity before they are taken in."
    )


def drawn_sentence(drawn: Mapping[str, Split], noun: str) -> str:
    """What is said of new domains that data.splits.new gives to the gate or the search."""
    listed = ", ".join(f"{domain!r} ({split})" for domain, split in sorted(drawn.items())[:SHOWN])
    more = f" and {len(drawn) - SHOWN} more" if len(drawn) > SHOWN else ""
    return f"{len(drawn)} new {noun} are drawn to judge or to guide the search, by data.splits.new: {listed}{more}."


def pending(source: Source | Path, snapshot: Snapshot | None, forgotten: Forgotten | None = None) -> list[str]:
    """Names of the objects in which source and snapshot differ.

    A folder's bytes are read only where a stamp differs, a bucket's never: there a stamp that differs is enough.
    """
    source = masking(_source(source), forgotten, () if snapshot is None else snapshot.manifest.objects)
    objects = source.objects()
    if snapshot is None:
        return [item.name for item in objects]
    index = _Index.read(snapshot.store, snapshot.id)
    known = snapshot.manifest.objects
    names = [item.name for item in objects if not _is_known(source, item, known.get(item.name), index)]
    unlisted = known.keys() - {item.name for item in objects}
    return sorted({*names, *(name for name in unlisted if _is_gone(source, name, index))})


def unchanged(
    source: Source | Path, snapshot: Snapshot, config: DataConfig, forgotten: Forgotten | None = None
) -> bool:
    """Whether to ingest the source on top of this snapshot would give the snapshot itself; reads as `pending` does."""
    manifest = snapshot.manifest
    same = manifest.schema == schema_of(config) and not _seeks_otherwise(manifest, config)
    return same and not pending(source, snapshot, forgotten)


def _seeks_otherwise(manifest: Manifest, config: DataConfig) -> bool:
    """Whether the config would call other rows near copies than the manifest does, which may not say at all."""
    found, least = manifest.duplicates, least_similarity(config.near_duplicates, manifest.schema)
    return found is not None and found.similarity != least


def _source(source: Source | Path) -> Source:
    return FolderSource(source) if isinstance(source, Path) else source


def _storage(store: Storage | Path) -> Storage:
    return FileStorage(store) if isinstance(store, Path) else store


@dataclass
class _Index:
    """What is known of a snapshot's objects beside their content: their stamps, which run first missed one, and the
    packs of what copies are found by.

    It saves reading, and delays removals: without it, or with a damaged one, objects are digested again.
    """

    stamps: dict[str, Stamp] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @staticmethod
    def read(storage: Storage, id: str | None) -> _Index:
        try:
            document = json.loads(storage.read(index_key(id or "")))
            stamps = {str(name): tuple(stamp) for name, stamp in document["stamps"].items()}
            missing = {str(name): str(run) for name, run in document.get("missing", {}).items()}
            return _Index(stamps, missing, [str(key) for key in document.get("told", [])])
        except (KeyError, ValueError, TypeError, AttributeError):
            return _Index()

    def write(self, storage: Storage, id: str, guard: Callable[[], None]) -> None:
        data = canonical_json({"version": 1, **vars(self)}).encode()
        if not storage.exists(index_key(id)) or storage.read(index_key(id)) != data:
            guard()
            storage.write(index_key(id), data)


class _Increment:
    """One ingest under way: the objects seen so far, each either carried over from the parent or read."""

    def __init__(
        self,
        source: Source,
        storage: Storage,
        config: DataConfig,
        base: Manifest | None,
        before: _Index,
        guard: Callable[[], None],
        told: Told,
        forgotten: Forgotten | None = None,
    ) -> None:
        self.told = told
        self.items: dict[str, SourceObject] = {}
        self.joined: dict[str, Split] = {} if base is None else dict(base.joined)
        self.source, self.storage, self.config, self.base, self.guard = source, storage, config, base, guard
        self.forgotten = forgotten
        self.before, self.index = before, _Index()
        self.generation = 0 if base is None else base.generation + 1
        self.same_schema = base is not None and base.schema == schema_of(config)
        self.objects: dict[str, ObjectEntry] = {}
        self.splits: dict[str, Split] = {} if base is None else dict(base.splits)

    def is_read(self, item: SourceObject) -> bool:
        """Whether an object has to be read: nothing is known of it, or it may have changed."""
        known = None if self.base is None else self.base.objects.get(item.name)
        stamp = self.before.stamps.get(item.name)
        return known is None or known.digest is None or not self.same_schema or stamp != item.stamp

    def take(self, item: SourceObject, open_it: Callable[[], BinaryIO] | None = None) -> None:
        """Carry the object's entry over, or read it."""
        known = None if self.base is None else self.base.objects.get(item.name)
        if known is not None and not self.is_read(item):
            self._keep(item.name, known, item.stamp)
            return
        self.items[item.name] = item
        try:
            with self.source.open(item) if open_it is None else open_it() as file:
                self._take_open(item, file, known)
        except FileNotFoundError:
            return
        except RefusedObjectError as refusal:
            readable_before = known is not None and known.digest is not None and self.same_schema
            entry = known if known is not None and readable_before else None
            self._keep(item.name, entry or ObjectEntry(None, self.generation, refused=str(refusal)), item.stamp)
            if entry is not None or isinstance(refusal, ChangedWhileReadError):
                # What is known of the object stays; without a stamp it is pending, so the next run looks at it again.
                del self.index.stamps[item.name]

    def take_unlisted(self, name: str, run: str, say: Callable[[str], None], deleted: bool) -> None:
        """An object of the parent that was not listed, or had gone when it was opened: look, and be slow to believe."""
        assert self.base is not None
        if self.source.lists_all:
            return
        known = self.base.objects[name]
        try:
            item = self.source.look(name)
        except UncertainError as doubt:
            say(str(doubt))
            self._carry(name, known)
            return
        if item is not None:
            self.take(item)
            if name in self.objects:
                return
        first = self.before.missing.get(name, run)
        if deleted:
            say(f"{name} has gone from the source, as an event told: its rows are removed.")
            # Of a run that is refused for something else, the next one has to know.
            self.index.missing[name] = first
        elif first == run:
            say(f"{name} has gone from the source; if the next run finds so too, its rows are removed.")
            self._carry(name, known)
            self.index.missing[name] = run

    def _carry(self, name: str, known: ObjectEntry) -> None:
        """Keep what is known of an object that cannot be looked at now."""
        if not self.same_schema and known.shards:
            raise EvernasError(
                f"data.{self.config.kind} or data.kind has changed, so that {name} has to be read again, but it cannot "
                "be found now: restore it, or restore the config for one more run, which makes sure that it is gone."
            )
        self._keep(name, known, self.before.stamps.get(name))

    def _take_open(self, item: SourceObject, file: BinaryIO, known: ObjectEntry | None) -> None:
        stamp = self.source.stamp_of(file, item)
        digest = digest_open(file)
        if known is not None and known.digest == digest and self.same_schema:
            self.source.refuse_if_changed(file, stamp)
            self._keep(item.name, known, stamp)
            return
        unchanged = known is not None and known.digest == digest
        generation = known.generation if known is not None and unchanged else self.generation
        name = item.name
        try:
            shards, erased = self._shards(item, file)
            entry = ObjectEntry(digest, generation, shards, erased=erased)
            if erased and not shards and self.forgotten is not None:
                name = self.forgotten.masked(name)
        except RefusedObjectError as refusal:
            entry = ObjectEntry(digest, generation, refused=str(refusal))
        self.source.refuse_if_changed(file, stamp)
        self._keep(name, entry, stamp)

    def _shards(self, item: SourceObject, file: BinaryIO) -> tuple[tuple[Shard, ...], int]:
        """The shards of an object, and how many of its recordings had been erased and are not taken."""
        writers, names, erased = dict[Split, ShardWriter](), Names(), 0
        told = (self.told, self.told.fingerprint, self.told.shape)
        with ThreadPoolExecutor(1) as pool:
            # By where it lies: the name of an object of somebody who was erased does not tell its format.
            for block in read_blocks(item.place, file, self.config.sample):
                names.add(block)
                if self.forgotten is not None:
                    left, hidden = self.forgotten.without(block)
                    erased += hidden
                    if left is None:
                        continue
                    block = left
                for split, part in block.by_split(self._split_of, block.ids if self.by_recording else block.domains):
                    if split not in writers:
                        signal = as_signal(self.config)
                        writers[split] = ShardWriter(self.storage, split, signal, self.guard, pool, *told)
                    writers[split].add(part)
            made = (shard for split in SPLITS if split in writers for shard in writers[split].shards())
            return tuple(made), erased

    def tell_erased(self, say: Callable[[str], None]) -> None:
        """Say how much the source still holds of what was erased."""
        count = sum(entry.erased for entry in self.objects.values())
        if count:
            say(
                f"{count} recordings of the source are of what was erased, and are refused: take them out of the "
                "source, too."
            )

    @property
    def by_recording(self) -> bool:
        """Whether recordings are split, and not domains."""
        return self.config.splits.by_recording

    def _split_of(self, name: str | None) -> Split:
        if name is None or self.by_recording or not self._is_new(name):
            return split_of(name, self.config.splits, self.joined)
        return drawn_domain(name, self.config.splits)

    def _is_new(self, domain: str) -> bool:
        """Whether nobody has said yet where a domain belongs: no config, no snapshot, and no copy of another's."""
        splits = self.config.splits
        told = domain in self.joined or (self.base is not None and domain in self.base.splits)
        return not told and domain not in splits.gate_domains and domain not in splits.search_domains

    def drawn(self) -> dict[str, Split]:
        """The new domains that were drawn to judge or to guide the search."""
        if self.by_recording:
            return {}
        return {name: split for name, split in self.splits.items() if split != "train" and self._is_new(name)}

    def join(self, copies: Copies) -> dict[str, Split]:
        """Give what is new and is another under a new name its split; that whose rows were read again for it."""
        if self.by_recording:
            return self._join_recordings(copies)
        splits = self.config.splits
        named = {domain: self._split_of(domain) for domain in (*splits.gate_domains, *splits.search_domains)}
        known = named if self.base is None else {**self.base.splits, **named}
        own = {domain: self._split_of(domain) for domain in self.splits.keys() - known.keys()}
        moved = joined(copies.shares(), self.config.near_duplicates.join, known, own)
        self.joined |= moved
        for name in sorted(self.objects):
            entry = self.objects[name]
            if any(shard.split != self._split_of(d) for shard in entry.shards for d in shard.domains if d in moved):
                self.objects.pop(name)
                self._take_again(name)
        return moved

    def _join_recordings(self, copies: Copies) -> dict[str, Split]:
        least, splits = self.config.near_duplicates.join, self.config.splits
        # By what stands for their names, which are looked up of these few alone.
        shares = {(int(a, 16), int(b, 16)): of for (a, b), of in copies.shares().items() if of > least}
        if not shares:
            return {}
        wanted = np.array(sorted({number for pair in shares for number in pair}), np.uint64)
        now = [shard for entry in self.objects.values() for shard in entry.shards]
        names = named_units(self.storage, self.told, now, wanted, splits)
        before = [] if self.base is None else [shard for _, _, shard in self.base.shards()]
        learn(self.storage, self.told, before)
        seen = held_units(self.told, before, wanted)
        own = {name: self._split_of(name) for name in names.values()}
        known = {name: own[name] for number, name in names.items() if number in seen or name in self.joined}
        moved = joined({(names[a], names[b]): of for (a, b), of in shares.items()}, least, known, own)
        self.joined |= moved
        for name in sorted(self.objects):
            if any(self._misplaced(shard, names, wanted) for shard in self.objects[name].shards):
                self.objects.pop(name)
                self._take_again(name)
        return moved

    def _misplaced(self, shard: Shard, names: Mapping[int, str], wanted: Units) -> bool:
        """Whether a shard holds any of these recordings that belongs into another split."""
        return any(self._split_of(names[unit]) != shard.split for unit in held_units(self.told, [shard], wanted))

    def keep_told(self, manifest: Manifest, packs: Sequence[Pack]) -> None:
        """Keep what copies were found by, for the next increment."""
        shards = [shard for _, shard in parts_of(manifest)]
        self.index.told = keep_told(self.storage, self.told, shards, packs, self.guard)

    def _take_again(self, name: str) -> None:
        """Read an object that this run read already; what has changed meanwhile is for the next run."""
        try:
            with self.source.open(self.items[name]) as file:
                self._take_open(self.items[name], file, None)
        except (FileNotFoundError, RefusedObjectError):
            raise EvernasError(
                f"{name} changed or went while its rows were sorted into splits: give the same command again."
            ) from None

    def _keep(self, name: str, entry: ObjectEntry, stamp: Stamp | None) -> None:
        self.objects[name] = entry
        if stamp is not None:
            self.index.stamps[name] = stamp
        for shard in () if self.by_recording else entry.shards:
            self.splits.update({domain: shard.split for domain in shard.domains if domain})

    def manifest(self, parent: str | None) -> Manifest | None:
        """The new manifest; None if it would say the same as the parent's."""
        before = {} if self.base is None else self.base.objects
        same = self.same_schema and _content(self.objects) == _content(before)
        if self.base is not None and same and not _seeks_otherwise(self.base, self.config):
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
            joined=dict(sorted({**self.drawn(), **self.joined}.items())),
            rule=rule_of(self.config.splits),
        )


def _content(objects: Mapping[str, ObjectEntry]) -> dict[str, tuple[str | None, str | None]]:
    return {name: (entry.digest, entry.refused) for name, entry in objects.items()}


def _moved(entry: ObjectEntry, before: ObjectEntry) -> bool:
    return (entry.digest, entry.refused) != (before.digest, before.refused)


def _is_known(source: Source, item: SourceObject, entry: ObjectEntry | None, index: _Index) -> bool:
    if entry is None:
        return False
    if index.stamps.get(item.name) == item.stamp:
        return True
    if not source.is_near:
        return False
    try:
        with source.open(item) as file:
            return digest_open(file) == entry.digest
    except (OSError, RefusedObjectError):
        return False


def _is_gone(source: Source, name: str, index: _Index) -> bool:
    """Whether the next run would remove an object that is not listed."""
    if source.lists_all:
        return True
    try:
        return name in index.missing and source.look(name) is None
    except UncertainError:
        return False


def told_keys(storage: Storage, id: str) -> set[str]:
    """The packs that spare the increment after this snapshot reading its shards."""
    return set(_Index.read(storage, id).told)


def manifest_key(id: str) -> str:
    """Where the manifest of a snapshot lies."""
    return f"manifests/{id}.json"


def index_key(id: str) -> str:
    """Where what is known of a snapshot's objects beside their content lies."""
    return f"index/{id}.json"
