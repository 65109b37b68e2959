"""Delivers the watch example's recordings wearer by wearer, each once a run has used all that came before."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from arrival import Example


def recordings() -> list[dict[str, Any]]:
    """The 140 recordings of seglearn's watch data: id, domain (wearer), label (exercise), payload (6, time) float32."""
    import numpy as np
    from seglearn.datasets import load_watch

    watch = load_watch()
    found: list[dict[str, Any]] = []
    per_wearer: dict[int, int] = {}
    for signal, exercise, wearer in zip(watch["X"], watch["y"], watch["subject"], strict=True):
        number = per_wearer.get(int(wearer), 0)
        per_wearer[int(wearer)] = number + 1
        found.append(
            {
                "id": f"p{int(wearer):02d}-r{number:02d}",
                "domain": str(int(wearer)),
                "label": str(watch["y_labels"][int(exercise)]),
                "payload": np.ascontiguousarray(signal.T, dtype=np.float32),
            }
        )
    return found


def file_name(wearer: str) -> str:
    """The file that holds all recordings of a wearer."""
    return f"wearer-{int(wearer):02d}.parquet"


def parquet(items: Sequence[Mapping[str, Any]]) -> bytes:
    """A file of recordings: channels outside, steps of time inside."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": pa.array([item["id"] for item in items], pa.string()),
        "domain": pa.array([item["domain"] for item in items], pa.string()),
        "label": pa.array([item["label"] for item in items], pa.string()),
        "payload": pa.array([list(item["payload"]) for item in items], pa.list_(pa.list_(pa.float32()))),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, write_page_checksum=True)
    return sink.getvalue()


WATCH = Example("wearers", recordings, parquet, file_name)

if __name__ == "__main__":
    sys.exit(WATCH.main(__doc__))
