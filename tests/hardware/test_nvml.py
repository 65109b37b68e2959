"""Energy of a GPU by NVML, as a stand-in for driver and GPU tells it: a figure that can be trusted, or a sentence.

The sequences were made up. What a real driver says was not recorded anywhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulated_gpu
from evernas.config import BenchmarkConfig, ConstraintConfig, DeviceConfig, GateConfig, ProfileConfig
from evernas.errors import EvernasError, UsageError
from evernas.gate import Evidence, Measured, decide
from evernas.hardware import trying
from evernas.hardware.energy import Meter, RestartedError, Sensor, SensorError
from evernas.hardware.figures import takes
from evernas.hardware.gpu import Gpu, gpu_state
from evernas.hardware.measure import measure
from evernas.hardware.profile import profile
from evernas.hardware.sensors import sensor_at
from evernas.hardware.sensors.nvml import GpuCounter, GpuPower
from evernas.loop.preflight import _check_sensor
from simulated_nvml import UUID, SimulatedNvml

SIMULATED = (sys.executable, simulated_gpu.__file__)
WORKER = (*SIMULATED, "evernas.hardware.worker")


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> SimulatedNvml:
    """NVML with one GPU, which no variable names."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    made = SimulatedNvml()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    return made


def sensor(chosen: str = "nvml") -> Sensor:
    return sensor_at(chosen, "/nowhere")


class Card:
    """A GPU on a clock of its own. Its counter is renewed every `every_s`, to what was used until then."""

    def __init__(self, nvml: SimulatedNvml, every_s: float = 0.1, start_mj: float = 5e6) -> None:
        self.every_s, self.now, self.used_mj, self.shown = every_s, 0.0, start_mj, (0, int(start_mj))
        self.idle_w, self.watts = 10.0, 10.0
        nvml.answers["nvmlDeviceGetTotalEnergyConsumption"] = lambda: self.shown[1]
        nvml.answers["nvmlDeviceGetPowerUsage"] = lambda: int(1000 * self.watts) + self.shown[0] % 2

    def pass_time(self, seconds: float, watts: float | None = None) -> None:
        """Time goes by in steps so small that no renewal is missed."""
        self.watts = self.idle_w if watts is None else watts
        end = self.now + seconds
        while self.now < end:
            step = min(0.001, end - self.now)
            self.now += step
            self.used_mj += 1000 * step * self.watts
            period = int(self.now / self.every_s + 1e-9)
            if period != self.shown[0]:
                self.shown = (period, int(self.used_mj))

    def meter(self, seconds: float = 0.47) -> Meter:
        counter = GpuCounter(Gpu.find(), lambda: self.now, self.pass_time)
        return Meter(counter, seconds, lambda: self.now, self.pass_time)


@pytest.mark.parametrize("every_s", [0.02, 0.1])
@pytest.mark.parametrize("call_s", [0.001, 0.03, 0.77])
def test_idle_is_taken_off_and_nothing_is_lost_between_two_renewals(
    nvml: SimulatedNvml, every_s: float, call_s: float
) -> None:
    card = Card(nvml, every_s)
    card.pass_time(0.0437)
    meter = card.meter()
    idle_w = meter.idle_w()
    assert idle_w == pytest.approx(10.0, rel=0.01)
    found = meter.window(lambda: card.pass_time(call_s, 60.0), idle_w)
    assert found["mj"] == pytest.approx(1000 * (60.0 - 10.0) * call_s, rel=0.02)


def test_a_counter_that_begins_anew_is_taken_once_more_and_then_given_up(nvml: SimulatedNvml) -> None:
    card = Card(nvml)
    meter, calls = card.meter(), 0

    def work() -> None:
        nonlocal calls
        calls += 1
        card.pass_time(0.05, 60.0)
        if calls == 5:
            card.used_mj = 0.0

    assert meter.window(work, 10.0)["mj"] == pytest.approx(1000 * 50.0 * 0.05, rel=0.02)

    def worse() -> None:
        card.pass_time(0.05, 60.0)
        card.used_mj -= 1e6

    with pytest.raises(RestartedError, match="The counter of No GPU 0 began anew in the middle"):
        meter.window(worse, 10.0)


def test_a_counter_that_stands_still_is_stale(nvml: SimulatedNvml) -> None:
    card = Card(nvml, every_s=1e9)
    with pytest.raises(SensorError, match="counter of No GPU 0 did not change in 5 s: its reading is stale"):
        card.meter().idle_w()


@pytest.mark.parametrize("lack", ["NotSupported", "FunctionNotFound"])
def test_where_no_energy_is_counted_power_is_sampled_and_its_period_said(nvml: SimulatedNvml, lack: str) -> None:
    card = Card(nvml)
    nvml.answers["nvmlDeviceGetTotalEnergyConsumption"] = lack
    found = sensor()
    assert isinstance(found, GpuPower)
    assert found.name == "NVML, sampled power of No GPU 0"
    found._go_on = lambda: None
    found.clock = lambda: card.now
    before = found.read()
    for _ in range(10):
        card.pass_time(0.1, 30.0)
        after = found.read()
    assert found.joules(before, after) == pytest.approx(30.0, rel=0.05)
    assert found.name == "NVML, sampled power of No GPU 0, renewed every 100 ms"
    few = found.read()
    card.pass_time(0.1, 30.0)
    with pytest.raises(SensorError, match=r"renewed 1 times only in 0\.1 s, and at least 5 .* raise energy_seconds"):
        found.joules(few, found.read())
    still = found.read()
    with pytest.raises(SensorError, match="did not change: its reading is stale"):
        found.joules(still, found.read())


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            {"nvmlInit": "LibraryNotFound"},
            r"NVIDIA's driver does not answer \(NVML Shared .*\): install NVIDIA's driver",
        ),
        ({"nvmlInit": "DriverNotLoaded"}, "install NVIDIA's driver, or give the pod a GPU"),
        ({"nvmlInit": "LibRmVersionMismatch"}, "restart the machine, whose driver was renewed meanwhile"),
        ({"nvmlInit": "NoPermission"}, "give the user that measures the right to, or the container the GPU"),
        ({"nvmlDeviceGetCount": 0}, "There is no GPU to ask: NVML shows 0"),
        ({"nvmlDeviceGetMigMode": [1, 1]}, r"No GPU 0 is divided \(MIG\), .*: there is no figure"),
        ({"nvmlDeviceGetMigMode": "Unknown"}, r"No GPU 0 does not answer \(Unknown Error\)"),
        (
            {"nvmlDeviceGetTotalEnergyConsumption": "NoPermission"},
            r"No GPU 0 does not answer \(Insufficient Permissions",
        ),
        ({"nvmlDeviceGetTotalEnergyConsumption": "GpuIsLost"}, "GPU is lost.*: reset the GPU or restart the machine"),
        (
            {"nvmlDeviceGetTotalEnergyConsumption": "NotSupported", "nvmlDeviceGetPowerUsage": "NotSupported"},
            r"No GPU 0 does not answer \(Not Supported\): there is no figure",
        ),
    ],
)
def test_why_there_is_no_figure_is_said(nvml: SimulatedNvml, answers: dict[str, Any], said: str) -> None:
    nvml.answers = answers
    with pytest.raises(SensorError, match=said):
        sensor()
    assert nvml.opened == 0


def test_a_gpu_that_cannot_be_divided_is_whole(nvml: SimulatedNvml) -> None:
    nvml.answers = {"nvmlDeviceGetMigMode": "NotSupported"}
    assert sensor().name == "NVML, energy of No GPU 0"


def test_without_nvidias_module_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evernas.hardware.gpu.importlib.util.find_spec", lambda name: None)
    with pytest.raises(SensorError, match=r"nvidia-ml-py is not installed: install evernas\[nvml\]"):
        sensor()
    assert set(gpu_state().values()) == {None}


@pytest.mark.parametrize(
    ("variables", "chosen", "model"),
    [
        ({}, "nvml:1", "No GPU 1"),
        ({}, f"nvml:{UUID}", "No GPU 0"),
        ({"CUDA_VISIBLE_DEVICES": f"{UUID},GPU-2"}, "nvml", "No GPU 0"),
        ({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "nvml", "No GPU 1"),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "nvml", "No GPU 0"),
    ],
)
def test_of_several_gpus_one_is_named_or_known(
    nvml: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], chosen: str, model: str
) -> None:
    nvml.count = 2
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert sensor(chosen).name == f"NVML, energy of {model}"


@pytest.mark.parametrize(
    ("variables", "chosen", "said"),
    [
        ({}, "nvml", "NVML shows 2 GPUs, and which of them CUDA takes first is not guessed: set CUDA_VISIBLE_DEVICES"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "nvml", "which of them CUDA takes first is not guessed"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "nvml", "CUDA_VISIBLE_DEVICES is ''"),
        ({"CUDA_VISIBLE_DEVICES": "MIG-1"}, "nvml", r"MIG-1 is a part of a GPU \(MIG\)"),
        ({}, "nvml:MIG-8f1d", r"MIG-8f1d is a part of a GPU \(MIG\), .*: there is no figure"),
        ({}, "nvml:2", "There is no GPU 2: NVML shows 2, counted from 0"),
        ({}, "nvml:GPU-2", r"no GPU to ask \(Not Found\): nvidia-smi -L lists the GPUs"),
    ],
)
def test_a_gpu_that_is_not_there_or_not_known_is_not_guessed(
    nvml: SimulatedNvml, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], chosen: str, said: str
) -> None:
    nvml.count = 2
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SensorError, match=said):
        sensor(chosen)
    assert nvml.opened == 0


def test_the_state_holds_what_can_be_read_and_leaves_nothing_open(nvml: SimulatedNvml) -> None:
    nvml.answers = {"nvmlDeviceGetClockInfo": "NotSupported", "nvmlSystemGetDriverVersion": "Unknown"}
    assert gpu_state() == {
        "gpu": "No GPU 0", "gpu_driver": None, "gpu_clock_mhz": None, "gpu_memory_clock_mhz": None,
        "gpu_temperature_c": 45.0, "gpu_power_limit_w": 70.0,
    }  # fmt: skip
    assert nvml.opened == 0
    nvml.answers = {"nvmlInit": "DriverNotLoaded"}
    assert set(gpu_state().values()) == {None}


def test_a_gpus_own_counters_are_its_sensor_unless_another_is_named() -> None:
    assert DeviceConfig(name="a", runtime="onnxruntime-cuda").sensor == "nvml"
    assert DeviceConfig(name="a", runtime="onnxruntime-tensorrt", energy="nvml:1").sensor == "nvml:1"
    assert DeviceConfig(name="a", runtime="onnxruntime-cuda", energy="hwmon:ina3221/VDD_IN").sensor.startswith("hwmon")
    assert DeviceConfig(name="a").sensor is None
    with pytest.raises(ValueError, match="energy is nvml, a GPU's, and onnxruntime-cpu computes on none"):
        DeviceConfig(name="a", energy="nvml")
    for wrong in ("nvml:first", "nvml:", "nvml:0,1", "nvmlx"):
        with pytest.raises(ValueError, match="energy"):
            DeviceConfig(name="a", runtime="onnxruntime-cuda", energy=wrong)


@pytest.fixture
def simulated(nvml: SimulatedNvml, monkeypatch: pytest.MonkeyPatch) -> SimulatedNvml:
    """A machine whose GPU begins; what `answers` of NVML are set by SIMULATED_GPU holds in the workers."""
    monkeypatch.setattr("evernas.hardware.nvidia._built_in", lambda provider: True)
    monkeypatch.setattr(trying, "fault_of", lambda runtime: None)
    return nvml


DEVICE = DeviceConfig(name="box", runtime="onnxruntime-cuda", powercap="/nowhere")
LOST = {"nvml": {"nvmlDeviceGetTotalEnergyConsumption": "GpuIsLost"}}


def test_a_profile_has_the_gpus_energy_which_grows_with_the_work(
    simulated: SimulatedNvml, networks: Any, tmp_path: Path
) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in (16, 10_000)}
    found = profile(
        models, DEVICE, ProfileConfig(subnets=12, seconds=0.5, energy_seconds=0.4), tmp_path / "raw", shape=(3, 32),
        costs=["energy_mj"], worker=WORKER,
    )["energy_mj"]  # fmt: skip
    assert found["width10000"] > 5 * found["width16"] > 0


def test_a_gpu_without_a_figure_ends_a_profile_that_asks_for_it(
    simulated: SimulatedNvml, networks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in (16, 32)}
    options: Any = {"shape": (3, 32), "costs": ["energy_mj"], "worker": WORKER}
    config = ProfileConfig(subnets=12, seconds=0.5, energy_seconds=0.1)
    monkeypatch.setenv("SIMULATED_GPU", json.dumps(LOST))
    with pytest.raises(EvernasError, match=r"box cannot be profiled for it\. No GPU 0 does not answer \(GPU is lost\)"):
        profile(models, DEVICE, config, tmp_path / "raw", **options)
    simulated.answers = {"nvmlDeviceGetMigMode": [1, 1]}
    with pytest.raises(EvernasError, match=r"box cannot be profiled for it\. No GPU 0 is divided \(MIG\)"):
        profile(models, DEVICE, config, tmp_path / "raw", **options)
    with pytest.raises(UsageError, match=r"gate has energy_mj, which box cannot measure\. No GPU 0 is divided"):
        _check_sensor("gate has", DEVICE)


def test_a_gpu_that_is_lost_in_the_middle_gives_null_and_the_gate_holds(
    simulated: SimulatedNvml, networks: Any, quick: BenchmarkConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMULATED_GPU", json.dumps(LOST))
    digest, path = networks.convolution(16)
    config = quick.model_copy(update={"energy_seconds": 0.1, "energy_windows": 2})
    found = measure({digest: path}, DEVICE, config, tmp_path / "raw", champion=None, shape=(3, 32), worker=WORKER)
    document = json.loads(json.dumps(found[digest].to_json()))
    assert document["refused"] is None
    assert (document["energy"], document["energy_mj"]) == (None, None)
    assert document["energy_missing"].startswith("No GPU 0 does not answer (GPU is lost)")
    figures = {name: takes(document, name) for name in ("latency_ms", "latency_p95_ms", "energy_mj")}
    assert figures["energy_mj"] is None
    rows = np.arange(400)
    shown = Evidence(
        Measured(digest, np.ones(400, int), size_kb=document["size_kb"], peak_memory_mb=1.0, **figures),
        None, np.ones(400, int), np.array([f"d{row % 5}" for row in rows]), np.array([f"r{row % 20}" for row in rows]),
    )  # fmt: skip
    verdict = decide(shown, GateConfig(), [ConstraintConfig(metric="energy_mj", max=1e9)])
    assert verdict.outcome == "hold"
    assert "energy_mj of the candidate is missing" in verdict.sentence()


def test_the_stand_in_says_nothing_that_nvidias_own_module_lacks() -> None:
    real = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: pip install -c constraints.txt it")
    said = [name for name in dir(SimulatedNvml()) if name.startswith(("nvml", "NVML"))]
    assert [name for name in said if not hasattr(real, name)] == []
    assert all(issubclass(getattr(real, name), real.NVMLError) for name in said if name.startswith("NVMLError_"))
    for name in ("NVML_CLOCK_SM", "NVML_CLOCK_MEM", "NVML_TEMPERATURE_GPU"):
        assert getattr(real, name) == getattr(SimulatedNvml, name)
