"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 7,
    "validate": 7,
    "supernet": 7,
    "profile": 7,
    "search": 7,
    "finalists": 7,
    "finetuned": 7,
    "quantised": 1,
    "benchmark": 7,
    "gate": 7,
    "promote": 7,
    "hold": 7,
    "report": 7,
}
