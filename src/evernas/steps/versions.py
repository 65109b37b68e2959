"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 3,
    "validate": 3,
    "supernet": 3,
    "profile": 3,
    "search": 3,
    "finalists": 3,
    "finetuned": 3,
    "benchmark": 3,
    "gate": 3,
    "promote": 2,
    "hold": 2,
    "report": 3,
}
