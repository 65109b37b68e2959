"""Which reader an object's name asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from evernas.config import ImageConfig, SampleConfig, SignalConfig
from evernas.data import csv, jsonl, npz, parquet, texts
from evernas.data.blocks import Block
from evernas.data.source import RefusedObjectError

_READERS = {
    ".parquet": parquet.read_blocks,
    ".npz": npz.read_blocks,
    ".jsonl": jsonl.read_blocks,
    ".csv": csv.read_blocks,
}


_IMAGE_READERS = {".parquet": parquet.read_images, ".npz": npz.read_images}


_TEXT_READERS = {".parquet": texts.read_parquet, ".jsonl": texts.read_jsonl, ".csv": texts.read_csv}


def read_blocks(name: str, file: BinaryIO, sample: SampleConfig | None = None) -> Iterator[Block]:
    """The recordings, or where `sample` says what they are the images or texts, of an open object in its order.

    RefusedObjectError for one that has none.
    """
    suffix = PurePosixPath(name).suffix
    if sample is None or isinstance(sample, SignalConfig):
        return _READERS[suffix](file)
    if isinstance(sample, ImageConfig):
        if suffix not in _IMAGE_READERS:
            raise RefusedObjectError(f"Images are not read from {suffix} files: write Parquet, or npz.")
        return _IMAGE_READERS[suffix](file, sample)
    if suffix not in _TEXT_READERS:
        raise RefusedObjectError(f"Texts are not read from {suffix} files: write Parquet, JSON lines or CSV.")
    return _TEXT_READERS[suffix](file, sample)
