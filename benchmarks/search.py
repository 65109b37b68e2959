"""Search strategies on tables of evaluated architectures: ours, run now, beside recorded runs of other libraries.

    python benchmarks/search.py [--quick] [--json FILE] [--macro FILE] [--tables A,B] [--seeds N] [--peers]

`--peers` records the other libraries' runs under benchmarks/traces/ (hours; it goes on where it stopped) and needs
`pip install evernas[peers]`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from search_peers import PEERS
from search_tables import GRAPH_TABLES, load
from search_traces import record


def main() -> None:
    """Parse the arguments, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--macro", type=Path, help="the table of NAS-Bench-Macro, .csv.gz; without it, it is left out")
    parser.add_argument("--tables", default=",".join(("macro", *GRAPH_TABLES)))
    parser.add_argument("--peers", action="store_true", help="record the peers' runs")
    parser.add_argument("--only", default=",".join(PEERS), help="with --peers: which of them")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--part", default="0/1", help="with --peers: this process's share of the work, as I/N")
    arguments = parser.parse_args()
    tables = list(load(arguments.tables.split(","), arguments.macro))
    if arguments.peers:
        part, parts = map(int, arguments.part.split("/"))
        # Names hold commas themselves, so they are parted by semicolons.
        names = [name for name in PEERS if name in arguments.only.split(";") or arguments.only == ",".join(PEERS)]
        for line in record(tables, names, arguments.seeds, (part, parts)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
