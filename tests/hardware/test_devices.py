"""Devices, this machine's state, and the networks and locks that measuring leans on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from evernas.config import DeviceConfig
from evernas.errors import UsageError
from evernas.hardware import runtime as runtimes
from evernas.hardware.devices import allowed_cores, environment, quiet_cores, resolve
from evernas.hardware.reference import reference_model, trivial_model
from evernas.hardware.runtime import OnnxRuntimeCpu, runtime_named
from evernas.hardware.session import device_to_oneself


def test_more_threads_than_cores_are_refused_with_key_value_and_mend() -> None:
    cores = len(allowed_cores())
    with pytest.raises(UsageError, match=rf"devices\.phone\.threads is {cores + 1}, .* use at most {cores}"):
        resolve(DeviceConfig(name="phone", threads=cores + 1))
    assert resolve(DeviceConfig(name="phone", threads=cores)).name == "onnxruntime-cpu"


def test_a_runtime_that_is_unknown_or_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"devices\.runtime is 'abacus': use one of onnxruntime-cpu"):
        runtime_named("abacus")
    monkeypatch.setattr(runtimes.OnnxRuntimeCpu, "available", lambda self: False)
    with pytest.raises(UsageError, match=r"not installed here: install evernas\[runner\]"):
        runtime_named("onnxruntime-cpu")


def test_the_environment_reads_what_the_machine_shows(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "processor: 0\nmodel name\t: Abacus 9\ncpu MHz\t: 1200.5\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "sys/class/thermal/thermal_zone0/temp": "41000\n",
        "sys/class/thermal/thermal_zone1/temp": "52500\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = environment("onnxruntime-cpu", tmp_path)
    assert (found["cpu"], found["governor"]) == ("Abacus 9", "performance")
    assert (found["frequency_mhz"], found["temperature_c"]) == (1200.5, 52.5)
    assert found["runtime_version"]
    assert environment("onnxruntime-cpu", tmp_path, core=1)["frequency_mhz"] is None


def test_what_has_no_sensor_is_none_never_zero(tmp_path: Path) -> None:
    found = environment(root=tmp_path)
    assert [found[key] for key in ("governor", "frequency_mhz", "temperature_c", "runtime_version")] == [None] * 4
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("n/a")
    assert environment(root=tmp_path)["temperature_c"] is None


@pytest.mark.skipif(len(allowed_cores()) < 2, reason="one core leaves nothing to choose")
def test_the_core_that_another_program_keeps_busy_is_not_chosen(tmp_path: Path) -> None:
    cores = allowed_cores()
    busy = cores[-1]
    (tmp_path / "proc").mkdir()

    def write(busy_ticks: int) -> None:
        rows = [f"cpu{core} {busy_ticks if core == busy else 0} 0 0 1000 0 0 0 0 0 0" for core in cores]
        (tmp_path / "proc/stat").write_text("\n".join(["cpu 0 0 0 0 0 0 0 0 0 0", *rows]))

    write(0)
    timer = threading.Timer(0.05, write, (20,))
    timer.start()
    assert busy not in quiet_cores(1, seconds=0.3, root=tmp_path)
    assert quiet_cores(1, seconds=0.0, root=tmp_path) == [busy]
    assert quiet_cores(99) == cores


@pytest.mark.parametrize(("model", "classes"), [(reference_model, 32), (trivial_model, 8)])
def test_the_fixed_networks_are_right_onnx_and_always_the_same_bytes(model, classes) -> None:  # type: ignore[no-untyped-def]
    onnx.checker.check_model(onnx.load_from_string(model()), full_check=True)
    scores = OnnxRuntimeCpu().load(model(), 1).run(np.ones((5, 8, 128), np.float32))
    assert scores.shape == (5, classes)
    assert model() == model()


def test_serving_and_measuring_use_one_session_that_gives_the_same_scores_with_more_threads() -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 128), dtype=np.float32)
    one, more = (OnnxRuntimeCpu().load(reference_model(), threads) for threads in (1, 2))
    assert one.input_shape == (8, 128)
    np.testing.assert_allclose(one.run(x), more.run(x), rtol=1e-5)


def test_two_measurements_on_one_machine_take_turns(tmp_path: Path) -> None:
    inside: list[str] = []

    def measure(name: str) -> None:
        with device_to_oneself(lambda: None, tmp_path):
            inside.append(f"{name} in")
            time.sleep(0.1)
            inside.append(f"{name} out")

    threads = [threading.Thread(target=measure, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [step.split()[1] for step in inside] == ["in", "out", "in", "out"]


def test_who_loses_the_claim_while_waiting_for_the_machine_stops(tmp_path: Path) -> None:
    def lost() -> None:
        raise RuntimeError("owned by another")

    with device_to_oneself(lambda: None, tmp_path), pytest.raises(RuntimeError), device_to_oneself(lost, tmp_path):
        pass


def test_hardware_needs_neither_torch_nor_onnx_nor_mlflow() -> None:
    code = (
        "import sys, evernas.bundle, evernas.hardware.bench, evernas.hardware.measure, evernas.hardware.profile\n"
        "import evernas.hardware.predictor\n"
        "evernas.hardware.bench.reference_model()\n"
        "print([name for name in ('torch', 'onnx', 'mlflow', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
