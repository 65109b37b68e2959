"""Search strategies on tables of evaluated architectures: ours, run now, beside recorded runs of other libraries.

    python benchmarks/search.py [--quick] [--json FILE] [--macro FILE] [--tables A,B] [--seeds N]
    python benchmarks/search.py --peers [--only 'NAME;NAME'] [--part I/N]

The figure is the share of the true front's hypervolume that a search has after so many evaluations, every objective
scaled from 0 to 1 over the whole table, reference point 1. `--peers` records the other libraries' runs anew under
benchmarks/traces/ (hours; it goes on where it stopped) and needs `pip install evernas[peers]`. Ours are kept in
.benchmarks/ until its code changes, so that an interrupted measurement goes on too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

# One core each: that is what the overhead is stated for.
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")

import numpy as np  # noqa: E402
from search_figures import CHECKS, OURS, Row, behind, blind_peers, plot, ratio, row, table_text  # noqa: E402
from search_peers import PEERS  # noqa: E402
from search_tables import GRAPH_TABLES, Table, load  # noqa: E402
from search_traces import BUDGET, kept_run, record, recorded  # noqa: E402

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".benchmarks" / "search"
PLOT = ROOT / "docs" / "benchmarks" / "search.svg"
PAGE = ROOT / "docs" / "benchmarks" / "search.md"
METHODS = {
    "evernas surrogate": ("surrogate", False),
    "evernas surrogate, told": ("surrogate", True),
    "evernas nsga2": ("nsga2", False),
    "evernas reinforce": ("reinforce", False),
    "evernas local": ("local", False),
}
QUICK_TABLES, QUICK_SEEDS, QUICK_BUDGET = "proteins", 2, 60


def main() -> None:
    """Parse the arguments, measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small table, two seeds, few evaluations")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--macro", type=Path, help="the table of NAS-Bench-Macro, .csv.gz; without it, it is left out")
    parser.add_argument("--tables", help="which tables, by commas; all by default")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--page", action="store_true", help="write the table and the plot into docs/benchmarks/")
    parser.add_argument("--peers", action="store_true", help="record the peers' runs")
    parser.add_argument("--only", help="with --peers: which of them, by semicolons")
    parser.add_argument("--part", default="0/1", help="with --peers: this process's share of the work, as I/N")
    arguments = parser.parse_args()
    names = arguments.tables or (QUICK_TABLES if arguments.quick else ",".join(("macro", *GRAPH_TABLES)))
    tables = list(load(names.split(","), arguments.macro))
    if arguments.peers:
        part, parts = map(int, arguments.part.split("/"))
        peers = list(PEERS) if arguments.only is None else arguments.only.split(";")
        for line in record(tables, peers, arguments.seeds, (part, parts)):
            print(line, flush=True)
        return
    seeds, budget = (QUICK_SEEDS, QUICK_BUDGET) if arguments.quick else (arguments.seeds, BUDGET)
    rows = measure(tables, seeds, budget)
    text = summary(rows)
    print(table_text(rows), text, sep="\n\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({**figures(rows), **machine()}, indent=1))
    if arguments.page:
        write_page(rows, text)


def measure(tables: list[Table], seeds: int, budget: int) -> list[Row]:
    """Ours now, on as many processes as there are cores for us; the peers from their records."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    jobs = [(table, method, seed) for seed in range(seeds) for table in tables for method in METHODS]
    with ProcessPoolExecutor(max_workers=len(cores)) as pool:
        waiting = {
            (table.name, method, seed): pool.submit(kept_run, KEPT, table, *_strategy(method, seed), budget)
            for table, method, seed in jobs
        }
        done = {key: future.result() for key, future in waiting.items()}
    rows = []
    for table in tables:
        for method in METHODS:
            rows.append(row(table, method, [done[table.name, method, seed] for seed in range(seeds)]))
        rows += [row(table, peer, traces) for peer in PEERS if (traces := recorded(table, peer))]
    return rows


def _strategy(method: str, seed: int) -> tuple[str, int, bool]:
    name, told = METHODS[method]
    return name, seed, told


def summary(rows: list[Row]) -> str:
    """The comparison in a few lines."""
    peers, lines = blind_peers(rows), []
    for ours, told in OURS.items():
        against = {"the best blind peer": peers}
        if told:
            against["qLogNEHVI told the same"] = [name for name in PEERS if name.endswith("told")]
        for what, those in against.items():
            found = ratio(rows, ours, those)
            if found:
                each = ", ".join(f"{table} {value:.2f}" for table, (value, _) in found.items())
                middle = float(np.median([value for value, _ in found.values()]))
                lines.append(f"{ours}: evaluations to 99 % over those of {what}: median {middle:.2f} ({each})")
    where = behind(rows, "evernas surrogate", peers)
    lines.append("evernas surrogate is behind: " + ("; ".join(where) if where else "nowhere, at 50, 100 or 200"))
    return "\n".join(lines)


def figures(rows: list[Row]) -> dict[str, float]:
    """Every figure under a plain name."""
    found: dict[str, float] = {}
    for r in rows:
        name = f"{r.table}.{r.method}".replace(" ", "_").replace(",", "")
        found |= {f"{name}.seeds": len(r.seeds), f"{name}.to_99": r.median, f"{name}.reached_99": r.reached}
        found |= {f"{name}.share_at_{n}": float(np.median(r.at[n])) for n in CHECKS if n in r.at}
        found[f"{name}.overhead_ms"] = r.milliseconds
    for ours in OURS:
        values = [value for value, _ in ratio(rows, ours, blind_peers(rows)).values()]
        if values:
            found[f"{ours.replace(' ', '_').replace(',', '')}.ratio_to_best_blind_peer"] = float(np.median(values))
    return found


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "evernas": version("evernas"),
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }


def write_page(rows: list[Row], text: str) -> None:
    """Put the table and the summary between the page's marks, and the plot beside it."""
    begin, end = "<!-- figures -->", "<!-- end of figures -->"
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(begin)[0], page.split(end)[1]
    on = " ".join(f"{name} {value}," for name, value in machine().items()).rstrip(",")
    PAGE.write_text(f"{before}{begin}\n{table_text(rows)}\n\n{text}\n\nOn {on}.\n{end}{after}", encoding="utf-8")
    plot([r for r in rows if r.method in PEERS or r.method in OURS], PLOT)


if __name__ == "__main__":
    main()
