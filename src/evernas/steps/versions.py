"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 9,
    "validate": 9,
    "supernet": 9,
    "profile": 9,
    "search": 9,
    "finalists": 9,
    "finetuned": 9,
    "quantised": 3,
    "benchmark": 9,
    "gate": 9,
    "promote": 9,
    "hold": 9,
    "report": 9,
}
