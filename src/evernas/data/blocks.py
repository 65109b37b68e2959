"""Rows of a source file as blocks of recordings of one shape, whatever format they came in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evernas.data.source import RefusedObjectError
from evernas.data.splits import Split
from evernas.data.times import faults, seconds
from evernas.data.windows import Payload, Recording

TEXTS = ("id", "domain", "label")
# What a block has of each row beside its payload.
COLUMNS = ("positions", "ids", "domains", "labels", "times")
MAX_TEXT_BYTES = 1024
# More names than this in one object are no names: its label or domain column holds something else.
MAX_NAMES = {"domain": 100_000, "label": 10_000}

Shape = tuple[int, int] | str


@dataclass(frozen=True)
class Block:
    """Rows of a source file in order. Their payload is (n, channels, time), or null with the sentence why.

    positions (int64), ids, domains, labels (string) and times (float64, seconds since 1970, null where there is none)
    are Arrow arrays of n.
    """

    positions: Any
    ids: Any
    domains: Any
    labels: Any
    times: Any
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

    def by_split(self, split_of: Callable[[str | None], Split], names: Any) -> Iterator[tuple[Split, Block]]:
        """The rows of each split, in order; `split_of` tells that of a name, `names` are the rows': domains, or ids."""
        known = names.unique().to_pylist()
        if len(known) == 1:
            yield split_of(known[0]), self
            return
        encoded = names.dictionary_encode()
        of = pa.array([split_of(name) for name in encoded.dictionary.to_pylist()], pa.string())
        # A row without a name has no index, and belongs where split_of puts it.
        rows = pc.fill_null(of.take(encoded.indices), split_of(None))
        for split in rows.unique().to_pylist():
            yield split, self.filtered(pc.equal(rows, split))

    def filtered(self, mask: Any) -> Block:
        """The rows where an Arrow mask without nulls is true."""
        columns = {name: getattr(self, name).filter(mask) for name in COLUMNS}
        payload = None if self.payload is None else self.payload[mask.to_numpy(zero_copy_only=False)]
        return replace(self, **columns, payload=payload)


def _refuse_long_texts(columns: dict[str, Any]) -> None:
    """RefusedObjectError for an id, domain or label that is no name but a text."""
    for name, column in columns.items():
        values = column.dictionary if pa.types.is_dictionary(column.type) else column
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > MAX_TEXT_BYTES:
            raise RefusedObjectError(
                f"Its column {name!r} has a text of {longest} bytes, more than {MAX_TEXT_BYTES}: write names."
            )


class Names:
    """The domains and labels of one object so far."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str | None]] = {name: set() for name in MAX_NAMES}

    def add(self, block: Block) -> None:
        """RefusedObjectError once there are too many."""
        for name, column in (("domain", block.domains), ("label", block.labels)):
            self._seen[name].update(column.unique().to_pylist())
            if len(self._seen[name]) > MAX_NAMES[name]:
                raise RefusedObjectError(
                    f"Its column {name!r} has more than {MAX_NAMES[name]} values: write names that recordings share."
                )


def blocks_of(batch: Any, first: int) -> Iterator[Block]:
    """The blocks of an Arrow batch with the columns id, domain, label, payload, and possibly time and error (text).

    `first` is the position of its first row. RefusedObjectError for names that are none.
    """
    payloads = batch.column("payload")
    yield from _runs(batch, first, _shapes(payloads), lambda at, rows: _values(payloads.slice(at, rows)))


def blocks_of_images(batch: Any, first: int, images: Sequence[Payload | str]) -> Iterator[Block]:
    """The blocks of an Arrow batch as above, whose payload was decoded: (channels, pixels) of each row, or why not."""
    shapes = [image if isinstance(image, str) else (image.shape[0], image.shape[1]) for image in images]
    yield from _runs(batch, first, shapes, lambda at, rows: np.stack(images[at : at + rows]))


def _runs(batch: Any, first: int, shapes: list[Shape], values: Callable[[int, int], Payload]) -> Iterator[Block]:
    """Rows one after the other of one shape, whose numbers `values` gives; or with one fault."""
    positions = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
    # Before they are written out: a dictionary's long text can stand in every row.
    _refuse_long_texts({name: batch.column(name) for name in TEXTS})
    texts = {name: batch.column(name).cast(pa.string()) for name in TEXTS}
    times = seconds(batch.column("time")) if "time" in batch.schema.names else pa.nulls(len(positions), pa.float64())
    wrong = faults(times)
    if wrong is not None:
        # What is no time is said, and not kept.
        times = pc.if_else(pc.is_null(wrong), times, pa.scalar(None, pa.float64()))
    at = 0
    for shape, run in groupby(_faults(batch, shapes, wrong)):
        rows = len(list(run))
        place, id, domain, label, time = (column.slice(at, rows) for column in (positions, *texts.values(), times))
        if isinstance(shape, str):
            yield Block(place, id, domain, label, time, None, shape)
        else:
            yield Block(place, id, domain, label, time, values(at, rows).reshape(rows, *shape))
        at += rows


def _shapes(payloads: Any) -> list[Shape]:
    """(channels, time) of each payload, or the sentence why it is no signal."""
    wrong = payloads.type.value_type.value_type
    if not pa.types.is_floating(wrong):
        return [f"The payload holds {shown(wrong)}, not floats: write list<list<float>>."] * len(payloads)
    counts = pc.list_value_length(payloads)
    channels = payloads.flatten()
    lengths = pc.list_value_length(channels)
    per_row = counts.drop_null().to_numpy(zero_copy_only=False)
    if not counts.null_count and not lengths.null_count and len(lengths):
        steps = lengths.to_numpy(zero_copy_only=False)
        if per_row.min() == per_row.max() and steps.min() == steps.max():
            return [(int(per_row[0]), int(steps[0]))] * len(payloads)
    known, at, shapes = lengths.to_pylist(), 0, list[Shape]()
    for count in counts.to_pylist():
        shapes.append(_shape(count, known[at : at + (count or 0)]))
        at += count or 0
    return shapes


def _shape(channels: int | None, lengths: list[int | None]) -> Shape:
    if channels is None:
        return "The payload is null: deliver the recording, or leave the row out."
    if channels == 0:
        return "The payload has no channels: deliver the recording, or leave the row out."
    known = sorted({length for length in lengths if length is not None})
    if None in lengths:
        return f"The payload has {lengths.count(None)} channels that are null: deliver all channels."
    if len(known) > 1:
        return f"The channels have from {known[0]} to {known[-1]} time steps: deliver equally long channels."
    return channels, known[0]


def _values(payloads: Any) -> Payload:
    """All numbers as float32; a null becomes NaN, which a row rule catches."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = payloads.flatten().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(numbers.astype("<f4", copy=False))


def _faults(batch: Any, shapes: list[Shape], of_times: Any) -> list[Shape]:
    """The shapes, where a row has no other fault that is known already."""
    if of_times is not None:
        shapes = [shape if fault is None else fault for shape, fault in zip(shapes, of_times.to_pylist(), strict=True)]
    if "error" in batch.schema.names:
        known = batch.column("error").to_pylist()
        shapes = [shape if fault is None else fault for shape, fault in zip(shapes, known, strict=True)]
    return shapes


def is_text(kind: Any) -> bool:
    """Whether a column of this Arrow type holds names."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_list(kind: Any) -> bool:
    """Whether a column of this Arrow type holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def shown(kind: Any) -> str:
    """An Arrow type, shortened."""
    if pa.types.is_dictionary(kind):
        # How it was read, not what it is.
        return shown(kind.value_type)
    text = str(kind)
    return text if len(text) <= 60 else f"{text[:60]}…"
