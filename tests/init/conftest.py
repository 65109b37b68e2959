"""Folders of recordings such as people have, made small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Row = dict[str, Any]
PAYLOAD = pa.list_(pa.list_(pa.float32()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "gait"
    made.mkdir()
    return made


@pytest.fixture
def rows() -> Callable[..., list[Row]]:
    def make(
        domains: int = 8, labels: tuple[str, ...] = ("walk", "run"), each: int = 12, steps: int = 400, channels: int = 3
    ) -> list[Row]:
        random = np.random.default_rng(0)
        return [
            {
                "id": f"p{person}-{label}-{number}",
                "domain": f"p{person}",
                "label": label,
                "payload": random.normal(size=(channels, steps)).astype(np.float32).tolist(),
            }
            for person in range(1, domains + 1)
            for label in labels
            for number in range(each)
        ]

    return make


@pytest.fixture
def save(folder: Path) -> Callable[..., Path]:
    def write(rows: list[Row], name: str = "all.parquet", **kinds: Any) -> Path:
        known = {"id": pa.string(), "domain": pa.string(), "label": pa.string(), "payload": PAYLOAD, **kinds}
        schema = pa.schema([(key, known[key]) for key in rows[0]])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name)
        return folder / name

    return write
