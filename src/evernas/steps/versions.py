"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 10,
    "validate": 10,
    "supernet": 10,
    "profile": 10,
    "search": 10,
    "finalists": 10,
    "finetuned": 10,
    "quantised": 4,
    "benchmark": 10,
    "gate": 10,
    "promote": 10,
    "hold": 10,
    "report": 10,
}
