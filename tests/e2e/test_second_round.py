"""A run that is killed in the middle of its probe and of its second round goes on as if nothing had been."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import killing
from evernas.config import load_config
from evernas.hardware.predictor import CostPredictor, predictors_to_json
from evernas.spaces import Architecture
from evernas.state import Done, Home
from evernas.state.files import read_json, write_json
from evernas.state.ownership import claim
from evernas.state.sharing import steps_of
from evernas.steps.context import space_of
from place import PATIENCE_S, Place, succeeded
from tiny_project import tiny
from warm import BEFORE_STEP, Warm

pytestmark = pytest.mark.e2e


def _killed(place: Place, at: str, time: int = 1) -> None:
    """Go on with the run, until SIGKILL ends all of it as the `time`th file of this pattern is about to be there."""
    more = {BEFORE_STEP: killing.__file__, killing.AT: f"*/steps/{at}", killing.TIME: str(time)}
    process = Place(place.home, place.config, place.warm, more).start()
    assert process.wait(PATIENCE_S) == -signal.SIGKILL, process.output()


def _account(place: Place, step: str) -> dict[str, Any]:
    (run,) = place.runs()
    name = f"{step}@laptop.json" if step not in ("supernet", "validate") else f"{step}.json"
    return read_json(place.home / "runs" / run / "steps" / name)


def _folder(place: Place, step: str) -> Path:
    return place.home / "projects/tiny/steps" / _account(place, step)["ref"]


def _foresees_too_little(place: Place) -> None:
    """The profile's predictor of latency says half of what it measured: whatever is probed leaves its band."""
    home = Home(place.home)
    store, space = steps_of(home, "tiny"), space_of(load_config(place.config))
    done = store.get(_account(place, "profile")["ref"])
    subnets = store.get(_account(place, "supernet")["ref"]).facts["profile"]
    archs = {subnet["id"]: Architecture.from_json(subnet["architecture"]) for subnet in subnets}
    figures = done.facts["latency_ms"]
    features = np.stack([space.features(archs[arch]) for arch in figures])
    too_little = CostPredictor.fit(features, 0.4 * np.array([*figures.values()]))
    with claim(home, 0, lambda text: None) as ownership:
        write_json(done.file("predictor.json"), predictors_to_json({"latency_ms": too_little}))
        facts = {**done.facts, "residual": too_little.residual}
        store.finish(Done(done.ref, done.folder, facts, done.inputs, done.run), ["predictor.json"], ownership.guard)


def _computed(place: Place) -> dict[str, Any]:
    """What a run computes of its rounds' figures, nothing of when and under which name."""
    (device,) = place.result()["devices"]
    finalists = [(f["bundle"], f["predicted_latency_ms"], f["error"]) for f in device["finalists"]]
    return {
        **{name: device[name] for name in ("front", "points", "hypervolume", "second_round", "evaluations")},
        "finalists": finalists,
        "keys": {step: _account(place, step)["ref"] for step in ("search", "probe", "refine", "finalists")},
        "asked": read_json(_folder(place, "refine") / "strategy.json"),
    }


def test_a_run_killed_in_its_probe_and_in_its_second_round_ends_as_one_that_was_not(tmp_path: Path, warm: Warm) -> None:
    place = tiny(
        tmp_path,
        warm,
        space={"stage_widths": [[4, 8, 12]], "kernels": [3, 5, 7]},
        search={"evaluations": 12, "probes": 3},
        profile={"seconds": 1.0},
    )
    _killed(place, "search/*/strategy.json")
    _foresees_too_little(place)
    other = place.copy(tmp_path / "other")

    _killed(place, "probe/*/raw/profile-1-0.json")
    probe = _folder(place, "probe")
    measured = list((probe / "raw").glob("profile-*"))
    assert [path.name for path in measured] == ["profile-0-0.json"], "of two processes one was done"
    assert not (probe / "done.json").exists()
    written = [path.stat().st_mtime_ns for path in measured]
    _collected(place)

    _killed(place, "refine/*/strategy.json", time=2)
    assert read_json(probe / "done.json")["facts"]["outside"]
    half = read_json(_folder(place, "refine") / "strategy.json")
    assert 12 < len(half["told"]) < 18
    assert not (_folder(place, "refine") / "done.json").exists()
    probed = (probe / "done.json").stat().st_mtime_ns
    _collected(place)

    succeeded(place.run())
    assert [path.stat().st_mtime_ns for path in measured] == written, "nothing is measured twice"
    assert (probe / "done.json").stat().st_mtime_ns == probed
    (device,) = place.result()["devices"]
    assert device["evaluations"] == 18

    # What the device took is another thing each time: the run that nothing disturbs is given what the other measured.
    for raw in ("raw", "raw-again"):
        shutil.copytree(probe / raw, other.home / probe.relative_to(place.home) / raw)
    succeeded(other.run())
    assert _computed(other) == _computed(place)


def _collected(place: Place) -> None:
    """Everything goes that nothing reaches, as if it were old, while a run is unfinished."""
    told = succeeded(place.evernas("gc", str(place.config), "--days", "0", "--keep-runs", "1", "--apply", "--json"))
    assert json.loads(told.stdout)["removed"]
