"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 6,
    "validate": 6,
    "supernet": 6,
    "profile": 6,
    "search": 6,
    "finalists": 6,
    "finetuned": 6,
    "benchmark": 6,
    "gate": 6,
    "promote": 6,
    "hold": 6,
    "report": 6,
}
