"""What is refused before anything that a run has handed over is decided on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import serving
from evernas.config import Config, load_config
from evernas.errors import OwnershipError, UsageError
from evernas.loop.decide import decide
from evernas.state import Home, RunManifest
from evernas.triggers.lease import leases_of

RUN = "watch-1"


class Place:
    """A state at an address, with a run in it that has handed over."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, Home(folder / "state")
        config = self.config()
        RunManifest.open(self.home, RUN, config, "nowhere", {})
        self.leases = leases_of(self.home, config.project)
        self.path = self.home.handed_over(config.project) / f"{RUN}.json"
        self.hand_over(1)

    def config(self, **changes: object) -> Config:
        submit = {"to": "kfp", "kfp": {"host": "http://192.0.2.1", "home": str(self.home.path)}}
        triggers = serving.triggers_config(submit=submit)
        return load_config(serving.write_config(self.folder / "evernas.yaml", triggers, **changes))

    def hand_over(self, version: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = {"ingested": "a", "validated": "b", "trained": "c", "finalists": {}, "measured": {}}
        self.path.write_text(json.dumps({"version": version, "run": RUN, **made}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_run_that_has_handed_nothing_over_is_named(place: Place) -> None:
    with pytest.raises(UsageError, match="Run watch-2 has handed nothing over that waits"):
        decide(place.config(), "watch-2")


def test_what_another_version_handed_over_is_not_guessed_at(place: Place) -> None:
    place.hand_over(2)
    with pytest.raises(UsageError, match="written by another version of evernas"):
        decide(place.config(), RUN)


def test_run_of_another_config_is_not_decided_by_this_one(place: Place) -> None:
    assert place.leases.claim(RUN) is not None
    with pytest.raises(UsageError, match="was made under another config"):
        decide(place.config(seed=7), RUN)
    assert place.path.exists(), "the config of the run may decide"


def test_what_was_handed_over_is_void_once_another_run_has_the_project(place: Place) -> None:
    assert place.leases.claim("watch-2") is not None
    with pytest.raises(OwnershipError, match="run watch-2 does"):
        decide(place.config(), RUN)
    assert not place.path.exists()


def test_config_that_names_no_state_of_a_cluster_is_refused(tmp_path: Path) -> None:
    config = load_config(serving.write_config(tmp_path / "evernas.yaml", serving.triggers_config()))
    with pytest.raises(UsageError, match="its `home` says where the runs' state lies"):
        decide(config, RUN)
