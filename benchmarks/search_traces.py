"""Runs of searches on tables: recording those of peers once, reading them back, and running ours; no figures here."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from search_peers import PEERS, Referee, Spent, peer_version
from search_tables import Table

from evernas.search import hypervolume_curve

FOLDER = Path(__file__).with_name("traces")
TARGET = 0.99
BUDGET = 400


@dataclass(frozen=True)
class Trace:
    """One run: the table's rows in the order they were evaluated, each once, and the seconds the search itself took."""

    seed: int
    rows: list[int]
    seconds: float


def shares(table: Table, rows: list[int]) -> np.ndarray:
    """The share of the true front's hypervolume after each evaluation."""
    return np.array(hypervolume_curve(table.scaled[rows], np.ones(table.scaled.shape[1]))) / table.full


def path(table: Table, peer: str) -> Path:
    """Where the runs of a peer on a table are kept: one line a seed."""
    slug = re.sub(r"[^a-z0-9]+", "-", peer.lower()).strip("-")
    return FOLDER / table.name / f"{slug}-{peer_version(peer)}-{table.digest}.jsonl"


def recorded(table: Table, peer: str) -> list[Trace]:
    """What was recorded of a peer, by seed. A line that a kill tore apart is as if it were not there."""
    found = {}
    file = path(table, peer)
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            trace = Trace(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found.setdefault(trace.seed, trace)
    return [found[seed] for seed in sorted(found)]


def record(tables: list[Table], names: list[str], most_seeds: int, part: tuple[int, int]) -> Iterator[str]:
    """Run what is not recorded yet, all tables with one seed before any with the next; `part` (i, n) does each n-th."""
    jobs = [
        (seed, table, name)
        for seed in range(max(PEERS[name].seeds for name in names))
        for table in tables
        for name in names
        if seed < min(PEERS[name].seeds, most_seeds)
    ]
    for seed, table, name in jobs[part[0] :: part[1]]:
        if any(trace.seed == seed for trace in recorded(table, name)):
            continue
        trace = run_peer(table, name, seed)
        file = path(table, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as out:
            # After a line that was torn apart, a new one must begin.
            out.write("\n" if file.stat().st_size and not file.read_bytes().endswith(b"\n") else "")
            out.write(json.dumps({"seed": seed, "rows": trace.rows, "seconds": round(trace.seconds, 1)}) + "\n")
        yield f"{table.name}: {name}, seed {seed}: {len(trace.rows)} evaluations in {trace.seconds:.0f} s"


def run_peer(table: Table, name: str, seed: int) -> Trace:
    """One run of a peer. One that is stopped at the target ends there; all others use their budget."""
    peer = PEERS[name]

    def reached(rows: list[int]) -> bool:
        return peer.stops and len(rows) > 0 and bool(shares(table, rows)[-1] >= TARGET)

    referee = Referee(table, peer.budget, reached)
    begun = time.perf_counter()
    with suppress(Spent):
        peer.search(referee, seed)
    return Trace(seed, referee.order, time.perf_counter() - begun)
