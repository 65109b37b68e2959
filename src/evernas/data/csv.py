"""Reading recordings out of CSV as untrusted input: one time step a row, with id, domain, label and the channels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from evernas.data.blocks import TEXTS, Block, blocks_of
from evernas.data.source import RefusedObjectError
from evernas.data.windows import Payload

MAX_HEADER_BYTES = 2**16
MAX_BATCH_RECORDINGS = 1024
MAX_RECORDING_BYTES = 256 * 2**20
_BLOCK_BYTES = 2**20


@dataclass
class _Recording:
    """A recording under way: its names, its smallest time if there is one, and its steps (time, channels)."""

    names: tuple[str, str, str]
    time: float | None
    parts: list[Payload] = field(default_factory=list)
    bytes: int = 0

    def add(self, time: float | None, steps: Payload) -> None:
        """Its next steps; RefusedObjectError for a recording without end."""
        self.time = time if self.time is None or (time is not None and time < self.time) else self.time
        self.parts.append(steps)
        self.bytes += steps.nbytes
        if self.bytes > MAX_RECORDING_BYTES:
            raise RefusedObjectError(
                f"The recording {self.names[0]!r} has more than {MAX_RECORDING_BYTES} bytes: cut it."
            )


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """The recordings in file order: consecutive rows with the same id, domain and label are one.

    All columns but id, domain, label and time are channels, in their order. RefusedObjectError for a file that is no
    such table.
    """
    position = 0
    for recordings in _gathered(_recordings(file)):
        yield from blocks_of(_batch(recordings), position)
        position += len(recordings)
    if position == 0:
        raise RefusedObjectError("It has no rows: leave empty files out.")


def _gathered(recordings: Iterator[_Recording]) -> Iterator[list[_Recording]]:
    held, size = list[_Recording](), 0
    for recording in recordings:
        held.append(recording)
        size += recording.bytes
        if size >= _BLOCK_BYTES or len(held) >= MAX_BATCH_RECORDINGS:
            yield held
            held, size = [], 0
    if held:
        yield held


def _batch(recordings: list[_Recording]) -> Any:
    payloads = [np.concatenate(recording.parts).T for recording in recordings]
    channels = np.repeat([payload.shape[1] for payload in payloads], len(payloads[0]))
    inner = pa.ListArray.from_arrays(_offsets(channels), np.concatenate([payload.ravel() for payload in payloads]))
    columns = {name: [recording.names[index] for recording in recordings] for index, name in enumerate(TEXTS)}
    return pa.record_batch(
        {name: pa.array(column, pa.string()) for name, column in columns.items()}
        | {
            "payload": pa.ListArray.from_arrays(_offsets(np.full(len(payloads), len(payloads[0]))), inner),
            "time": pa.array([recording.time for recording in recordings], pa.float64()),
        }
    )


def _offsets(lengths: Any) -> Any:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def _recordings(file: BinaryIO) -> Iterator[_Recording]:
    channels, timed = _header(file)
    kinds = {**dict.fromkeys(TEXTS, pa.string()), **dict.fromkeys(channels, pa.float32()), "time": pa.float64()}
    current: _Recording | None = None
    try:
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            convert_options=pyarrow.csv.ConvertOptions(column_types=kinds),
        )
        if {*reader.schema.names} != {*TEXTS, *channels, *(["time"] if timed else [])}:
            raise RefusedObjectError("Its first line is no plain list of names: write them without commas in quotes.")
        for batch in reader:
            for names, time, steps in _runs(batch, channels, timed):
                if current is None or current.names != names:
                    if current is not None:
                        yield current
                    current = _Recording(names, time)
                current.add(time, steps)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise RefusedObjectError(f"It is no table of numbers ({what(error)}): write it again.") from None
    if current is not None:
        yield current


def what(error: Exception) -> str:
    """What Arrow found wrong with a CSV file, without the data that it quotes: that may be personal."""
    found = re.match(r"(?:In CSV column #\d+: )?(?:CSV parse error: )?(?:Row #\d+: )?[\w ,-]+", str(error))
    return found.group().strip(" ,") if found else "damaged"


def _header(file: BinaryIO) -> tuple[list[str], bool]:
    """The names of the channels, and whether there is a time; the file is left at its start."""
    line = file.readline(MAX_HEADER_BYTES)
    file.seek(0)
    try:
        names = [name.strip('"') for name in line.decode("utf-8-sig").rstrip("\r\n").split(",")]
    except UnicodeDecodeError:
        raise RefusedObjectError("Its first line is no UTF-8: write it again.") from None
    missing = [name for name in TEXTS if name not in names]
    if missing or len(set(names)) < len(names) or not line.endswith(b"\n"):
        raise RefusedObjectError(
            "Its first line does not name the columns id, domain, label and the channels, each once: write one row a "
            "time step."
        )
    channels = [name for name in names if name not in (*TEXTS, "time")]
    if not channels:
        raise RefusedObjectError("It has no column beside id, domain, label and time: add the channels.")
    return channels, "time" in names


def _runs(batch: Any, channels: list[str], timed: bool) -> Iterator[tuple[tuple[str, str, str], float | None, Payload]]:
    """Consecutive rows with the same names: the names, the smallest time, and the steps (time, channels)."""
    if batch.num_rows == 0:
        return
    texts = [batch.column(name) for name in TEXTS]
    codes = np.stack([text.dictionary_encode().indices.to_numpy(zero_copy_only=False) for text in texts])
    edges = [0, *(np.flatnonzero((codes[:, 1:] != codes[:, :-1]).any(axis=0)) + 1).tolist(), batch.num_rows]
    steps = np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in channels], axis=1)
    times = batch.column("time").to_numpy(zero_copy_only=False) if timed else None
    for first, last in pairwise(edges):
        names = (texts[0][first].as_py(), texts[1][first].as_py(), texts[2][first].as_py())
        time = None if times is None or np.isnan(times[first:last]).all() else float(np.nanmin(times[first:last]))
        yield names, time, steps[first:last].astype(np.float32)
