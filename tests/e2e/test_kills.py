"""Killed anywhere with SIGKILL, the next run goes on and ends with the same champion, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from place import PATIENCE_S, Place, succeeded, unnamed, write_config
from warm import Warm, WarmProcess

pytestmark = pytest.mark.e2e
# When a step is killed, as a share of the time that it took undisturbed.
MOMENTS = (0.0, 0.3, 0.6, 0.9)
Process = subprocess.Popen[str] | WarmProcess


def _config(recorded: Path, folder: Path, *devices: str) -> Path:
    """A config of devices that take their figures from a file."""
    those = [{"name": name, "runtime": "onnxruntime-cpu", "threads": 1, "recorded": str(recorded)} for name in devices]
    return write_config(folder / "evernas.yaml", devices=those)


@pytest.fixture(scope="module")
def config(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _config(recorded, tmp_path_factory.mktemp("kills"), "laptop")


@dataclass(frozen=True)
class Reference:
    """What an undisturbed run computes from the recorded measurements, how long its steps took, and where it began."""

    computed: dict[str, Any]
    seconds: dict[str, float]
    before: Place

    @property
    def steps(self) -> list[str]:
        """The steps in the order they run."""
        return list(self.seconds)


def _undisturbed(before: Place, home: Path) -> Reference:
    place = before.copy(home)
    succeeded(place.run())
    steps = place.result()["steps"]
    return Reference(
        computed(place), {"@".join(filter(None, (s["step"], s["device"]))): s["seconds"] for s in steps}, before
    )


@pytest.fixture(scope="module")
def first(config: Path, warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The first run: cold, without a champion, ends with a promotion."""
    base = tmp_path_factory.mktemp("first")
    place = Place(base / "before", config, warm)
    place.deliver()
    return _undisturbed(place, base / "after")


@pytest.fixture(scope="module")
def second(
    first: Reference, recorded: Path, config: Path, warm: Warm, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    """The second run: from the last supernet, beside a champion, and for a second device too."""
    base = tmp_path_factory.mktemp("second")
    place = Place(first.before.home.parent / "after", config, warm).copy(base / "before")
    place.config = _config(recorded, base, "laptop", "watch")
    place.deliver()
    return _undisturbed(place, base / "after")


def computed(place: Place) -> dict[str, Any]:
    """Everything that a run computes: nothing of when, how long, or under which name."""
    run = [r for r in place.runs() if place.result(r)["outcome"] != "nothing-new"][-1]
    result = place.result(run)
    project = place.home / "projects" / "watch"
    accounts = {p.stem: json.loads(p.read_text())["ref"] for p in (place.home / "runs" / run / "steps").glob("*.json")}

    def of_device(device: dict[str, Any]) -> dict[str, Any]:
        searched = project / "steps" / accounts[f"search@{device['device']}"]
        return {
            "asked": json.loads((searched / "strategy.json").read_text()),
            "points": device["points"],
            "front": device["front"],
            "finalists": device["finalists"],
            "verdict": device["verdict"],
            "gate": device["gate_error_by_domain"],
            "champion": device["champion_after"] and device["champion_after"]["bundle"],
        }

    journal = [json.loads(p.read_text()) for p in sorted((project / "journal").rglob("*.json"))]
    return {
        "snapshot": result["snapshot"],
        "supernet": unnamed(result["supernet"]),
        "evaluations": sorted((p.name, p.read_text()) for p in (project / "evaluations").rglob("*.json")),
        "devices": {device["device"]: of_device(device) for device in result["devices"]},
        "journal": [(e["device"], e["number"], e["bundle"], e["verdict"]) for e in journal],
        "ledger": sorted(str(p.relative_to(project)) for p in (project / "ledger").rglob("*.json")),
        "keys": {step: ref for step, ref in accounts.items() if step != "report"},
    }


def kill_in(place: Place, step: str, delay_s: float, kill: Callable[[Process, int], None]) -> bool:
    """Start a run and kill when the step has been at work for a moment; False if the run ended before."""
    # Looked at before the start: on a busy machine the step may be at work when this process is next.
    known = {path: count for path, count in _attempts(place).items() if path.stem == step}
    process = place.start()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        pid = _new_attempt(place, step, known)
        if pid is not None:
            moment = time.monotonic() + delay_s
            while time.monotonic() < moment and _alive(pid):
                time.sleep(0.005)
            # A step that was faster than in the reference has just ended: the run is killed on its way to the next.
            begun = _attempts(place)
            kill(process, pid)
            _end(process, place, begun)
            return True
        time.sleep(0.01)
    raise AssertionError(f"the step {step} did not start within {PATIENCE_S} s")


def _end(process: Process, place: Place, begun: dict[Path, int]) -> None:
    """Wait until the run has ended; a run whose step had done its work when it was killed is stopped in the next."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if _attempts(place) != begun:
            kill_group(process, process.pid)
            break
        time.sleep(0.01)
    process.wait(PATIENCE_S)


def _attempts(place: Place) -> dict[Path, int]:
    """How many attempts each step has had."""
    return {path: len(json.loads(path.read_text())["attempts"]) for path in _accounts(place, "*")}


def _accounts(place: Place, step: str) -> list[Path]:
    return list((place.home / "runs").glob(f"*/steps/{step}.json"))


def _new_attempt(place: Place, step: str, known: dict[Path, int]) -> int | None:
    for path in _accounts(place, step):
        attempts = json.loads(path.read_text())["attempts"]
        if len(attempts) > known.get(path, 0):
            return int(attempts[-1]["pid"])
    return None


def kill_step(process: Process, pid: int) -> None:
    if _alive(pid):
        os.kill(pid, signal.SIGKILL)
    else:
        kill_group(process, pid)


def kill_parent(process: Process, pid: int) -> None:
    os.kill(process.pid, signal.SIGKILL)


def kill_group(process: Process, pid: int) -> None:
    os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(("run", "kill"), [("first", kill_step), ("second", kill_parent), ("second", kill_group)])
def test_a_run_killed_once_in_every_step_ends_as_if_undisturbed(
    run: str, kill: Callable[[Process, int], None], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    reference: Reference = request.getfixturevalue(run)
    place = reference.before.copy(tmp_path / "home")
    working = len(place.runs())
    moments = [MOMENTS[i % len(MOMENTS)] for i in range(len(reference.steps))]
    random.Random(kill.__name__).shuffle(moments)
    work = list(zip(reference.steps, moments, strict=True))
    killed = [step for step, moment in work if kill_in(place, step, moment * reference.seconds[step], kill)]
    assert killed == reference.steps
    done = succeeded(place.run())
    assert {f"gate@{device}" for device in reference.computed["devices"]} <= set(killed)
    ended = [name for name in place.runs() if place.result(name)["outcome"] != "nothing-new"]
    assert len(ended) == working + 1, f"a killed run goes on under its own name: {done.stdout}"
    assert computed(place) == reference.computed


def test_next_wearer_waits_until_the_killed_run_has_ended(config: Path, warm: Warm, tmp_path: Path) -> None:
    """The run that is killed is as a person starts it; the one that goes on is warm."""
    place = Place(tmp_path / "home", config)
    first = place.deliver()
    assert kill_in(place, "supernet", 0.5, kill_group)
    assert "pending" in place.deliver()
    place.warm = warm
    done = succeeded(place.run())
    assert "going on where it was stopped" in done.stdout
    assert "arriving" in first
    assert "arriving" in place.deliver()


def test_an_orphan_of_a_killed_parent_publishes_nothing_and_ends(config: Path, warm: Warm, tmp_path: Path) -> None:
    place = Place(tmp_path / "home", config, warm)
    place.deliver()
    pids: list[int] = []

    def kill(process: Process, pid: int) -> None:
        pids.append(pid)
        kill_parent(process, pid)

    assert kill_in(place, "supernet", 0.5, kill)
    deadline = time.monotonic() + 20
    while _alive(pids[0]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pids[0]), "a step outlived the run that started it"
    assert not list((place.home / "projects/watch/steps/supernet").glob("*/done.json"))


def test_two_runs_at_once_have_one_owner(config: Path, warm: Warm, tmp_path: Path) -> None:
    place = Place(tmp_path / "home", config, warm)
    place.deliver()
    first = place.start()
    while not (place.home / "owner.json").exists():
        time.sleep(0.05)
    refused = place.run("--wait", "0")
    assert refused.returncode == 1
    assert f"owned by process {first.pid}" in refused.stderr
    waited = place.run()
    assert first.wait(PATIENCE_S) == 0, first.output()
    assert waited.returncode == 0
    assert "waiting for it to end" in waited.stdout
    assert "Nothing new" in waited.stdout


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        if not Path("/proc").exists():
            return True
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        # It may end between one look and the next.
        return False


def _status_in_mlflow(place: Place) -> str:
    from mlflow import MlflowClient

    (run,) = place.runs()
    note = json.loads((place.home / "runs" / run / "mlflow.json").read_text())
    return str(MlflowClient(f"sqlite:///{place.home / 'mlflow.db'}").get_run(note["run_id"]).info.status)


def test_ctrl_c_stops_the_run_and_its_step_and_says_how_to_go_on(config: Path, tmp_path: Path) -> None:
    place = Place(tmp_path / "home", config)
    place.deliver()
    process = place.start()
    while not list((place.home / "projects/watch/steps/supernet").glob("*/checkpoint-*/*")):
        assert process.poll() is None
        time.sleep(0.05)
    (account,) = _accounts(place, "supernet")
    pid = json.loads(account.read_text())["attempts"][-1]["pid"]
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Run the same command again" in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 20
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pid)
    assert _status_in_mlflow(place) == "KILLED"
