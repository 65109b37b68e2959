"""Sections that make any example small: all of the loop, in seconds."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "supernet": {"steps": 60, "warm_steps": 40, "checkpoint_every": 10, "threads": 1, "calibration_batches": 2},
    "search": {"evaluations": 16, "batch": 8},
    "finalists": {"count": 2, "steps": 10},
    "profile": {"subnets": 14, "seconds": 1.0},
    "benchmark": {
        "restarts": 2,
        "seconds": 0.05,
        "warmup_seconds": 0.02,
        "max_variation": 5.0,
        "min_cpu_share": 0,
        "cold_starts": 1,
        "load_clients": [2],
        "load_windows": 1,
    },
    "gate": {"max_error": 0.9},
}
