"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 11,
    "validate": 11,
    "supernet": 12,
    "profile": 11,
    "search": 12,
    "probe": 2,
    "refine": 2,
    "finalists": 11,
    "finetuned": 11,
    "quantised": 5,
    "benchmark": 11,
    "gate": 11,
    "promote": 11,
    "hold": 11,
    "report": 11,
}
