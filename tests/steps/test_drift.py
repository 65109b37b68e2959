"""Drift is measured where data is taken in, and a run does as much as it asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from evernas.config import Config, DriftConfig
from evernas.loop.plan import plan_of
from evernas.state import Head, Home
from evernas.state.files import read_json
from evernas.state.runs import NOTHING_NEW
from evernas.steps.drift import look
from evernas.steps.ingest import run_key
from evernas.steps.launch import launch, open_run
from evernas.steps.search import FRONT_ONLY
from evernas.triggers.lease import leases_of
from small_lineage import config, give, home, train

__all__ = ["config", "home"]


def _settle(home: Home, config: Config) -> None:
    """The last run left no decision open, so that a run has something to do only if the data changed."""
    head = Head.read(home, config.project)
    assert head is not None
    key = run_key(config, head.snapshot, {device.name: 0 for device in config.devices})
    replace(head, key=key).write(home, config.project)


def test_a_run_does_as_much_as_drift_asks_for(home: Home, config: Config) -> None:
    config = config.model_copy(update={"drift": DriftConfig(least_rows=0.2)})
    for domain, seeds in {"g": [1, 2], "s": [3, 4], **{f"t{n}": [10 * n, 10 * n + 1] for n in range(1, 5)}}.items():
        give(config, domain, seeds)
    _, first = train(home, config, "run-1")
    assert not (home.run("run-1") / "drift.json").exists(), "there was nothing to compare with"
    _settle(home, config)

    give(config, "t1", [10, 11, 12])
    assert "nothing without drift and below 20.0% new rows" in str(plan_of(config, home).drift)
    open_run(home, "run-2", config)
    text = json.dumps(config.model_dump(mode="json"))
    assert launch("ingest", home=str(home.path), run="run-2", config=text) == NOTHING_NEW
    assert "No drift is shown" in read_json(home.run("run-2") / "result.json")["reason"]
    leases_of(home, config.project).end("run-2")

    give(config, "u", [50, 51, 52, 53])
    data, second = train(home, config, "run-3")
    record = read_json(home.run("run-3") / "drift.json")
    assert record["work"] == "finetune"
    assert record["work"] in FRONT_ONLY
    assert (record["domains_before"], record["domains_new"], record["rows_new"]) == (5, 2, 5 * 5)
    assert second.facts["digest"] == first.facts["digest"], "the last supernet's weights stay"
    assert "u" in second.facts["domains"], "its rows count as trained on: candidates are fine-tuned on them"
    assert data.facts["rows_kept"] == 5 * 17

    # More than the data has changed: all is done, whatever drift says.
    other = config.model_copy(update={"seed": 1})
    give(config, "v", [60, 61])
    _settle(home, config)
    open_run(home, "run-4", other)
    launch("ingest", home=str(home.path), run="run-4", config=json.dumps(other.model_dump(mode="json")))
    assert read_json(home.run("run-4") / "drift.json")["work"] == "search"


def _ingested(home: Home, config: Config, run: str) -> tuple[str, dict[str, Any]]:
    open_run(home, run, config)
    text = json.dumps(config.model_dump(mode="json"))
    ref = launch("ingest", home=str(home.path), run=run, config=text)
    leases_of(home, config.project).end(run)
    return ref, read_json(home.run(run) / "drift.json")


def test_a_mended_label_a_row_that_went_and_new_judges_are_never_left_waiting(home: Home, config: Config) -> None:
    data = config.data.model_copy(update={"max_loss": 0.5})
    config = config.model_copy(update={"drift": DriftConfig(least_rows=0.2), "data": data})
    people = {"g": [1, 2], "s": [3, 4], **{f"t{n}": [10 * n, 10 * n + 1] for n in range(1, 5)}}
    for domain, seeds in people.items():
        give(config, domain, seeds)
    train(home, config, "run-1")
    _settle(home, config)

    give(config, "t1", [10, 11], mended=[10])
    ref, record = _ingested(home, config, "run-2")
    assert ref != NOTHING_NEW
    assert (record["work"], record["rows_new"]) == ("retrain", 5)
    assert record["reason"].startswith("5 rows of training or search have gone since the last run, or have")

    give(config, "t1", [10])
    assert _ingested(home, config, "run-3")[1]["work"] == "retrain"

    give(config, "t1", [10, 11])
    give(config, "g", [1, 2, 5])
    ref, record = _ingested(home, config, "run-4")
    assert ref != NOTHING_NEW
    assert (record["work"], record["rows_new"]) == ("finetune", 0)
    give(config, "g", [1, 2], mended=[1])
    assert "5 rows of the gate have gone" in _ingested(home, config, "run-5")[1]["reason"]


def test_samples_of_another_shape_are_searched_anew(home: Home, config: Config) -> None:
    config = config.model_copy(update={"drift": DriftConfig()})
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [10, 11]}.items():
        give(config, domain, seeds)
    train(home, config, "run-1")
    assert config.data.signal is not None
    signal = config.data.signal.model_copy(update={"length": config.data.signal.length // 2})
    other = config.model_copy(update={"data": config.data.model_copy(update={"signal": signal})})
    ref, record = _ingested(home, other, "run-2")
    assert ref != NOTHING_NEW
    assert (record["work"], record["changes"]) == ("search", [])
    assert "another kind or shape" in record["reason"]


def test_a_look_at_payloads_tells_level_spread_and_roughness() -> None:
    time = np.arange(64)
    slow, fast = np.sin(time / 16), np.sin(time * 2)
    payload = np.stack([np.stack([slow + 3, fast])]).astype(np.float32)
    mean_slow, mean_fast, spread_slow, spread_fast, rough_slow, rough_fast = look(payload)[0]
    assert mean_slow > 3 > mean_fast
    assert 0.5 < spread_slow < 1
    assert 0.5 < spread_fast < 1
    assert rough_fast > 10 * rough_slow
    assert look(np.zeros((2, 3, 8, 8), np.float32)).shape == (2, 9)
