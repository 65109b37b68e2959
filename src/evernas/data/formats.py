"""Which reader an object's name asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from evernas.config import ImageConfig
from evernas.data import csv, jsonl, npz, parquet
from evernas.data.blocks import Block
from evernas.data.source import RefusedObjectError

_READERS = {
    ".parquet": parquet.read_blocks,
    ".npz": npz.read_blocks,
    ".jsonl": jsonl.read_blocks,
    ".csv": csv.read_blocks,
}


_IMAGE_READERS = {".parquet": parquet.read_images, ".npz": npz.read_images}


def read_blocks(name: str, file: BinaryIO, image: ImageConfig | None = None) -> Iterator[Block]:
    """The recordings, or where `image` says what they are the images, of an open object in its order.

    RefusedObjectError for one that has none.
    """
    suffix = PurePosixPath(name).suffix
    if image is None:
        return _READERS[suffix](file)
    if suffix not in _IMAGE_READERS:
        raise RefusedObjectError(f"Images are not read from {suffix} files: write Parquet, or npz.")
    return _IMAGE_READERS[suffix](file, image)
