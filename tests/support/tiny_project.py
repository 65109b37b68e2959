"""A project whose runs take seconds: two made-up movements of ten people, and networks of a few hundred weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from place import Place
from warm import Warm

PEOPLE = [f"p{number}" for number in range(10)]
STEPS, RECORDINGS = 64, 4
CONFIG: dict[str, Any] = {
    "data": {
        "signal": {"channels": ["x", "y"], "length": 32, "stride": 16},
        "labels": ["walk", "run"],
        "splits": {"gate": PEOPLE[:5], "search": PEOPLE[5:7]},
        "domain_noun": "people",
    },
    "space": {
        "stem_width": 4,
        "stage_widths": [[4, 8]],
        "depths": [1, 2],
        "kernels": [3, 5],
        "expansions": [1, 2],
        "head_width": 8,
    },
    "supernet": {"steps": 20, "warm_steps": 10, "batch": 16, "checkpoint_every": 5, "calibration_batches": 2},
    "search": {"evaluations": 6, "batch": 2, "random_baseline": False},
    "finalists": {"count": 1, "steps": 4, "batch": 16},
    "profile": {"subnets": 12, "seconds": 0.3},
    "benchmark": {
        "restarts": 2,
        "seconds": 0.05,
        "warmup_seconds": 0.01,
        "max_variation": 50.0,
        "min_cpu_share": 0,
        "cold_starts": 0,
        "load_clients": [],
        "energy_windows": 0,
    },
    "gate": {"max_error": 0.95, "resamples": 1000},
    "devices": [{"name": "laptop"}],
}


PACES = {"walk": 1.0, "run": 2.5}


def deliver(
    folder: Path,
    name: str = "first.parquet",
    people: list[str] = PEOPLE,
    seed: int = 0,
    paces: Mapping[str, float] = PACES,
) -> Path:
    """A file of recordings: everybody walks and runs, each a sine of another pace, with noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in people:
        for label, pace in paces.items():
            for number in range(RECORDINGS):
                phase = np.arange(STEPS) * pace * 0.2 + rng.random() * 6
                payload = np.stack([np.sin(phase), np.cos(phase)]) + rng.normal(0, 0.2, (2, STEPS))
                name_of_recording = f"{person}-{label}-{seed}-{number}"
                rows.append({"id": name_of_recording, "domain": person, "label": label, "payload": payload.tolist()})
    schema = pa.schema(
        {"id": pa.string(), "domain": pa.string(), "label": pa.string(), "payload": pa.list_(pa.list_(pa.float32()))}
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name)
    return folder / name


def write(path: Path, project: str, source: str, **changes: Any) -> Path:
    """The config of such a project, with further changes to its sections."""
    document = {**CONFIG, "project": project, "data": {**CONFIG["data"], "source": source}}
    for section, values in changes.items():
        old = document.get(section)
        document[section] = {**old, **values} if isinstance(old, dict) and isinstance(values, dict) else values
    path.write_text(yaml.safe_dump(document))
    return path


def tiny(folder: Path, warm: Warm | None = None, project: str = "tiny", **changes: Any) -> Place:
    """A place with such a project, its data and an empty state folder."""
    deliver(folder / "incoming")
    return Place(folder / "home", write(folder / f"{project}.yaml", project, str(folder / "incoming"), **changes), warm)
