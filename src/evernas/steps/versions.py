"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 5,
    "validate": 5,
    "supernet": 4,
    "profile": 5,
    "search": 5,
    "finalists": 5,
    "finetuned": 5,
    "benchmark": 5,
    "gate": 5,
    "promote": 5,
    "hold": 4,
    "report": 5,
}
