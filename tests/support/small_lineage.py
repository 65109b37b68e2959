"""A project of few people whose steps up to the supernet are run for real, in seconds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import Config, load_config
from evernas.state import Done, Head, Home, StepStore
from evernas.state.ownership import claim
from evernas.steps.launch import launch, open_run
from evernas.triggers.lease import leases_of
from place import EXAMPLE

LABELS = ["PEN", "ABD"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with claim(home, 0, lambda text: None) as ownership:
        for name, value in ownership.environment().items():
            monkeypatch.setenv(name, value)
        yield home


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two labels, one person a split, and trainings of a few steps."""
    (tmp_path / "source").mkdir()
    example = load_config(EXAMPLE)
    data = example.data.model_dump(mode="json")
    data |= {"source": str(tmp_path / "source"), "labels": LABELS, "splits": {"gate": ["g"], "search": ["s"]}}
    document = example.model_dump(mode="json") | {"data": data}
    document["validation"] |= {"min_rows": {}, "min_rows_per_class": 1, "max_quarantine": 1.0}
    document["supernet"] |= {"steps": 4, "warm_steps": 2, "batch": 8, "calibration_batches": 1}
    document["profile"] |= {"subnets": 12}
    return Config.model_validate(document)


def _payload(seed: int) -> list[list[float]]:
    return np.random.default_rng(seed).normal(size=(6, 400)).astype(np.float32).tolist()


def give(config: Config, domain: str, seeds: list[int], mended: Collection[int] = ()) -> None:
    """A file of one person's recordings, one a seed, labels in turns but for those that are mended."""
    rows = [
        {"id": f"{domain}-{seed}", "domain": domain, "label": LABELS[which % 2], "payload": _payload(seed)}
        for seed in seeds
        for which in [seed + (seed in mended)]
    ]
    text = {name: pa.string() for name in ("id", "domain", "label")}
    schema = pa.schema({**text, "payload": pa.list_(pa.list_(pa.float32()))})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), Path(config.data.source) / f"{domain}.parquet")


def train(home: Home, config: Config, run: str) -> tuple[Done, Done]:
    """What a run validates and trains; it is then the one that the next run goes on from."""
    open_run(home, run, config)
    text = json.dumps(config.model_dump(mode="json"))
    ingested = launch("ingest", home=str(home.path), run=run, config=text)
    validated = launch("validate", home=str(home.path), run=run, ingested=ingested)
    trained = launch("supernet", home=str(home.path), run=run, validated=validated)
    store = StepStore(home.steps(config.project))
    data, supernet = store.get(validated), store.get(trained)
    head = Head(run=run, key="", snapshot=data.facts["snapshot"], supernet=trained, validated=validated)
    head.write(home, config.project)
    # As `evernas run` does at a run's end; the last step is not run here.
    leases_of(home, config.project).end(run)
    return data, supernet
