"""What the receiver of events sustains and survives: load, kills, redeliveries and fuzzed bodies, on both databases.

    python benchmarks/triggers.py [--quick] [--json FILE] [--only PART …] [--repeat N] [--rate R] [--seconds S]

Receiver and load generator are processes of their own on the same machine. Durability is whole: SQLite in WAL mode with
synchronous=FULL, PostgreSQL with its defaults, fsync and synchronous_commit on. Latency counts from the moment that an
event was due. On a machine that does other work the load averages are part of the result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import triggers_parts as parts

KINDS = ["sqlite", "postgresql"]


def plan(asked: argparse.Namespace) -> dict[str, Callable[[], dict[str, float]]]:
    """The parts by name; the quick ones are the same with fewer events."""
    quick = asked.quick
    rate, seconds = (150.0, 2.0) if quick else (asked.rate, asked.seconds)
    load = {
        f"load_{kind}_{turn}": (lambda kind=kind: parts.load(kind, rate, seconds))
        for kind in KINDS
        for turn in range(1 if quick else asked.repeat)
    }
    hits = [("sqlite", "server"), ("postgresql", "server"), ("postgresql", "database")]
    kills = {
        f"kill_{what}_{kind}": (
            lambda kind=kind, what=what: parts.killed(kind, what, 100 if quick else 400, 4 if quick else 24)
        )
        for kind, what in (hits[-1:] if quick else hits)
    }
    return {
        **load,
        **kills,
        "redeliveries": lambda: parts.redeliveries(*((20, 300) if quick else (100, 10_000))),
        "fuzz": lambda: parts.fuzzed(400 if quick else 100_000),
        "kill_points": lambda: parts.kill_points(KINDS[:1] if quick else KINDS, 1 if quick else None),
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """All figures for a person."""
    lines = []
    for part, figures in results.items():
        shown = ", ".join(f"{name} {value:,.2f}".removesuffix(".00") for name, value in figures.items())
        lines.append(f"{part:<24} {shown}")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What it ran on."""
    versions = {f"version_{name}": version(name) for name in ("uvicorn", "fastapi", "sqlalchemy", "psycopg", "evernas")}
    cpu = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    return {
        "processor": cpu or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **versions,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], help="Parts whose names start so.")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for name, part in plan(asked).items():
        if name.startswith(tuple(asked.only)):
            results[name] = part()
            print(table({name: results[name]}), flush=True)
    flat = {f"{part}.{name}": value for part, figures in results.items() for name, value in figures.items()}
    if asked.json:
        asked.json.write_text(json.dumps({**flat, **machine(), "quick": asked.quick}, indent=1) + "\n")


if __name__ == "__main__":
    main()
