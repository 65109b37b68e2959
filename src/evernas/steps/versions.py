"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 2,
    "validate": 2,
    "supernet": 2,
    "profile": 2,
    "search": 2,
    "finalists": 3,
    "finetuned": 3,
    "benchmark": 3,
    "gate": 3,
    "promote": 2,
    "hold": 1,
    "report": 2,
}
