"""Loading what earlier steps left: splits of validated data, the supernet, the champion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle, load_bundle
from evernas.errors import EvernasError
from evernas.registry.entries import Entry
from evernas.spaces.api import Architecture
from evernas.state import Done, Home
from evernas.steps.context import Setting
from evernas.tokeniser import Tokeniser, text_of

if TYPE_CHECKING:
    from evernas.data import Samples, Split
    from evernas.supernet import TrainingData

KEPT = "kept.npy"
KEPT_TABLE = "kept.parquet"
SUPERNET = "supernet.safetensors"
TOKENISER = "tokenizer.json"
TRAINED = "trained.txt"
IMPORTED = "imported"


def samples(context: Setting, validated: Done, split: Split) -> Samples:
    """The good rows of one split; opens no other split's shards."""
    from evernas.data import load_split, open_snapshot

    snapshot = open_snapshot(context.snapshots, validated.facts["snapshot"])
    kept = np.load(validated.file(KEPT), allow_pickle=False)
    found = load_split(snapshot, split, context.config.data.labels, kept)
    splits = context.config.data.splits
    # What was delivered in parts is one recording again.
    return replace(found, recordings=tuple(map(splits.unit_of, found.recordings))) if splits.group else found


def training_data(context: Setting, validated: Done, tokeniser: Tokeniser | None) -> TrainingData:
    """The train split as the supernet takes it; `tokeniser` is for texts."""
    return as_training(context, samples(context, validated, "train"), tokeniser)


def as_training(context: Setting, train: Samples, tokeniser: Tokeniser | None) -> TrainingData:
    """Samples as the supernet takes them; `tokeniser` is for texts."""
    from evernas.supernet import TextData, TrainingData

    of = (train.y, np.asarray(train.domains), np.asarray(train.recordings))
    x = network_inputs(context, train.x, tokeniser)
    if tokeniser is None:
        return TrainingData(x, *of)
    return TextData(x, *of, texts=[text_of(row) for row in train.x], tokeniser=tokeniser)


def network_inputs(context: Setting, x: npt.NDArray[np.float32], tokeniser: Tokeniser | None) -> npt.NDArray[Any]:
    """What a network is given of samples as they were delivered: of texts the numbers of their sub-words."""
    return x if tokeniser is None else tokeniser.rows(x, context.space.shape[0])


def tokeniser_of(supernet: Done) -> Tokeniser | None:
    """The tokeniser that a supernet was trained with; None where its samples are no texts."""
    path = supernet.file(TOKENISER)
    return Tokeniser(path.read_bytes()) if path.exists() else None


def train_digests(validated: Done) -> frozenset[str]:
    """Payload digests of the good rows of the train split."""
    return frozenset(digest for _, digest in _train_rows(validated))


def _train_rows(validated: Done) -> list[tuple[str, str]]:
    """Sample ids and payload digests of the good rows of the train split."""
    import pyarrow.parquet as pq

    table = pq.ParquetFile(validated.file(KEPT_TABLE)).read(columns=["split", "sample_id", "digest"]).to_pydict()
    rows = zip(table["split"], table["sample_id"], table["digest"], strict=True)
    return [(sample, digest) for split, sample, digest in rows if split == "train"]


def untrained(validated: Done, train: Samples, trained: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Of each sample of the train split, whether its payload's digest is not among those trained on.

    Where a person released several rows of one id, all of them count as new if one is.
    """
    new = {sample for sample, digest in _train_rows(validated) if digest not in trained}
    return np.array([sample in new for sample in train.sample_ids], dtype=np.bool_)


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
    home: Home
    project: str

    @cached_property
    def bundle(self) -> Bundle:
        """Its files, every digest checked, brought from MLflow where they are missing. IntegrityError if neither."""
        from evernas.registry.models import fetch

        return load_bundle(fetch(self.home, self.project, self.entry.bundle), expected=self.entry.bundle)

    @property
    def architecture(self) -> Architecture:
        """Its architecture; one of no space of ours where it was imported."""
        known = self.entry.architecture
        return Architecture(IMPORTED, ()) if known is None else Architecture.from_json(known)

    @property
    def fault(self) -> str | None:
        """A sentence if it cannot be loaded: nothing can be compared with it, and who serves it may be in trouble."""
        try:
            _ = self.bundle
        except (EvernasError, OSError) as error:
            return (
                f"Incident: the champion of {self.entry.device} (entry {self.entry.number}) cannot be loaded. {error} "
                "It stays until a person mends it, rolls back, or imports another."
            )
        return None


def champion(context: Setting) -> Champion | None:
    """The champion of this branch's device at the journal number that the run pinned; its files are not read yet."""
    number = context.manifest.journal.get(context.device.name, 0)
    if number == 0:
        return None
    return Champion(context.journal.read(context.device.name, number), context.home, context.project)
