"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 1,
    "validate": 1,
    "supernet": 1,
    "profile": 1,
    "search": 1,
    "finalists": 2,
    "finetuned": 2,
    "benchmark": 1,
    "gate": 2,
    "promote": 1,
    "hold": 1,
    "report": 2,
}
