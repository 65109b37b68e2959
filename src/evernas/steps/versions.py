"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 3,
    "validate": 3,
    "supernet": 3,
    "profile": 3,
    "search": 4,
    "finalists": 4,
    "finetuned": 4,
    "benchmark": 3,
    "gate": 4,
    "promote": 3,
    "hold": 2,
    "report": 4,
}
