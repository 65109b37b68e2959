"""The version of each step, raised by hand when what it computes changes: old results are then not taken."""

from __future__ import annotations

VERSIONS = {
    "ingest": 12,
    "validate": 12,
    "supernet": 12,
    "profile": 12,
    "search": 12,
    "probe": 2,
    "refine": 2,
    "finalists": 12,
    "finetuned": 12,
    "quantised": 6,
    "benchmark": 12,
    "gate": 12,
    "promote": 12,
    "hold": 12,
    "report": 12,
}
