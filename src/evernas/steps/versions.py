"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 4,
    "validate": 4,
    "supernet": 4,
    "profile": 4,
    "search": 4,
    "finalists": 4,
    "finetuned": 4,
    "benchmark": 4,
    "gate": 4,
    "promote": 4,
    "hold": 4,
    "report": 4,
}
