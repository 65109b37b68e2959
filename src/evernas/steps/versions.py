"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 8,
    "validate": 8,
    "supernet": 8,
    "profile": 8,
    "search": 8,
    "finalists": 8,
    "finetuned": 8,
    "quantised": 2,
    "benchmark": 8,
    "gate": 8,
    "promote": 8,
    "hold": 8,
    "report": 8,
}
