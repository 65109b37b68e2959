"""Tables of evaluated architectures that a search is measured on: their values, and how genes find them; no search."""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evernas.search import Objective, hypervolume, nondominated

GRAPH_TABLES = ("cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers", "arxiv", "proteins")
GRAPH_OBJECTIVES = (Objective("accuracy", "max"), Objective("latency"), Objective("parameters"))
MACRO_OBJECTIVES = (Objective("accuracy", "max"), Objective("flops"), Objective("parameters"))
Genes = tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """Every architecture of a space with its values.

    `rows` maps genes to the row of the architecture that they stand for; genes of equivalent architectures share a
    row, and genes that the table lacks are not in it. `values` is (rows, objectives), as published.
    """

    name: str
    ways: tuple[int, ...]
    objectives: tuple[Objective, ...]
    rows: dict[Genes, int]
    values: np.ndarray

    @cached_property
    def digest(self) -> str:
        """Sixteen digits over genes, rows and values: a recorded curve is of one table only."""
        found = hashlib.sha256(repr((self.ways, [o.name for o in self.objectives])).encode())
        found.update(np.array([[*genes, row] for genes, row in sorted(self.rows.items())], dtype="<i8").tobytes())
        found.update(self.values.astype("<f8").tobytes())
        return found.hexdigest()[:16]

    @cached_property
    def costs(self) -> np.ndarray:
        """The values with every column to be made small, (rows, objectives)."""
        return self.values * np.array([1.0 if o.direction == "min" else -1.0 for o in self.objectives])

    @cached_property
    def scaled(self) -> np.ndarray:
        """The costs from 0 to 1 over the whole table; only the referee sees these."""
        low, high = self.costs.min(axis=0), self.costs.max(axis=0)
        return (self.costs - low) / np.where(high > low, high - low, 1.0)

    @cached_property
    def full(self) -> float:
        """Hypervolume of the true front, reference 1 in every objective."""
        front = self.scaled[nondominated(self.scaled)]
        return hypervolume(front, np.ones(front.shape[1]))

    def told(self, row: int) -> dict[str, float]:
        """The values of a row by name, as a strategy is told them."""
        return {o.name: float(v) for o, v in zip(self.objectives, self.values[row], strict=True)}


def load(names: list[str], macro: Path | None) -> Iterator[Table]:
    """The tables by name: `macro`, read from the path, or a data set of nas-bench-graph."""
    for name in names:
        if name != "macro":
            yield graph_table(name)
        elif macro is not None:
            yield macro_table(macro)


def graph_table(dataset: str) -> Table:
    """A data set of NAS-Bench-Graph (Qin et al. 2022): a link structure and four operations, by its own hash."""
    from nas_bench_graph import Arch, light_read
    from nas_bench_graph.architecture import gnn_list, gnn_list_proteins, link_list

    bench = light_read(dataset)
    operations = gnn_list_proteins if dataset == "proteins" else gnn_list
    ways = (len(link_list), *[len(operations)] * 4)

    def key(genes: Genes) -> int:
        return Arch(list(link_list[genes[0]]), [operations[i] for i in genes[1:]]).valid_hash()

    found = {
        code: (float(entry["valid_perf"]), float(entry["latency"]), float(entry["para"]))
        for code, entry in bench.items()
    }
    return _table(f"graph-{dataset}", ways, GRAPH_OBJECTIVES, found, key)


def macro_table(path: Path) -> Table:
    """NAS-Bench-Macro (Su et al. 2021): eight layers of three operations, mean of three trainings."""
    with gzip.open(path, "rt") as text:
        found = {
            row["arch"]: (float(row["mean_acc"]), float(row["flops"]), float(row["params"]))
            for row in csv.DictReader(text)
        }
    return _table("macro", (3,) * 8, MACRO_OBJECTIVES, found, lambda genes: "".join(map(str, genes)))


def _table(
    name: str,
    ways: tuple[int, ...],
    objectives: tuple[Objective, ...],
    found: dict[Any, tuple[float, ...]],
    key: Callable[[Genes], Any],
) -> Table:
    numbers = {code: row for row, code in enumerate(found)}
    rows = {}
    for genes in itertools.product(*map(range, ways)):
        row = numbers.get(key(genes))
        if row is not None:
            rows[genes] = row
    return Table(name, ways, objectives, rows, np.array(list(found.values()), dtype=np.float64))
