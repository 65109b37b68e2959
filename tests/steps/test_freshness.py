"""Data that was fresh when it was validated is refused once it has grown old, also by a run in which nothing is new."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from evernas.config import Config
from evernas.data import Snapshot, open_snapshot
from evernas.data import ingest as take_in
from evernas.errors import DataRefusedError
from evernas.loop import plan
from evernas.loop.foresight import reusable
from evernas.loop.plan import plan_of, print_plan
from evernas.registry.opening import open_journal
from evernas.state import Head, Home, RunManifest, runs
from evernas.steps import ingest
from evernas.steps.context import Setting
from evernas.steps.freshness import TIMES, refuse, stale_by_now
from evernas.steps.ingest import run_key
from evernas.steps.validate import validate_inputs
from small_lineage import LABELS, config, home, train

__all__ = ["config", "home"]


def deliver(
    config: Config,
    domain: str,
    seeds: list[int],
    days: float | None,
    name: str | None = None,
    label: str | None = None,
) -> None:
    """A file of recordings so many days from now; None for no time."""
    rows = [
        {
            "id": f"{domain}-{seed}",
            "domain": domain,
            "label": label or LABELS[seed % 2],
            "payload": np.random.default_rng(seed).normal(size=(6, 400)).astype(np.float32).tolist(),
            "time": None if days is None else (datetime.now(UTC) + timedelta(days=days)).timestamp(),
        }
        for seed in seeds
    ]
    text = dict.fromkeys(("id", "domain", "label"), pa.string())
    kinds = pa.schema({**text, "payload": pa.list_(pa.list_(pa.float32())), "time": pa.float64()})
    pq.write_table(pa.Table.from_pylist(rows, schema=kinds), Path(config.data.source) / f"{name or domain}.parquet")


@pytest.fixture
def fresh(config: Config) -> Config:
    """Everybody was recorded yesterday; the newest row may be ten days old."""
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        deliver(config, domain, seeds, -1)
    document = config.model_dump(mode="json")
    document["validation"]["freshness"] = {"max_age_days": 10}
    return Config.model_validate(document)


def later(home: Home, config: Config, days: float) -> Setting:
    """Where a run stands that begins so many days from now."""
    began = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    return Setting(
        home, RunManifest("later", config, config.data.source, began, Head.read(home, config.project), {}, ""), None
    )


def take(config: Config, home: Home, parent: str) -> Snapshot:
    """What the source holds now."""
    return take_in(Path(config.data.source), home.snapshots(config.project), config.data, parent)


def test_what_was_fresh_is_refused_by_a_later_run_in_which_nothing_is_new(home: Home, fresh: Config) -> None:
    data, _ = train(home, fresh, "run-1")
    assert data.facts["rows_kept"] > 0
    snapshot = open_snapshot(home.snapshots(fresh.project), data.facts["snapshot"])
    assert stale_by_now(later(home, fresh, 8), snapshot) == []
    (said,) = stale_by_now(later(home, fresh, 9.5), snapshot)
    assert "The newest good row is 11 days old, more than validation.freshness.max_age_days = 10" in said
    with pytest.raises(DataRefusedError, match="The data is refused, the champion stays:\n  The newest good row"):
        refuse([said])
    kept = np.load(data.file(TIMES))
    assert len(kept) == data.facts["rows_kept"]
    data.file(TIMES).unlink()
    assert stale_by_now(later(home, fresh, 9.5), snapshot) == [said], "told from the snapshot where it was not kept"


def test_new_rows_that_validation_would_not_keep_do_not_make_a_dried_up_source_fresh(home: Home, fresh: Config) -> None:
    data, _ = train(home, fresh, "run-1")
    deliver(fresh, "t", [30], 3650, "of-the-future")
    deliver(fresh, "t", [31], 8, "unknown-label", label="nothing")
    deliver(fresh, "g", [5], 8, "trained-on")
    snapshot = take(fresh, home, data.facts["snapshot"])
    (said,) = stale_by_now(later(home, fresh, 9.5), snapshot)
    assert "The newest good row is 11 days old" in said
    deliver(fresh, "t", [32], 8, "good")
    assert stale_by_now(later(home, fresh, 9.5), take(fresh, home, snapshot.id)) == []


def test_a_plan_foresees_that_the_data_will_be_refused(
    home: Home, fresh: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(home, fresh, "run-1")
    head = Head.read(home, fresh.project)
    assert head is not None
    replace(head, key=run_key(fresh, head.snapshot, open_journal(home, fresh).heads(["laptop"]))).write(
        home, fresh.project
    )
    shutil.rmtree(home.run("run-1"))
    assert plan_of(fresh, home).stale == []
    monkeypatch.setattr(plan, "now", lambda: (datetime.now(UTC) + timedelta(days=9.5)).isoformat())
    planned = plan_of(fresh, home)
    assert planned.new == []
    (said,) = planned.stale
    assert "The newest good row is 11 days old" in said
    assert planned.to_json()["stale"] == [said]
    shown = io.StringIO()
    print_plan(planned, Console(file=shown, width=300))
    assert f"The run will refuse the data: {said}" in shown.getvalue()


def test_data_without_any_time_is_refused_with_its_quarantine_beside_it(
    home: Home, fresh: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        deliver(fresh, domain, seeds, None)
    with pytest.raises(SystemExit) as ended:
        train(home, fresh, "run-1")
    assert ended.value.code == 4
    assert "No good row has a time, so that nobody can say how old they are" in capsys.readouterr().err
    (written,) = home.steps(fresh.project).rglob("validation.json")
    assert "newest_age_days" not in json.loads(written.read_text())["figures"]


def test_the_day_validates_anew_and_nothing_else(home: Home, fresh: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    data, supernet = train(home, fresh, "run-1")
    # Times are to the second, in which a fast machine takes both runs.
    monkeypatch.setattr(runs, "now", lambda: (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds"))
    again, same = train(home, fresh, "run-2")
    assert again.ref != data.ref
    assert again.facts["kept"] == data.facts["kept"]
    assert again.inputs["trained"] == data.inputs["trained"], "the same data was judged beside the same supernet"
    assert same.ref == supernet.ref, "what is trained on has not changed"
    assert {"ingest", "supernet"} <= {step for step, _ in reusable(later(home, fresh, 1))}
    assert "validate" not in {step for step, _ in reusable(later(home, fresh, 1))}


def test_a_run_that_goes_on_keeps_its_day(home: Home, fresh: Config) -> None:
    data, _ = train(home, fresh, "run-1")
    manifest = RunManifest.read(home, "run-1")
    inputs = validate_inputs(replace(later(home, fresh, 5), manifest=manifest), _ingested(home, fresh, data))
    assert inputs["began"] == data.inputs["began"] == manifest.started_at


def test_without_the_rule_keys_hold_no_day(home: Home, fresh: Config, config: Config) -> None:
    data, _ = train(home, config, "run-1")
    assert "began" not in data.inputs
    assert not data.file(TIMES).exists()
    assert train(home, config, "run-2")[0].ref == data.ref
    snapshot = open_snapshot(home.snapshots(config.project), data.facts["snapshot"])
    assert stale_by_now(later(home, config, 4000), snapshot) == []


def _ingested(home: Home, config: Config, data: Any) -> Any:
    setting = later(home, config, 0)
    return setting.store.find(setting.ref("ingest", ingest.ingest_inputs(data.facts["snapshot"])))
