"""Snapshots of data: taking in increments and loading samples; which rows are good is validation's to say."""

from evernas.data.manifest import Manifest, ObjectEntry
from evernas.data.opening import open_source
from evernas.data.samples import Samples, load_rows, load_split
from evernas.data.snapshot import Snapshot, ingest, open_snapshot, pending, unchanged
from evernas.data.source import Source
from evernas.data.splits import Split, split_of

__all__ = [
    "Manifest",
    "ObjectEntry",
    "Samples",
    "Snapshot",
    "Source",
    "Split",
    "ingest",
    "load_rows",
    "load_split",
    "open_snapshot",
    "open_source",
    "pending",
    "split_of",
    "unchanged",
]
