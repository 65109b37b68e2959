"""Loading what earlier steps left: splits of validated data, the supernet, the champion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle, load_bundle
from evernas.digest import digest_bytes, short
from evernas.errors import EvernasError
from evernas.registry.entries import Entry
from evernas.spaces import Architecture, NetworkSpace
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
LEARNED = "learned.txt"
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
    return as_training(context.space, samples(context, validated, "train"), tokeniser)


def as_training(space: NetworkSpace, train: Samples, tokeniser: Tokeniser | None) -> TrainingData:
    """Samples as a supernet of the space takes them; `tokeniser` is for texts."""
    from evernas.supernet import TextData, TrainingData

    of = (train.y, np.asarray(train.domains), np.asarray(train.recordings))
    x = network_inputs(space, train.x, tokeniser)
    if tokeniser is None:
        return TrainingData(x, *of)
    return TextData(x, *of, texts=[text_of(row) for row in train.x], tokeniser=tokeniser)


def network_inputs(space: NetworkSpace, x: npt.NDArray[np.float32], tokeniser: Tokeniser | None) -> npt.NDArray[Any]:
    """What a network is given of samples as they were delivered: of texts the numbers of their sub-words."""
    return x if tokeniser is None else tokeniser.rows(x, space.shape[0])


def some_samples(of: Samples, rows: npt.NDArray[np.int64]) -> Samples:
    """The samples of these rows."""
    told = {name: tuple(getattr(of, name)[row] for row in rows) for name in ("domains", "recordings", "sample_ids")}
    return replace(of, x=of.x[rows], y=of.y[rows], **told)


def tokeniser_of(supernet: Done) -> Tokeniser | None:
    """The tokeniser that a supernet was trained with; None where its samples are no texts."""
    path = supernet.file(TOKENISER)
    return Tokeniser(path.read_bytes()) if path.exists() else None


def train_digests(validated: Done) -> frozenset[str]:
    """Payload digests of the good rows of the train split."""
    return frozenset(row.digest for row in _train_rows(validated))


def learned_now(validated: Done) -> frozenset[str]:
    """Digests of the good rows of the train split, of payload and label together."""
    return frozenset(row.lesson for row in _train_rows(validated))


@dataclass(frozen=True)
class _Row:
    sample: str
    digest: str
    label: str

    @property
    def lesson(self) -> str:
        """What can be learned of the row: with another label it is another one."""
        return short(digest_bytes(f"{self.digest} {self.label}".encode()))


def _train_rows(validated: Done) -> Iterator[_Row]:
    """The good rows of the train split."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.ParquetFile(validated.file(KEPT_TABLE)).read(columns=["split", "sample_id", "digest", "label"])
    mine = table.filter(pc.equal(table["split"], "train"))
    for batch in mine.to_batches(max_chunksize=1 << 16):
        columns = (batch.column(name).to_pylist() for name in ("sample_id", "digest", "label"))
        yield from map(_Row, *columns)


def unlearned(validated: Done, train: Samples, supernet: Done) -> npt.NDArray[np.bool_]:
    """Of each sample of the train split, whether the supernet's weights have not been trained on it and its label.

    Where a person released several rows of one id, all of them count as new if one is. Supernets of older versions tell
    only which payloads they and those before them saw.
    """
    path = supernet.file(LEARNED)
    if path.exists():
        known = frozenset(path.read_text(encoding="utf-8").split())
        new = {row.sample for row in _train_rows(validated) if row.lesson not in known}
    else:
        seen = trained_rows(supernet)
        new = {row.sample for row in _train_rows(validated) if row.digest not in seen}
    return np.array([sample in new for sample in train.sample_ids], dtype=np.bool_)


def learned_rows(supernet: Done) -> frozenset[str]:
    """What of rows and labels this supernet's weights have learned; nothing is known of older versions."""
    path = supernet.file(LEARNED)
    return frozenset(path.read_text(encoding="utf-8").split()) if path.exists() else frozenset()


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
