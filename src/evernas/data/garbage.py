"""What of a store no kept snapshot reaches; which snapshots are kept is said elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from evernas.data.copies import copies_key
from evernas.data.snapshot import open_snapshot, told_keys
from evernas.storage import FileStorage

DAY_S = 86400.0
# A snapshot stops existing with its manifest, which goes first.
_KINDS = ("manifests/", "index/", "shards/", "duplicates/", "told/")


@dataclass(frozen=True)
class Garbage:
    """Keys of a store in the order in which they are to go, and their size in bytes."""

    snapshots: list[str]
    keys: list[str]
    bytes: int


def garbage(store: Path, keep: Collection[str], older_than_s: float = DAY_S) -> Garbage:
    """All that the snapshots to keep do not reach. IntegrityError if one of them is missing or damaged.

    The age spares the shards that an ingest writes before the manifest that will name them.
    """
    storage = FileStorage(store)
    reached = {f"manifests/{id}.json" for id in keep} | {f"index/{id}.json" for id in keep}
    for id in keep:
        manifest = open_snapshot(store, id).manifest
        reached |= {f"shards/{shard.split}/{shard.digest}.parquet" for _, _, shard in manifest.shards()}
        reached |= told_keys(storage, id)
        if manifest.duplicates is not None:
            reached.add(copies_key(manifest.duplicates.digest))
    before = time.time() - older_than_s
    # A snapshot stops existing with its manifest: killed after that, what is left is garbage again.
    keys = [key for kind in _KINDS for key in storage.list(kind) if key not in reached]
    old = [key for key in keys if storage.path(key).stat().st_mtime < before]
    snapshots = [Path(key).stem for key in old if key.startswith("manifests/")]
    return Garbage(snapshots, old, sum(storage.path(key).stat().st_size for key in old))


def remove(store: Path, found: Garbage, guard: Callable[[], None]) -> None:
    """Remove it; `guard` is called before each key and may raise."""
    storage = FileStorage(store)
    for key in found.keys:
        guard()
        storage.delete(key)
