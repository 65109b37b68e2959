"""Small sources to ingest: two channels, windows of 16 steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import DataConfig


@pytest.fixture
def config() -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "unused",
            "signal": {"channels": ["x", "y"], "length": 16, "stride": 8},
            "labels": ["walk", "run"],
            "splits": {"gate": ["g"], "search": ["s"]},
        }
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


Record = dict[str, Any]


@pytest.fixture
def recording() -> Callable[..., Record]:
    def make(id: str, domain: str, label: str = "walk", steps: int = 40, seed: int = 0, channels: int = 2) -> Record:
        number = sum(id.encode()) + 1000 * seed
        payload = np.random.default_rng(number).normal(size=(channels, steps)).astype(np.float32)
        return {"id": id, "domain": domain, "label": label, "payload": payload.tolist()}

    return make


@pytest.fixture
def deliver(source: Path) -> Callable[..., Path]:
    def write(name: str, rows: list[Record], kind: Any = None) -> Path:
        schema = pa.schema(
            {
                "id": pa.string(),
                "domain": pa.string(),
                "label": pa.string(),
                "payload": kind or pa.list_(pa.list_(pa.float32())),
            }
        )
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=50)
        return path

    return write
