"""Runs of searches on tables: recording those of peers once, reading them back, and running ours; no figures here."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from packaging.version import Version
from search_peers import MOST_PROPOSALS, PEERS, Referee, Spent, peer_version
from search_tables import Table

from evernas.search import Objective, create, hypervolume_curve
from evernas.spaces import Architecture, Categorical

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


def path(table: Table, peer: str, version: str) -> Path:
    """Where the runs of a peer on a table are kept: one line a seed."""
    return FOLDER / table.name / f"{_slug(peer)}-{version}-{table.digest}.jsonl"


def recorded(table: Table, peer: str) -> list[Trace]:
    """What was recorded of a peer, by seed, of its newest version that was. The peer need not be installed."""
    pattern = re.compile(rf"{_slug(peer)}-(\d[^-]*)-{table.digest}\.jsonl")
    versions = [found[1] for file in (FOLDER / table.name).glob("*.jsonl") if (found := pattern.fullmatch(file.name))]
    return _read(path(table, peer, max(versions, key=Version))) if versions else []


def _slug(peer: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", peer.lower()).strip("-")


def _read(file: Path) -> list[Trace]:
    """A file's runs by seed. A line that a kill tore apart is as if it were not there."""
    found: dict[int, Trace] = {}
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
        file = path(table, name, peer_version(name))
        if any(trace.seed == seed for trace in _read(file)):
            continue
        trace = run_peer(table, name, seed)
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


LEAST = 200
"""Evaluations that ours makes at least; beyond, it goes on until it has reached the target, or to the budget."""


def run_ours(table: Table, strategy: str, seed: int, told: bool = False, budget: int = BUDGET) -> Trace:
    """One run of ours, one architecture at a time; `told` gives it every cost but the first objective as a formula."""
    space = Categorical(table.ways)
    objectives = [table.objectives[0], *(_told(table, j) for j in range(1, len(table.objectives)))]
    search = create(strategy, space, objectives if told else table.objectives, seed)
    failed = {o.name: math.inf for o in table.objectives}
    begun, rows, seen, proposals = time.process_time(), [], set(), 0
    budget = min(budget, len(table.values))
    while len(rows) < budget and proposals < MOST_PROPOSALS * budget and (asked := search.ask(1)):
        proposals += 1
        row = table.rows.get(asked[0].genes)
        search.tell(asked[0], failed if row is None else table.told(row))
        if row is not None and row not in seen:
            seen.add(row)
            rows.append(row)
            if len(rows) >= LEAST and len(rows) % 10 == 0 and shares(table, rows)[-1] >= TARGET:
                break
    return Trace(seed, rows, time.process_time() - begun)


def _told(table: Table, column: int) -> Objective:
    worst = float(table.values[np.argmax(table.costs[:, column]), column])

    def formula(arch: Architecture) -> float:
        row = table.rows.get(arch.genes)
        return worst if row is None else float(table.values[row, column])

    objective = table.objectives[column]
    return Objective(objective.name, objective.direction, objective.unit, formula)


def kept_run(folder: Path, table: Table, strategy: str, seed: int, told: bool, budget: int) -> Trace:
    """A run of ours, read back if this very code has made it before, so that the benchmark can be interrupted."""
    name = f"{table.name}-{table.digest}-{strategy}{'-told' if told else ''}-{budget}-{seed}.json"
    file = folder / own_digest() / name
    if file.exists():
        return Trace(**json.loads(file.read_text()))
    trace = run_ours(table, strategy, seed, told, budget)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps({"seed": seed, "rows": trace.rows, "seconds": trace.seconds}))
    part.replace(file)
    return trace


def own_digest() -> str:
    """Over the source that decides what ours asks."""
    import evernas.search
    import evernas.spaces

    found = hashlib.sha256()
    for package in (evernas.search, evernas.spaces):
        for file in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            found.update(file.read_bytes())
    return found.hexdigest()[:12]
