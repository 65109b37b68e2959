"""Which reader an object's name asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from evernas.data import csv, jsonl, npz, parquet
from evernas.data.blocks import Block

_READERS = {
    ".parquet": parquet.read_blocks,
    ".npz": npz.read_blocks,
    ".jsonl": jsonl.read_blocks,
    ".csv": csv.read_blocks,
}


def read_blocks(name: str, file: BinaryIO) -> Iterator[Block]:
    """The recordings of an open object in its order. RefusedObjectError for one that has none."""
    return _READERS[PurePosixPath(name).suffix](file)
