"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 2,
    "validate": 2,
    "supernet": 2,
    "profile": 2,
    "search": 3,
    "finalists": 4,
    "finetuned": 4,
    "benchmark": 4,
    "gate": 4,
    "promote": 4,
    "hold": 1,
    "report": 3,
}
