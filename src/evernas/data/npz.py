"""Reading recordings out of npz archives as untrusted input: never a pickle, never more than the header says."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from evernas.config import ImageConfig
from evernas.data.blocks import TEXTS, Block, blocks_of, blocks_of_images
from evernas.data.images import of_arrays
from evernas.data.source import RefusedObjectError

MAX_TEXT_ARRAY_BYTES = 64 * 2**20
MAX_ROW_BYTES = 256 * 2**20
MAX_MEMBERS = 64
_BATCH_BYTES = 4 * 2**20
# What zipfile, its decompressors and numpy's parser of headers raise for bytes that are none of theirs.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    EOFError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass
class _Array:
    """An array of an archive, which is read from its start, some rows at a time."""

    name: str
    file: Any
    shape: tuple[int, ...]
    dtype: Any

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * int(self.dtype.itemsize)

    def read(self, rows: int) -> Any:
        """The next rows; RefusedObjectError if the archive ends before."""
        data = self.file.read(rows * self.row_bytes)
        if len(data) != rows * self.row_bytes:
            raise RefusedObjectError(f"Its array {self.name!r} ends too early: write it again.")
        return np.frombuffer(data, self.dtype).reshape((rows, *self.shape[1:]))


def read_blocks(file: BinaryIO) -> Iterator[Block]:
    """The recordings of an npz archive with the arrays id, domain, label (n) and payload (n, channels, time).

    The payload is read some rows at a time. RefusedObjectError for an archive that has no such arrays.
    """
    return _read(file, (3,), "(recordings, channels, time)", _signals)


def read_images(file: BinaryIO, image: ImageConfig) -> Iterator[Block]:
    """The images of an npz archive: as above, the payload (n, height, width) or (n, height, width, channels)."""

    def blocks(columns: dict[str, Any], payload: Any, first: int) -> Iterator[Block]:
        yield from blocks_of_images(pa.record_batch(columns), first, list(of_arrays(payload, image)))

    return _read(file, (3, 4), "(images, height, width) or (images, height, width, channels)", blocks)


def _read(
    file: BinaryIO,
    dimensions: tuple[int, ...],
    wanted: str,
    blocks: Callable[[dict[str, Any], Any, int], Iterator[Block]],
) -> Iterator[Block]:
    try:
        with zipfile.ZipFile(file) as archive, ExitStack() as opened:
            yield from _blocks(_arrays(archive, opened, dimensions, wanted), blocks)
    except _DAMAGE:
        raise RefusedObjectError("It is no whole npz archive (truncated or damaged): write it again.") from None


def _signals(columns: dict[str, Any], payload: Any, first: int) -> Iterator[Block]:
    yield from blocks_of(pa.record_batch({**columns, "payload": _lists(payload)}), first)


def _blocks(
    arrays: dict[str, _Array], blocks: Callable[[dict[str, Any], Any, int], Iterator[Block]]
) -> Iterator[Block]:
    payload = arrays["payload"]
    rows = payload.shape[0]
    columns = {name: array.read(rows) for name, array in arrays.items() if name != "payload"}
    at_once = max(1, _BATCH_BYTES // max(1, payload.row_bytes))
    for first in range(0, rows, at_once):
        n = min(at_once, rows - first)
        held = {name: _column(column[first : first + n]) for name, column in columns.items()}
        yield from blocks(held, payload.read(n), first)


def _arrays(archive: zipfile.ZipFile, opened: ExitStack, dimensions: tuple[int, ...], wanted: str) -> dict[str, _Array]:
    members = archive.namelist()
    if len(members) > MAX_MEMBERS or len(set(members)) < len(members):
        raise RefusedObjectError(f"It has {len(members)} arrays, or one twice: write id, domain, label and payload.")
    missing = [name for name in (*TEXTS, "payload") if f"{name}.npy" not in members]
    if missing:
        raise RefusedObjectError(f"It has no array {missing[0]!r}: write id, domain, label and payload.")
    names = [*TEXTS, *(["time"] if "time.npy" in members else []), "payload"]
    arrays = {name: _array(name, opened.enter_context(archive.open(f"{name}.npy"))) for name in names}
    payload = arrays["payload"]
    if len(payload.shape) not in dimensions or payload.dtype.kind not in "fiu":
        raise RefusedObjectError(
            f"Its payload is {payload.dtype} of {len(payload.shape)} dimensions: write numbers as {wanted}."
        )
    if payload.row_bytes > MAX_ROW_BYTES or payload.row_bytes == 0:
        raise RefusedObjectError(
            f"One recording of its payload has {payload.row_bytes} bytes: write from 1 to {MAX_ROW_BYTES}."
        )
    for name, array in arrays.items():
        if array.shape[0] != payload.shape[0] or (name != "payload" and len(array.shape) != 1):
            raise RefusedObjectError(f"Its array {name!r} has the shape {array.shape}: write one entry a recording.")
        if name in TEXTS and array.dtype.kind != "U":
            raise RefusedObjectError(f"Its array {name!r} is {array.dtype}: write it as text (np.str_).")
        if name == "time" and array.dtype.kind not in "fiu":
            raise RefusedObjectError(f"Its array 'time' is {array.dtype}: write numbers, seconds since 1970.")
        if name != "payload" and array.shape[0] * array.row_bytes > MAX_TEXT_ARRAY_BYTES:
            raise RefusedObjectError(
                f"Its array {name!r} has more than {MAX_TEXT_ARRAY_BYTES} bytes: write less a file."
            )
    if payload.shape[0] == 0:
        raise RefusedObjectError("It has no rows: leave empty files out.")
    return arrays


def _array(name: str, file: Any) -> _Array:
    """The array whose header starts the file. What the header says is checked before anything is allocated."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise RefusedObjectError(f"Its array {name!r} holds pickled objects, which are never read: write plain arrays.")
    if fortran and len(shape) > 1:
        raise RefusedObjectError(f"Its array {name!r} is in Fortran's order: write np.ascontiguousarray of it.")
    if not shape or min(shape) < 0:
        raise RefusedObjectError(f"Its array {name!r} has the shape {shape}: write one entry a recording.")
    return _Array(name, file, tuple(int(size) for size in shape), dtype)


def _column(values: Any) -> Any:
    return pa.array(values.tolist(), pa.string()) if values.dtype.kind == "U" else pa.array(values.astype(np.float64))


def _lists(payload: Any) -> Any:
    """(n, channels, time) as lists of lists."""
    _, channels, steps = payload.shape
    native = payload.astype(payload.dtype.newbyteorder("="), copy=False)
    inner = pa.FixedSizeListArray.from_arrays(pa.array(native.ravel()), steps)
    return pa.FixedSizeListArray.from_arrays(inner, channels)
