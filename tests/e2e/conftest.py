"""The whole loop, small: real watch data through the real pipeline, once for all tests that only look."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from evernas.state import Head, Home
from image_contents import only_what_images_hold
from place import Place, succeeded, write_config
from small_config import SMALL
from warm import Warm


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all test processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def undisturbed(shared: Path, warm: Warm) -> Place:
    """A state folder with two completed runs: the first batch, and the next wearer. Look at it, change only copies.

    In the first run each step can import only what its image holds.
    """
    base = shared / "undisturbed"
    with FileLock(shared / "undisturbed.lock"):
        if not (base / "done").exists():
            base.mkdir()
            place = Place(base / "home", write_config(base / "evernas.yaml"))
            for server, more in ((None, only_what_images_hold(base)), (warm, {})):
                place.warm, place.more = server, more
                place.deliver()
                succeeded(place.run())
            _fits_its_profile(place)
            (base / "done").touch()
    return Place(base / "home", base / "evernas.yaml")


def _fits_its_profile(place: Place) -> None:
    """Other tests may have slowed the device down while the last run measured it: the next need not profile it anew."""
    home = Home(place.home)
    head = Head.read(home, "watch")
    assert head is not None
    replace(head, stale=[], departed={}, drifted={}).write(home, "watch")


@pytest.fixture(scope="session")
def one_round(shared: Path, warm: Warm) -> Place:
    """The same with searches of one round: to what they come others come too, who are given what they measured.

    What is recorded is not probed. Look at it, change only copies.
    """
    base = shared / "one-round"
    with FileLock(shared / "one-round.lock"):
        place = Place(base / "home", base / "evernas.yaml", warm)
        if not (base / "done").exists():
            base.mkdir()
            write_config(place.config, search={**SMALL["search"], "rounds": 1})
            for _ in range(2):
                place.deliver()
                succeeded(place.run())
            (base / "done").touch()
    return Place(place.home, place.config)


@pytest.fixture(scope="session")
def recorded(one_round: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two runs measured, as a file that a device's `recorded` can name."""
    steps = one_round.home / "projects" / "watch" / "steps"
    measurements: dict[str, Any] = {}
    for path in steps.glob("benchmark/*/done.json"):
        for measurement in json.loads(path.read_text())["facts"]["measurements"].values():
            measurements[measurement["digest"]] = measurement
    subnets = {
        s["id"]: s["digest"]
        for path in steps.glob("supernet/*/done.json")
        for s in json.loads(path.read_text())["facts"]["profile"]
    }
    latencies: dict[str, float] = {}
    for path in steps.glob("profile/*/done.json"):
        latencies |= {subnets[arch]: ms for arch, ms in json.loads(path.read_text())["facts"]["latency_ms"].items()}
    file = tmp_path_factory.mktemp("recorded") / "recorded.json"
    file.write_text(json.dumps({"version": 1, "measurements": measurements, "profile": latencies}))
    return file


@pytest.fixture
def again(undisturbed: Place, warm: Warm, tmp_path: Path) -> Place:
    """A copy of the undisturbed state folder, to go on with."""
    return undisturbed.copy(tmp_path / "home", warm)


@pytest.fixture
def fresh(tmp_path: Path, warm: Warm) -> Callable[..., Place]:
    """Makes a place with an empty state folder; keyword arguments change the config."""

    def make(**changes: Any) -> Place:
        return Place(tmp_path / "home", write_config(tmp_path / "evernas.yaml", **changes), warm)

    return make


@pytest.fixture(autouse=True)
def _mlflow_is_where_it_was() -> Iterator[None]:
    """A test that looks into a state folder with MLflow leaves no address of it behind for the next one."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if os.environ.get("MLFLOW_TRACKING_URI") != before:
        import mlflow

        mlflow.set_tracking_uri(before)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
