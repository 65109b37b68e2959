"""What benchmarks of training share: rows by domain, a fixed sample of architectures, and a line for each training."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from evernas.config import SupernetConfig
from evernas.digest import digest_value, short
from evernas.spaces import Architecture, ConvolutionalSpace

ROOT = Path(__file__).parents[1]
MOST = 200
"""Architectures of the fixed sample."""
TASKS = 50
"""After so many a process is replaced by a new one."""
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


@dataclass(frozen=True)
class Rows:
    """Samples of some domains."""

    x: Any
    y: Any
    domains: Any
    ids: Any

    def of(self, domains: Sequence[str]) -> Rows:
        mine = np.isin(self.domains, list(domains))
        return Rows(self.x[mine], self.y[mine], self.domains[mine], self.ids[mine])

    def every(self, step: int) -> Rows:
        """One in so many."""
        return Rows(self.x[::step], self.y[::step], self.domains[::step], self.ids[::step])


def watch_rows(document: dict[str, Any]) -> Rows:
    """Every window of every person of the watch example."""
    from watch import all_windows

    windows = all_windows(document)
    return Rows(windows.x, windows.y, windows.people, windows.people)


def digit_rows(document: dict[str, Any]) -> Rows:
    """Every image of the digits example."""
    images = runpy.run_path(str(ROOT / "examples" / "digits" / "deliver.py"))["images"]()
    labels = document["data"]["labels"]
    return Rows(
        np.stack([image["payload"] for image in images]).astype(np.float32)[:, None],
        np.array([labels.index(image["label"]) for image in images]),
        np.array([image["domain"] for image in images]),
        np.array([image["id"] for image in images]),
    )


def training_data(rows: Rows) -> Any:
    """The rows as training takes them."""
    from evernas.supernet import TrainingData

    return TrainingData(rows.x, rows.y, rows.domains, rows.ids)


def errors(network: Any, rows: Rows) -> dict[str, float]:
    """Share of wrong answers by domain."""
    from evernas.supernet import predict

    wrong = predict(network, rows.x).argmax(1) != rows.y
    return {str(domain): float(wrong[rows.domains == domain].mean()) for domain in np.unique(rows.domains)}


@cache
def spread_architectures(space: ConvolutionalSpace) -> list[Architecture]:
    """A fixed sequence: of many random ones by their multiply-accumulates, the halves' halves first.

    However many of the first are taken, they are spread evenly over what the space draws.
    """
    rng = np.random.default_rng(0)
    drawn = {space.random(rng) for _ in range(20 * MOST)}
    ranked = sorted(drawn, key=lambda arch: (space.macs(arch), arch.genes))
    places = [int(_reflected(n) * len(ranked)) for n in range(16 * MOST)]
    return [ranked[place] for place in dict.fromkeys(places)]


def _reflected(number: int) -> float:
    """The van der Corput sequence."""
    bits = f"{number:b}"[::-1]
    return sum(int(bit) / 2 ** (place + 1) for place, bit in enumerate(bits))


def settings(config: SupernetConfig, *without: str) -> dict[str, Any]:
    """What a training's weights depend on."""
    return config.model_dump(mode="json", exclude={"threads", "processes", "checkpoint_every", "device", *without})


def file_of(folder: Path, name: str, parts: Sequence[Any], rows: Sequence[Rows]) -> Path:
    """Where trainings are kept: of the same settings and data, by the same version of torch."""
    of = [*parts, version("torch").partition("+")[0], *(training_data(some).digest for some in rows)]
    return folder / f"{name}-{short(digest_value(of))}.jsonl"


def kept(file: Path) -> dict[str, dict[str, Any]]:
    """What a file holds, by key. A line that a kill tore apart is as if it were not there."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        found[json.dumps(entry["key"])] = entry
    return found


def keep(file: Path, entry: dict[str, Any]) -> None:
    """Append a line in one write, so that workers need not wait for one another."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = f"{json.dumps(entry)}\n"
    torn = file.exists() and not file.read_bytes().endswith(b"\n")
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, f"\n{line}".encode() if torn else line.encode())
    finally:
        os.close(handle)


def each_done(work: Callable[[Any], None], wanted: Sequence[Any], workers: int, what: str) -> None:
    """Do the work for each that is wanted, in so many processes, until one fails.

    Each process is given so many and then ends. BrokenProcessPool if one of them is killed: a Pool of multiprocessing
    would wait for it for ever, and so would an executor that has to replace processes itself
    (github.com/python/cpython/issues/115634).
    """
    done = 0
    for first in range(0, len(wanted), TASKS * workers):
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            asked = [pool.submit(work, one) for one in wanted[first : first + TASKS * workers]]
            try:
                for each in as_completed(asked):
                    each.result()
                    done += 1
                    print(f"\r{what}: {done} of {len(wanted)}", end="", file=sys.stderr, flush=True)
            finally:
                pool.shutdown(cancel_futures=True)
    print(file=sys.stderr)


def written_between_marks(path: Path, measured: str) -> None:
    """Put what was measured between the marks of a page."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}", encoding="utf-8")
