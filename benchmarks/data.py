"""How fast data is taken in from a folder, in how much memory, and what a bucket with few new objects costs.

    python benchmarks/data.py [--quick] [--json FILE] [--rows N …] [--near-rows N] [--objects N] [--folder FOLDER]

Rows are windows of float32 6 x 128 (3 KB) of 40 domains, one in a hundred a copy, in Parquet files of 50,000 rows. A
cold process reads, hashes, splits, writes and flushes them, finds those that are equal, and writes the manifest;
seconds and peak memory are of that process, which is the only one. The files are in the page cache, since they were
just written. Another cold process then looks for rows that are nearly the same, and a third one validates the table.
A fourth takes the same rows in with near copies looked for, as is the default, and a fifth 5,000 more on top of them.
On a machine that does other work the load average is part of the result, and CPU seconds, of all threads together, say
more than those of the clock. How well near copies are told is measured on real samples with planted ones
(data_near.py). Of the bucket, the requests are counted (data_bucket.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from data_bucket import measure_objects
from data_near import REAL, measure

CHANNELS, LENGTH = 6, 128
ROW_BYTES = 4 * CHANNELS * LENGTH
FILE_ROWS, GROUP_ROWS = 50_000, 5_000
DOMAINS = 40
SHARE_COPIED = 0.01
CONFIG = {
    "source": "unused",
    "signal": {"channels": [f"c{i}" for i in range(CHANNELS)], "length": LENGTH, "stride": LENGTH},
    "labels": [f"l{i}" for i in range(8)],
    "splits": {"gate": ["d0", "d1", "d2", "d3", "d4"], "search": ["d5", "d6", "d7"]},
    "near_duplicates": {"enabled": False},
}
# As a project has it that says nothing of near copies.
DEFAULT = {**CONFIG, "near_duplicates": {}}
INGEST = """
import sys
from pathlib import Path
from evernas.config import DataConfig
from evernas.data import ingest
parent = sys.argv[4] if len(sys.argv) > 4 else None
ingest(Path(sys.argv[1]), Path(sys.argv[2]), DataConfig.model_validate_json(sys.argv[3]), parent)
"""
NEAR = """
import sys
from pathlib import Path
from evernas.config import NearDuplicatesConfig
from evernas.data import open_snapshot
from evernas.data.copies import find_copies, least_similarity, parts_of
from evernas.data.manifest import sample_shape
from evernas.data.near import fingerprint_of
from evernas.data.told import Told
snapshot = open_snapshot(Path(sys.argv[1]), sys.argv[2])
schema, near = snapshot.manifest.schema, NearDuplicatesConfig()
with Told(fingerprint_of(schema), sample_shape(schema)) as told:
    find_copies(snapshot.store, parts_of(snapshot.manifest), near, least_similarity(near, schema), told)
"""
VALIDATE = """
import sys
import time
from pathlib import Path
from evernas.config import DataConfig, ValidationConfig
from evernas.data import load_rows, open_snapshot
from evernas.validation import validate
rows = load_rows(open_snapshot(Path(sys.argv[1]), sys.argv[2]))
begin, cpu = time.perf_counter(), time.process_time()
docs = Path(sys.argv[4]).with_name("docs")
result = validate(rows, DataConfig.model_validate_json(sys.argv[3]), ValidationConfig(), docs=docs)
assert result.rows_in == rows.num_rows == result.kept.num_rows + result.quarantined + result.deduplicated.num_rows
figures = (time.perf_counter() - begin, time.process_time() - cpu, result.deduplicated.num_rows)
Path(sys.argv[4]).write_text(" ".join(map(str, figures)))
"""


def write_rows(folder: Path, rows: int) -> None:
    """Parquet files with so many rows, of which some are copies of others."""
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        n = min(FILE_ROWS, rows - first)
        with pq.ParquetWriter(folder / f"{number:05d}.parquet", _schema(), compression="none") as writer:
            for at in range(first, first + n, GROUP_ROWS):
                _write_group(writer, at, min(GROUP_ROWS, first + n - at))


def _schema() -> Any:
    payload = pa.list_(pa.list_(pa.float32()))
    return pa.schema({"id": pa.string(), "domain": pa.string(), "label": pa.string(), "payload": payload})


def _write_group(writer: Any, first: int, n: int) -> None:
    random = np.random.default_rng(first)
    values = random.random((n, CHANNELS * LENGTH), np.float32)
    copies = int(n * SHARE_COPIED)
    values[n - copies :] = values[:copies]
    numbers = np.arange(first, first + n)
    channels = pa.ListArray.from_arrays(np.arange(0, n * CHANNELS * LENGTH + 1, LENGTH, dtype=np.int32), values.ravel())
    payload = pa.ListArray.from_arrays(np.arange(0, n * CHANNELS + 1, CHANNELS, dtype=np.int32), channels)
    domain = first // GROUP_ROWS % DOMAINS
    labels = numbers % 8
    labels[n - copies :] = labels[:copies]
    columns = [[f"r{i}" for i in numbers], [f"d{domain}"] * n, [f"l{label}" for label in labels], payload]
    writer.write_table(pa.table(columns, schema=writer.schema))


def run(program: str, *arguments: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak memory in MB of a cold process."""
    begin = time.perf_counter()
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", program, *arguments], os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise SystemExit(f"The process that was measured failed with {os.waitstatus_to_exitcode(status)}.")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def measure_rows(rows: int, place: Path, near: bool) -> dict[str, float]:
    """Taking in so many rows; `near` too, where that is asked for."""
    source, store = place / "source", place / "store"
    source.mkdir(parents=True)
    write_rows(source, rows)
    seconds, cpu, peak = run(INGEST, str(source), str(store), json.dumps(CONFIG))
    megabytes = rows * ROW_BYTES / 1e6
    more = measure_after(rows, store, place) | measure_default(rows, source, place / "default") if near else {}
    shutil.rmtree(place)
    return {
        "seconds": seconds,
        "mb_per_s": megabytes / seconds,
        "cpu_seconds": cpu,
        "mb_per_cpu_s": megabytes / cpu,
        "peak_mb": peak,
        "load_average": os.getloadavg()[0],
        **more,
    }


def measure_default(rows: int, source: Path, store: Path) -> dict[str, float]:
    """Taking in the same rows with near copies looked for, as is the default, and then one file of new rows more."""
    seconds, cpu, peak = run(INGEST, str(source), str(store), json.dumps(DEFAULT))
    (manifest,) = (store / "manifests").iterdir()
    with pq.ParquetWriter(source / "new.parquet", _schema(), compression="none") as writer:
        _write_group(writer, rows, GROUP_ROWS)
    added, added_cpu, added_peak = run(INGEST, str(source), str(store), json.dumps(DEFAULT), manifest.stem)
    return {
        "default_mb_per_s": rows * ROW_BYTES / 1e6 / seconds,
        "default_mb_per_cpu_s": rows * ROW_BYTES / 1e6 / cpu,
        "default_peak_mb": peak,
        "added_rows": GROUP_ROWS,
        "added_seconds": added,
        "added_cpu_seconds": added_cpu,
        "added_peak_mb": added_peak,
    }


def measure_after(rows: int, store: Path, place: Path) -> dict[str, float]:
    """Looking for near copies among rows that were taken in, and validating their table."""
    (manifest,) = (store / "manifests").iterdir()
    seconds, cpu, peak = run(NEAR, str(store), manifest.stem)
    figures = {"near_rows_per_s": rows / seconds, "near_rows_per_cpu_s": rows / cpu, "near_peak_mb": peak}
    said = place / "validated"
    run(VALIDATE, str(store), manifest.stem, json.dumps(CONFIG), str(said))
    wall, busy, copies = map(float, said.read_text().split())
    return {**figures, "validate_seconds": wall, "validate_cpu_seconds": busy, "copies": copies}


def machine() -> dict[str, Any]:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = {f"version_{name}": version(name) for name in ("numpy", "pyarrow", "evernas")}
    return {"processor": cpu, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 4_000_000], help="Rows of the folder.")
    parser.add_argument(
        "--near-rows", type=int, default=1_000_000, help="Most rows of which near copies are looked for, and validated."
    )
    parser.add_argument("--copies", type=int, default=500, help="Copies planted of each change, 0 for no such part.")
    parser.add_argument("--objects", type=int, default=10_000, help="Objects of the bucket, 0 for none.")
    parser.add_argument(
        "--folder", type=Path, help="Where the rows are written, 6 KB each; a temporary folder if not given."
    )
    asked = parser.parse_args()
    figures: dict[str, Any] = {}
    if asked.folder is not None:
        asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        for rows in [5_000] if asked.quick else asked.rows:
            found = measure_rows(rows, Path(scratch) / "rows", rows <= asked.near_rows)
            figures |= {f"{name}_{rows}": value for name, value in found.items()}
            shown = ", ".join(f"{name} {value:,.1f}" for name, value in found.items())
            print(f"{rows:>10,} rows: {shown}", flush=True)
        planted = (min(asked.copies, 20), ("signal",)) if asked.quick else (asked.copies, tuple(REAL))
        for kind in planted[1] if planted[0] else ():
            told = measure(REAL[kind](planted[0]))
            figures |= {f"near_{kind}_{name}": value for name, value in told.items()}
            print(
                f"{kind:>10} copies: " + ", ".join(f"{name} {value:,.4g}" for name, value in told.items()), flush=True
            )
        objects, new = (15, 5) if asked.quick else (asked.objects, 50)
        if objects:
            counted = measure_objects(objects, new, Path(scratch) / "bucket")
            figures |= {f"objects_{name}": value for name, value in counted.items()} | {"objects": objects, "new": new}
            shown = ", ".join(f"{name} {value:,.0f}" for name, value in counted.items())
            print(f"{objects:>10,} objects, then {new} new: {shown}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({**figures, **machine(), "quick": asked.quick}, indent=1) + "\n")


if __name__ == "__main__":
    main()
