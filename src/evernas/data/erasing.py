"""Rewriting the snapshots of a store without what is to be erased; the old ones are removed in a step of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evernas.config import SplitConfig
from evernas.data.copies import copies_key, without_rows
from evernas.data.forgotten import Forgotten
from evernas.data.manifest import Duplicates, Manifest, ObjectEntry, sample_shape
from evernas.data.near import fingerprint_of
from evernas.data.shards import Shard, keep_table, read_shard, shard_key
from evernas.data.snapshot import index_key, manifest_key, open_snapshot
from evernas.data.splits import SPLITS, Split
from evernas.data.told import erase_told
from evernas.digest import canonical_json
from evernas.storage import Storage


@dataclass
class Held:
    """What a store holds of what is to be erased: recordings' ids, objects that hold nothing else, and payloads.

    `objects` and `mixed` are names of objects that hold only, or also, such rows; `digests` are of payloads that no
    other row has, by split; `snapshots` are the ids of all snapshots that hold any, with the splits that do.
    """

    recordings: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    mixed: set[str] = field(default_factory=set)
    digests: dict[Split, set[str]] = field(default_factory=dict)
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    rows: int = 0


def held(store: Storage, forgotten: Forgotten) -> Held:
    """What of it any snapshot of the store holds. IntegrityError for a damaged store."""
    found, looked = Held(), dict[str, Any]()
    others: dict[Split, set[str]] = {}
    for id, manifest in _manifests(store):
        splits = set[str]()
        for name, entry in manifest.objects.items():
            mine = [_look(store, shard, forgotten, looked, found, others) for shard in entry.shards]
            if any(mine):
                whole = sum(mine) == sum(shard.rows for shard in entry.shards)
                (found.objects if whole else found.mixed).add(name)
            splits |= {shard.split for shard, count in zip(entry.shards, mine, strict=True) if count}
        if splits or any(forgotten.hides("domain", domain) for domain in manifest.splits):
            found.snapshots[id] = sorted(splits)
    found.objects -= found.mixed
    for split, digests in found.digests.items():
        digests -= others.get(split, set())
    return found


def _look(
    store: Storage,
    shard: Shard,
    forgotten: Forgotten,
    looked: dict[str, int],
    found: Held,
    others: dict[Split, set[str]],
) -> int:
    """How many rows of a shard are to go; what they are is added to `found`, the others' payloads to `others`."""
    if shard.digest not in looked:
        table = read_shard(store, shard, ["domain", "recording", "digest"])
        gone = pc.invert(forgotten.kept(table.column("domain"), table.column("recording")))
        mine = table.filter(gone)
        found.recordings |= {id for id in mine.column("recording").to_pylist() if id}
        found.digests.setdefault(shard.split, set()).update(d for d in mine.column("digest").to_pylist() if d)
        others.setdefault(shard.split, set()).update(
            d for d in table.filter(pc.invert(gone)).column("digest").to_pylist() if d
        )
        found.rows += mine.num_rows
        looked[shard.digest] = mine.num_rows
    return looked[shard.digest]


def rewrite(
    store: Storage,
    forgotten: Forgotten,
    hidden: Collection[str],
    guard: Callable[[], None],
    before: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write each snapshot anew without it, where it held any or comes after one that did: new ids by old ones.

    `hidden` are names that may tell of it: of recordings, and of objects that hold nothing else. Nothing is removed, so
    that after a kill the same is written again. `before` is what an earlier call gave, whose old snapshots may be gone
    by now.
    """
    moved = dict(before or {})
    shards: dict[str, Shard | None] = {}
    for id, manifest in _manifests(store):
        objects: dict[str, ObjectEntry] = {}
        names: dict[str, str] = {}
        for name, entry in manifest.objects.items():
            kept, gone = [], 0
            for shard in entry.shards:
                if shard.digest not in shards:
                    shards[shard.digest] = _rewritten(store, shard, manifest.schema, forgotten, guard)
                new = shards[shard.digest]
                if new is None or new.digest != shard.digest:
                    gone += _recordings(store, shard) - (0 if new is None else _recordings(store, new))
                kept += [] if new is None else [new]
            names[name] = forgotten.masked(name) if gone and not kept else name
            objects[names[name]] = replace(entry, shards=tuple(kept), erased=entry.erased + gone)
        new_manifest = replace(
            manifest,
            parent=moved.get(manifest.parent or "", manifest.parent),
            objects=objects,
            splits={d: split for d, split in manifest.splits.items() if not forgotten.hides("domain", d)},
            joined=_joined_left(store, manifest, forgotten, hidden),
            duplicates=_copies_left(store, manifest, shards, forgotten),
            added=_renamed(manifest.added, names, hidden, forgotten),
            removed=_renamed(manifest.removed, names, hidden, forgotten),
            changed=_renamed(manifest.changed, names, hidden, forgotten),
        )
        if new_manifest.id == id:
            continue
        moved[id] = new_manifest.id
        _write_index(store, id, new_manifest.id, names, guard)
        guard()
        store.write(manifest_key(new_manifest.id), new_manifest.to_json().encode())
    return moved


def _joined_left(store: Storage, manifest: Manifest, forgotten: Forgotten, hidden: Collection[str]) -> dict[str, Split]:
    """What was joined, domains or recordings, without what is to go; `hidden` names all recordings that are."""
    if manifest.rule is None:
        return {d: split for d, split in manifest.joined.items() if not forgotten.hides("domain", d)}
    splits = SplitConfig(**manifest.rule)
    gone = {splits.unit_of(name) for name in hidden} & manifest.joined.keys()
    if gone and splits.group is not None:
        # Of what was delivered in parts, others may stay.
        for _, _, shard in manifest.shards():
            about = read_shard(store, shard, ["domain", "recording"])
            left = about.filter(forgotten.kept(about.column("domain"), about.column("recording")))
            gone -= {splits.unit_of(name or "") for name in pc.unique(left.column("recording")).to_pylist()}
    return {name: split for name, split in manifest.joined.items() if name not in gone}


def _copies_left(
    store: Storage, manifest: Manifest, shards: Mapping[str, Shard | None], forgotten: Forgotten
) -> Duplicates | None:
    """What the manifest says of copies, without the rows that are to go."""
    before = [shard for _, _, shard in manifest.shards()]
    if manifest.duplicates is None or all(shards[shard.digest] == shard for shard in before):
        return manifest.duplicates
    kept = [
        np.ones(shard.rows, bool) if shards[shard.digest] == shard else _kept(store, shard, forgotten)
        for shard in before
    ]
    return without_rows(store, manifest.duplicates, np.concatenate(kept))


def _kept(store: Storage, shard: Shard, forgotten: Forgotten) -> npt.NDArray[np.bool_]:
    about = read_shard(store, shard, ["domain", "recording"])
    kept = forgotten.kept(about.column("domain"), about.column("recording"))
    return np.asarray(kept.to_numpy(zero_copy_only=False) if isinstance(kept, pa.Array) else kept.to_numpy(), bool)


def _renamed(
    part: tuple[str, ...], names: Mapping[str, str], hidden: Collection[str], forgotten: Forgotten
) -> tuple[str, ...]:
    """Names as the rewritten manifest has them; one that it does not have is masked if it may tell of anybody."""
    return tuple(sorted(names.get(name, forgotten.masked(name) if name in hidden else name) for name in part))


def remove_rewritten(store: Storage, moved: Mapping[str, str], guard: Callable[[], None]) -> None:
    """Remove what was rewritten, with all that only it reached, and the earlier versions of all keys."""
    for id in moved:
        for key in (index_key(id), manifest_key(id)):
            guard()
            store.erase(key)
    reached = set[str]()
    for _, manifest in _manifests(store):
        reached |= {shard.digest for _, _, shard in manifest.shards()}
    for folder in (f"{kind}/{split}/" for kind in ("shards", "rows") for split in SPLITS):
        for key in store.list(folder):
            if key.rpartition("/")[2].removesuffix(".parquet") not in reached:
                guard()
                store.erase(key)
    tables = {m.duplicates.digest for _, m in _manifests(store) if m.duplicates is not None}
    beside = [key for key in store.list("prints/") if key.rpartition("/")[2] not in reached]
    for key in (*beside, *(key for key in store.list("duplicates/") if key not in {copies_key(d) for d in tables})):
        guard()
        store.erase(key)
    erase_told(store, guard)
    store.erase_versions("")
    store.sweep(0.0)


def _manifests(store: Storage) -> list[tuple[str, Manifest]]:
    """All snapshots of a store, parents before children."""
    ids = [key.removeprefix("manifests/").removesuffix(".json") for key in store.list("manifests/")]
    found = [(id, open_snapshot(store, id).manifest) for id in ids]
    return sorted(found, key=lambda item: (item[1].generation, item[0]))


def _rewritten(
    store: Storage, shard: Shard, schema: Mapping[str, Any], forgotten: Forgotten, guard: Callable[[], None]
) -> Shard | None:
    """The shard without what is to be erased: itself if it holds none of it, None if nothing else."""
    about = read_shard(store, shard, ["domain", "recording"])
    keep = forgotten.kept(about.column("domain"), about.column("recording"))
    count = pc.sum(keep).as_py() or 0
    if count == shard.rows:
        return shard
    if not count:
        return None
    table = pq.ParquetFile(io.BytesIO(store.read(shard_key(shard.split, shard.digest)))).read(use_threads=False)
    left = table.filter(keep).combine_chunks()
    return keep_table(store, shard.split, left, guard, fingerprint_of(schema), sample_shape(schema))


def _recordings(store: Storage, shard: Shard) -> int:
    """How many recordings a shard has rows of."""
    return len(pc.unique(read_shard(store, shard, ["position"]).column("position")))


def _write_index(store: Storage, old: str, new: str, names: Mapping[str, str], guard: Callable[[], None]) -> None:
    """The index of a rewritten snapshot: the same stamps, under the names that the manifest has now."""
    try:
        document = json.loads(store.read(index_key(old)))
    except KeyError:
        return
    for part in ("stamps", "missing"):
        entries = document.get(part, {})
        document[part] = {names[name]: value for name, value in entries.items() if name in names}
    guard()
    store.write(index_key(new), canonical_json(document).encode())
