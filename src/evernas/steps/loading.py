"""Loading what earlier steps left: splits of validated data, the supernet, the champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evernas.bundle import Bundle, load_bundle
from evernas.data import Samples, Split, load_split, open_snapshot
from evernas.registry.entries import Entry
from evernas.spaces.api import Architecture
from evernas.state import Done
from evernas.steps.context import Context, Setting

if TYPE_CHECKING:
    from evernas.supernet import TrainingData

KEPT = "kept.npy"
KEPT_TABLE = "kept.parquet"
SUPERNET = "supernet.safetensors"
TRAINED = "trained.txt"
IMPORTED = "imported"


def samples(context: Context, validated: Done, split: Split) -> Samples:
    """The good rows of one split; opens no other split's shards."""
    snapshot = open_snapshot(context.home.snapshots(context.project), validated.facts["snapshot"])
    kept = np.load(validated.file(KEPT), allow_pickle=False)
    return load_split(snapshot, split, context.config.data.labels, kept)


def training_data(context: Context, validated: Done) -> TrainingData:
    """The train split as the supernet takes it."""
    from evernas.supernet import TrainingData

    train = samples(context, validated, "train")
    return TrainingData(train.x, train.y, np.asarray(train.domains), np.asarray(train.recordings))


def train_digests(validated: Done) -> frozenset[str]:
    """Payload digests of the good rows of the train split."""
    import pyarrow.parquet as pq

    table = pq.read_table(validated.file(KEPT_TABLE), columns=["split", "digest"]).to_pydict()
    return frozenset(digest for split, digest in zip(table["split"], table["digest"], strict=True) if split == "train")


def trained_rows(supernet: Done) -> frozenset[str]:
    """Payload digests of all rows that this supernet or one before it was trained on."""
    return frozenset(supernet.file(TRAINED).read_text(encoding="utf-8").split())


def supernet_state(done: Done) -> dict[str, Any]:
    """The weights of a trained supernet."""
    from evernas.supernet import load_state

    return load_state(done.file(SUPERNET))[0]


@dataclass(frozen=True)
class Champion:
    """The champion that a run's candidates have to beat: pinned when the run was opened."""

    entry: Entry
    bundle: Bundle

    @property
    def architecture(self) -> Architecture:
        """Its architecture; one of no space of ours where it was imported."""
        known = self.entry.architecture
        return Architecture(IMPORTED, ()) if known is None else Architecture.from_json(known)


def champion(context: Setting) -> Champion | None:
    """The champion of this branch's device at the journal number that the run pinned, its bytes checked."""
    number = context.manifest.journal.get(context.device.name, 0)
    if number == 0:
        return None
    entry = context.journal.read(context.device.name, number)
    return Champion(
        entry, load_bundle(context.home.bundles(context.project) / entry.bundle[:16], expected=entry.bundle)
    )
