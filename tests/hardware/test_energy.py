"""Energy from a powercap tree as the kernel shows it, and that no figure comes of readings that cannot be trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evernas.config import BenchmarkConfig, DeviceConfig
from evernas.hardware import watch, worker
from evernas.hardware.energy import MOST_WAITS, PATIENCE_S, Energy, Meter, SensorError
from evernas.hardware.figures import takes
from evernas.hardware.measure import measure
from evernas.hardware.measurement import Measurement
from evernas.hardware.reference import trivial_model
from evernas.hardware.rounds import Loaded
from evernas.hardware.runtime import runtime_named
from evernas.hardware.sensors.rapl import Rapl
from evernas.hardware.session import _deadline_s

RANGE_UJ = 262_143_328_850
ZONES = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:2": "psys",
}


class Tree:
    """A two-package machine whose counters rise as time passes, each zone with a power of its own in W."""

    def __init__(self, root: Path, start_uj: int = 10_000_000) -> None:
        self.root, self.now, self.watts = root, 0.0, 0.0
        self.used_uj = {zone: float(start_uj) for zone in ZONES}
        for zone, name in ZONES.items():
            (root / zone).mkdir(parents=True)
            (root / zone / "name").write_text(f"{name}\n")
            (root / zone / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self.pass_time(0.0, 0.0)

    def pass_time(self, seconds: float, watts: float) -> None:
        self.now += seconds
        for zone in ZONES:
            self.used_uj[zone] += 1e6 * seconds * watts
            (self.root / zone / "energy_uj").write_text(f"{int(self.used_uj[zone]) % RANGE_UJ}\n")

    def meter(self, rest: Callable[[float], None] | None = None) -> Meter:
        idle = rest or (lambda seconds: self.pass_time(seconds, 3.0))
        return Meter(Rapl.find(self.root), 1.0, lambda: self.now, idle)


def test_only_packages_count_and_idle_is_taken_off(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    meter = tree.meter()
    assert list(meter.sensor.ranges_uj) == [tmp_path / "intel-rapl:0", tmp_path / "intel-rapl:1"]
    idle_w = meter.idle_w()
    assert idle_w == pytest.approx(6.0)
    found = meter.window(lambda: tree.pass_time(0.01, 8.0), idle_w)
    assert found["mj"] == pytest.approx(1000 * (2 * 8.0 - 6.0) * 0.01)


def test_a_counter_that_wraps_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    tree = Tree(tmp_path, start_uj=RANGE_UJ - 500_000)
    meter = tree.meter(lambda seconds: tree.pass_time(0.001, 3.0))
    found = meter.window(lambda: tree.pass_time(0.01, 8.0), meter.idle_w())
    assert int((tmp_path / "intel-rapl:0" / "energy_uj").read_text()) < RANGE_UJ / 2
    assert found["mj"] == pytest.approx(100.0)


def test_a_reading_that_stands_still_is_stale_and_gives_no_figure(tmp_path: Path) -> None:
    tree = Tree(tmp_path)

    def stuck() -> None:
        tree.now += 0.5

    with pytest.raises(SensorError, match=r"energy_uj did not change: its reading is stale"):
        tree.meter().window(stuck, 6.0)


def test_no_sensor_no_right_and_no_number_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SensorError, match="There is no energy sensor"):
        Rapl.find(tmp_path / "nowhere")
    Tree(tmp_path)
    counter = tmp_path / "intel-rapl:1" / "energy_uj"
    counter.write_text("n/a")
    with pytest.raises(SensorError, match="says 'n/a', which is no count"):
        Rapl.find(tmp_path)
    counter.chmod(0)
    if os.access(counter, os.R_OK):  # root reads all: the kernel's answer to others is given here
        real = Path.read_text

        def refuse(path: Path, *arguments: Any, **options: Any) -> str:
            if path == counter:
                raise PermissionError(13, "Permission denied")
            return real(path, *arguments, **options)

        monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SensorError, match=r"cannot be read \(Permission denied\): give the user that measures"):
        Rapl.find(tmp_path)


def test_energy_that_idle_swallows_is_no_figure() -> None:
    with pytest.raises(SensorError, match="cannot be told from the idle machine's"):
        Energy.of([{"mj": 0.1, "idle_w": 5.0}, {"mj": -0.1, "idle_w": 5.0}], "RAPL")
    found = Energy.of([{"mj": 0.1, "idle_w": 5.0}, {"mj": 0.3, "idle_w": 6.0}], "RAPL")
    assert found.per_inference_mj.median == pytest.approx(0.2)
    measured = Measurement("1" * 64, "here", "onnxruntime-cpu", energy=found, energy_mj=found.per_inference_mj.median)
    document = json.loads(json.dumps(measured.to_json()))
    assert Measurement.from_json(document) == measured
    assert takes(document, "energy_mj") == [0.1, 0.3], "one figure per process goes to the gate"


def test_the_worker_meters_each_network_in_turn_with_the_declared_tree(
    networks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path / "powercap")
    meter = tree.meter()
    monkeypatch.setattr(worker, "Meter", lambda sensor, seconds: meter)
    monkeypatch.setattr(Loaded, "call", lambda self: tree.pass_time(0.1, 8.0))
    small, large = networks.convolution(4), networks.convolution(8)
    own = networks.write(trivial_model())
    models = [
        {"digest": own[0], "path": str(own[1]), "shape": [8, 128]},
        *({"digest": digest, "path": str(path), "shape": [3, 32]} for digest, path in (small, large)),
    ]
    terms = {"threads": 1, "seed": 0, "powercap": str(tree.root), "energy": None, "seconds": 1.0}
    watching = watch.Watch(tmp_path / "current", 30.0)
    found = worker.measure_energy(runtime_named("onnxruntime-cpu"), {**terms, "models": models}, watching)
    assert found["unread"] is None
    assert set(found["energy"]) == {small[0], large[0]}
    for window in found["energy"].values():
        assert window["mj"] == pytest.approx(1000 * (16.0 - 6.0) * 0.1)


class Seldom:
    """A sensor whose reading changes every 50 s only, at 8 W."""

    name, slow = "seldom", True

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now // 50 * 50

    def joules(self, before: float, after: float) -> float:
        return 8.0 * (after - before)


@pytest.mark.parametrize("call_s", [0.5, 29.0])
def test_a_network_that_works_while_a_slow_sensor_waits_is_not_at_fault(
    networks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_s: float
) -> None:
    sensor, rung = Seldom(), [float("inf")]

    def pass_time(seconds: float) -> None:
        sensor.now += seconds
        assert sensor.now < rung[-1], "the alarm has ended the process"

    monkeypatch.setattr(watch.signal, "setitimer", lambda which, s: rung.append(sensor.now + s if s else float("inf")))
    monkeypatch.setattr(worker, "sensor_at", lambda energy, powercap: sensor)
    monkeypatch.setattr(worker, "Meter", lambda of, seconds: Meter(of, seconds, lambda: sensor.now, pass_time))
    digest, path = networks.convolution(4)
    own = networks.write(trivial_model())
    models = [
        {"digest": own[0], "path": str(own[1]), "shape": [8, 128]},
        {"digest": digest, "path": str(path), "shape": [3, 32]},
    ]
    terms = {"threads": 1, "seed": 0, "powercap": "", "energy": None, "seconds": 1.0, "models": models}
    watching = watch.Watch(tmp_path / "current", 32.0, lambda: sensor.now)
    monkeypatch.setattr(Loaded, "call", lambda self: pass_time(call_s))
    found = worker.measure_energy(runtime_named("onnxruntime-cpu"), terms, watching)
    assert found["unread"] is None
    assert set(found["energy"]) == {digest}


def test_one_call_that_hangs_under_a_slow_sensor_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms: list[float] = []
    monkeypatch.setattr(watch.signal, "setitimer", lambda which, seconds: alarms.append(seconds))
    now = [0.0]
    call = watch.Watch(tmp_path / "current", 30.0, lambda: now[0]).over("a" * 64, lambda: None)
    for now[0] in (1.0, 2.0, 2.9, 3.1, 4.0, 6.0, 6.2):
        call()
    assert alarms == [30.0, 30.0, 30.0], "set at the start and every three seconds, and left on"


def test_who_waits_for_a_worker_waits_as_long_as_it_may_for_its_sensor() -> None:
    job = {"seconds": 0.5, "patience_s": 30.5}
    longest = MOST_WAITS * PATIENCE_S
    assert _deadline_s({**job, "waits_s": longest}, 1) == _deadline_s(job, 1) + longest
    assert _deadline_s({**job, "waits_s": longest}, 1) > 2 * 2 * (2 * PATIENCE_S + 0.5)


def test_a_recorded_tree_is_stale_and_the_network_is_measured_without_energy(
    networks: Any, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    Tree(tmp_path / "powercap")
    device = DeviceConfig(name="here", powercap=str(tmp_path / "powercap"))
    config = quick.model_copy(update={"energy_seconds": 0.1, "energy_windows": 2})
    digest, path = networks.convolution(4)
    found = measure({digest: path}, device, config, tmp_path / "raw", champion=None, shape=(3, 32))[digest]
    assert found.refused is None
    assert found.latency is not None
    assert (found.energy, found.energy_mj) == (None, None)
    assert "its reading is stale" in str(found.energy_missing)
