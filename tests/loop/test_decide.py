"""What is refused before anything that a run has handed over is decided on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import serving
from evernas.config import Config, load_config
from evernas.errors import IntegrityError, OwnershipError, UsageError
from evernas.loop.decide import decide
from evernas.state import Home, RunManifest
from evernas.state.ownership import claim
from evernas.steps import gate, hold, report
from evernas.steps.context import Context
from evernas.steps.launch import launch
from evernas.triggers.lease import leases_of

RUN, DEVICE = "watch-1", "laptop"


class Place:
    """A state at an address, with a run in it that has handed over."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, Home(folder / "state")
        config = self.config()
        RunManifest.open(self.home, RUN, config, "nowhere", {})
        self.leases = leases_of(self.home, config.project)
        self.path = self.home.handed_over(config.project) / f"{RUN}.json"
        self.manifest = self.home.run(RUN) / "run.json"
        self.hand_over(1)

    def config(self, **changes: object) -> Config:
        submit = {"to": "kfp", "kfp": {"host": "http://192.0.2.1", "home": str(self.home.path)}}
        triggers = serving.triggers_config(submit=submit)
        return load_config(serving.write_config(self.folder / "evernas.yaml", triggers, **changes))

    def hand_over(self, version: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = {
            "ingested": "a",
            "validated": "b",
            "trained": "c",
            "finalists": {DEVICE: "d"},
            "measured": {DEVICE: "e"},
        }
        self.path.write_text(json.dumps({"version": version, "run": RUN, **made}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Steps:
    """Stands where gate, hold and report do: notes what each is given, and does nothing."""

    def __init__(self) -> None:
        self.given: list[Context] = []
        self.fails = False

    def gate(self, context: Context, validated: str, finalists: str, benchmarked: str) -> str:
        self.given.append(context)
        return "hold"

    def hold(self, context: Context) -> str:
        self.given.append(context)
        return f"hold/{DEVICE}-0"

    def report(self, context: Context, **references: object) -> str:
        self.given.append(context)
        if self.fails:
            raise OSError("MLflow is away")
        return f"report/{RUN}"


@pytest.fixture
def steps(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    noting = Steps()
    for module in (gate, hold, report):
        monkeypatch.setattr(module, "run", getattr(noting, module.__name__.rpartition(".")[2]))
    with claim(place.home, 0.0, print) as owner:
        for name, value in owner.environment().items():
            monkeypatch.setenv(name, value)
        yield noting


def test_what_a_run_writes_after_it_was_taken_up_decides_nothing(
    place: Place, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.leases.claim(RUN) is not None
    taken = json.loads(place.manifest.read_text())
    lenient = place.config(gate={"max_error": 0.99}).model_dump(mode="json")

    def forging(step: str, **given: Any) -> str:
        place.manifest.write_text(json.dumps({**taken, "config": lenient, "journal": {DEVICE: 7}}))
        return launch(step, **given)

    monkeypatch.setattr("evernas.loop.decide.launch", forging)
    config = place.config()
    assert decide(config, RUN) == {DEVICE: f"hold/{DEVICE}-0"}
    assert [context.step for context in steps.given] == ["gate", "hold", "report"]
    assert all(context.config == config for context in steps.given)
    assert all(context.manifest.journal == {} for context in steps.given)


def test_manifest_of_another_run_is_not_taken_for_this_ones(place: Place) -> None:
    place.manifest.write_text(json.dumps({**json.loads(place.manifest.read_text()), "run": "watch-2"}))
    with pytest.raises(IntegrityError, match="is of run watch-2, not of watch-1"):
        decide(place.config(), RUN)


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
    assert place.path.exists(), "by which the receiver sees that it was not decided"


def test_decision_whose_report_failed_is_gone_on_with(place: Place, steps: Steps) -> None:
    assert place.leases.claim(RUN) is not None
    steps.fails = True
    with pytest.raises(SystemExit):
        decide(place.config(), RUN)
    assert place.path.exists()
    assert not place.leases.is_free(), "no other run begins before this one is decided"
    steps.fails = False
    assert decide(place.config(), RUN) == {DEVICE: f"hold/{DEVICE}-0"}
    assert not place.path.exists()
    assert place.leases.is_free()


def test_decision_that_was_killed_after_its_report_is_not_taken_again(place: Place, steps: Steps) -> None:
    lease = place.leases.claim(RUN)
    assert lease is not None
    lease.release()
    (place.home.run(RUN) / "result.json").write_text("{}")
    assert decide(place.config(), RUN) == {}
    assert steps.given == []
    assert not place.path.exists()


def test_config_that_names_no_state_of_a_cluster_is_refused(tmp_path: Path) -> None:
    config = load_config(serving.write_config(tmp_path / "evernas.yaml", serving.triggers_config()))
    with pytest.raises(UsageError, match="its `home` says where the runs' state lies"):
        decide(config, RUN)
