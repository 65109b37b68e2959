"""CUDA and TensorRT as far as a machine without a GPU shows them: what is asked for, and what is refused.

Nothing here ran on a GPU: simulated providers say that they run what the CPU's provider computes.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
from onnx import helper

import simulated_gpu
from evernas.config import ON_GPU, BenchmarkConfig, DeviceConfig
from evernas.errors import EvernasError, UsageError
from evernas.hardware import nvidia, trying, worker
from evernas.hardware.devices import allowed_cores, resolve
from evernas.hardware.measure import measure
from evernas.hardware.reference import reference_model
from evernas.hardware.rounds import settle
from evernas.hardware.runtime import answering, runtime_named, runtimes
from evernas.hardware.trying import fault_of
from evernas.steps.answers import answer
from evernas.steps.predictions import scores_of
from evernas.steps.profile import device_inputs
from simulated_nvml import SimulatedNvml

SIMULATED = (sys.executable, simulated_gpu.__file__)
WORKER, COLD_WORKER, TRYING = (
    (*SIMULATED, f"evernas.hardware.{module}") for module in ("worker", "cold_worker", "trying")
)
GPU_RUNTIMES = pytest.mark.parametrize("name", ON_GPU)


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Begins a simulation in this process, in which NVML is one, too; all is as it was afterwards."""
    monkeypatch.setitem(sys.modules, "pynvml", SimulatedNvml())
    for attribute in ("InferenceSession", "get_available_providers", "preload_dlls"):
        monkeypatch.setattr(onnxruntime, attribute, getattr(onnxruntime, attribute, None), raising=False)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    nvidia._find_libraries.cache_clear()
    yield simulated_gpu.simulate
    nvidia._find_libraries.cache_clear()


def test_the_config_knows_every_runtime_and_which_compute_on_a_gpu() -> None:
    assert set(get_args(DeviceConfig.model_fields["runtime"].annotation)) == set(runtimes())
    assert set(ON_GPU) == {name for name, runtime in runtimes().items() if runtime.place.on_gpu}


@GPU_RUNTIMES
def test_the_provider_is_asked_for_in_float32_and_no_error_is_answered_by_another(simulate: Any, name: str) -> None:
    session = simulate()
    x = np.random.default_rng(0).standard_normal((3, 8, 128), dtype=np.float32)
    loaded = runtime_named(name).load(reference_model(), 1)
    assert loaded.input_shape == (8, 128)
    np.testing.assert_array_equal(loaded.run(x), runtime_named("onnxruntime-cpu").load(reference_model(), 1).run(x))
    providers, options = session.asked[0]
    cuda = (nvidia.CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
    assert providers == ([cuda] if name == "onnxruntime-cuda" else [nvidia.TENSORRT, cuda])
    assert options == {"enable_fallback": 0}


def test_tensorrt_is_told_to_keep_to_float32_by_nvidias_own_variable(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    runtime_named("onnxruntime-tensorrt").load(reference_model(), 1)
    assert nvidia.os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


@pytest.mark.filterwarnings("ignore:Specified provider")
@GPU_RUNTIMES
def test_the_real_onnxruntime_leaves_out_what_it_cannot_begin_and_that_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No simulation: the installed onnxruntime itself goes on without the GPU and without an error."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    mend = "install TensorRT 10" if "tensorrt" in name else r"install evernas\[runner-cuda\]"
    library = f"libonnxruntime_providers_{name.removeprefix('onnxruntime-')}.so: cannot open shared object file"
    said = rf"{name} cannot use a GPU here, and onnxruntime would go on without an error .*{library}.*: {mend}"
    with pytest.raises(UsageError, match=said):
        runtimes()[name].load(reference_model(), 1)


def test_tensorrt_that_falls_back_to_cuda_is_refused(simulate: Any) -> None:
    simulate(begins=[nvidia.CUDA])
    with pytest.raises(UsageError, match="onnxruntime-tensorrt cannot use a GPU here"):
        runtime_named("onnxruntime-tensorrt").load(reference_model(), 1)
    runtime_named("onnxruntime-cuda").load(reference_model(), 1)


def test_tensorrt_that_begins_and_takes_nothing_is_refused(simulate: Any) -> None:
    simulate(taken_by=nvidia.CUDA)
    with pytest.raises(EvernasError, match="runs nothing of the network: CUDAExecutionProvider took all of it"):
        runtime_named("onnxruntime-tensorrt").load(reference_model(), 1)


@GPU_RUNTIMES
def test_a_network_of_which_nodes_would_run_on_the_cpu_is_refused_with_their_kinds(simulate: Any, name: str) -> None:
    simulate(left=["Relu", "Conv"])
    with pytest.raises(EvernasError, match=rf"{name} would run Conv, Relu of the network on the CPU"):
        runtime_named(name).load(reference_model(), 1)


def test_nodes_inside_a_loop_count_too(simulate: Any, networks: Any) -> None:
    simulate(left=["Sqrt"])
    with pytest.raises(EvernasError, match="would run Sqrt of the network on the CPU"):
        runtime_named("onnxruntime-cuda").load(networks.hanging()[1].read_bytes(), 1)


def of_shapes(networks: Any) -> bytes:
    """A network that asks how large its input is, as exports of dynamic sizes do."""
    build = sys.modules[type(networks).__module__].model_bytes
    nodes = [
        helper.make_node("Shape", ["input"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["g"]),
        helper.make_node("Concat", ["g", "rest"], ["t"], axis=0),
        helper.make_node("Relu", ["input"], ["r"]),
        helper.make_node("Reshape", ["r", "t"], ["scores"]),
    ]
    return build(nodes, {"first": np.array([0], np.int64), "rest": np.array([-1], np.int64)})


def test_nodes_of_shapes_may_stay_on_the_cpu(simulate: Any, networks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = simulate(left=["Shape", "Gather", "Concat"])
    # The CPU's optimiser folds them away, the GPU's does not: they are as they stand in the file.
    kinds = ["Shape", "Gather", "Concat", "Relu", "Reshape"]
    parts = [
        type("Part", (), {"ep_name": "CPUExecutionProvider" if kind in session.left else nvidia.CUDA,
                          "get_nodes": lambda self, kind=kind: [type("Node", (), {"op_type": kind})()]})()
        for kind in kinds
    ]  # fmt: skip
    monkeypatch.setattr(session, "get_provider_graph_assignment_info", lambda self: parts)
    loaded = runtime_named("onnxruntime-cuda").load(of_shapes(networks), 1)
    assert loaded.run(np.ones((2, 3, 32), np.float32)).shape == (2, 96)


def test_where_no_shape_is_asked_for_no_node_may_stay_on_the_cpu(simulate: Any, networks: Any) -> None:
    """Of a newer operator set a GPU's provider may lack what it has of older ones."""
    simulate(left=["Concat"])
    build = sys.modules[type(networks).__module__].model_bytes
    doubled = build([helper.make_node("Concat", ["input", "input"], ["scores"], axis=1)], {})
    with pytest.raises(EvernasError, match="would run Concat of the network on the CPU"):
        runtime_named("onnxruntime-cuda").load(doubled, 1)


@GPU_RUNTIMES
def test_a_network_that_the_provider_refuses_is_no_fault_of_the_machine(
    simulate: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    simulate()
    monkeypatch.setattr(nvidia, "_lacking", lambda provider: None)
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        runtime_named(name).load(b"no network", 1)
    monkeypatch.setattr(nvidia, "_lacking", lambda provider: "libnvinfer.so.10: cannot open shared object file")
    with pytest.raises(UsageError, match=rf"{name} cannot use a GPU here, .*\(libnvinfer.so.10: cannot open"):
        runtime_named(name).load(b"no network", 1)


def test_only_the_device_itself_has_to_have_its_runtime(tmp_path: Path) -> None:
    here: Any = SimpleNamespace(device=DeviceConfig(name="box", runtime="onnxruntime-cuda"))
    x = np.random.default_rng(0).standard_normal((2, 8, 128), dtype=np.float32)
    scores, version = scores_of(here, reference_model(), x)
    assert scores.shape == (2, 32)
    assert version == runtime_named("onnxruntime-cpu").version()
    with pytest.raises(UsageError, match="'onnxruntime-cuda', which is not installed here"):
        scores_of(here, reference_model(), x, on_device=True)
    questions, model = tmp_path / "questions.npy", tmp_path / "model.onnx"
    np.save(questions, x)
    model.write_bytes(reference_model())
    finalists: Any = SimpleNamespace(file=lambda name: questions)
    bundles: Any = [SimpleNamespace(digest="d", inputs=lambda raw: raw, model_path=model)]
    with pytest.raises(UsageError, match="'onnxruntime-cuda', which is not installed here"):
        answer(here, finalists, bundles, tmp_path)


def test_what_a_device_is_known_by_has_its_gpu_and_nothing_new_without_one(simulate: Any) -> None:
    usual = device_inputs(DeviceConfig(name="box"))
    assert set(usual) == {"device", "runtime", "runtime_version", "threads", "cpu"}
    simulate()
    found = device_inputs(DeviceConfig(name="box", runtime="onnxruntime-cuda"))
    assert found == {**usual, "runtime": "onnxruntime-cuda", "gpu": "No GPU 0"}


def _known_by(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What a device's GPU is known by, under these variables."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return str(device_inputs(DeviceConfig(name="box", runtime="onnxruntime-cuda"))["gpu"])


def test_two_gpus_that_nvml_does_not_know_are_told_apart_by_what_cuda_shows(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    nvml = sys.modules["pynvml"]
    monkeypatch.setattr(nvml, "answers", {"nvmlInit": "DriverNotLoaded"})
    seen = [_known_by(monkeypatch, CUDA_VISIBLE_DEVICES=first) for first in ("GPU-1", "GPU-2", "0", "1")]
    assert len({*seen, _known_by(monkeypatch)}) == 5
    assert seen[0] == "CUDA_VISIBLE_DEVICES=GPU-1"
    in_order = _known_by(monkeypatch, CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert in_order not in seen, "another one may be the second"


def test_of_several_gpus_of_which_the_first_is_not_known_all_are_named(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    nvml = sys.modules["pynvml"]
    monkeypatch.setattr(nvml, "count", 2)
    assert _known_by(monkeypatch) == "the first GPU of No GPU 0, No GPU 1"
    assert _known_by(monkeypatch, CUDA_VISIBLE_DEVICES="1") == "CUDA_VISIBLE_DEVICES=1 of No GPU 0, No GPU 1"
    assert _known_by(monkeypatch, CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID") == "No GPU 1"
    monkeypatch.setattr(nvml, "count", 0)
    assert _known_by(monkeypatch) == "the first GPU"
    assert nvml.opened == 0


def test_a_part_of_a_gpu_is_known_by_its_size_or_else_by_its_uuid(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    nvml = sys.modules["pynvml"]
    parts = {"MIG-1": "No GPU MIG 1g.5gb", "MIG-2": "No GPU MIG 2g.10gb", "MIG-3": "No GPU"}
    monkeypatch.setattr(nvml, "parts", parts)
    assert _known_by(monkeypatch, CUDA_VISIBLE_DEVICES="MIG-1,MIG-2") == "No GPU MIG 1g.5gb"
    assert _known_by(monkeypatch, CUDA_VISIBLE_DEVICES="MIG-2") == "No GPU MIG 2g.10gb"
    assert _known_by(monkeypatch, CUDA_VISIBLE_DEVICES="MIG-3") == "No GPU MIG-3"
    assert _known_by(monkeypatch, CUDA_VISIBLE_DEVICES="MIG-4") == "CUDA_VISIBLE_DEVICES=MIG-4"
    assert _known_by(monkeypatch) == "No GPU MIG 1g.5gb", "CUDA takes the first part"
    monkeypatch.setattr(nvml, "answers", {"nvmlDeviceGetMaxMigDeviceCount": "Unknown"})
    assert _known_by(monkeypatch) == "No GPU 0, the first GPU"
    assert nvml.opened == 0


@GPU_RUNTIMES
def test_where_it_is_not_installed_the_mend_says_what_must_not_lie_beside_it(name: str) -> None:
    said = rf"'{name}', which is not installed here: install evernas\[runner-cuda\], after `pip uninstall onnxruntime`"
    with pytest.raises(UsageError, match=said):
        runtime_named(name)


def test_an_onnxruntime_that_does_not_tell_who_runs_what_is_none(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = simulate()
    assert runtimes()["onnxruntime-cuda"].available()
    monkeypatch.delattr(simulated_gpu.Simulated, "get_provider_graph_assignment_info")
    assert not hasattr(session, "get_provider_graph_assignment_info")
    assert not runtimes()["onnxruntime-cuda"].available()


def test_away_from_the_device_the_cpu_answers_for_a_gpu_and_for_no_other(
    simulate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [answering(name).name for name in ON_GPU] == ["onnxruntime-cpu"] * 2
    monkeypatch.setattr(type(runtimes()["openvino-cpu"]), "available", lambda self: False)
    with pytest.raises(UsageError, match="'openvino-cpu', which is not installed here"):
        answering("openvino-cpu")
    simulate()
    assert [answering(name).name for name in ON_GPU] == list(ON_GPU)
    with pytest.raises(UsageError, match="'abacus': use one of"):
        answering("abacus")


def test_a_gpu_is_tried_in_a_process_of_its_own(simulate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate()
    runtime = runtime_named("onnxruntime-cuda")
    assert fault_of(runtime, TRYING) is None
    monkeypatch.setenv("SIMULATED_GPU", json.dumps({"begins": []}))
    assert "onnxruntime-cuda cannot use a GPU here" in str(fault_of(runtime, TRYING))
    crash = (sys.executable, "-c", "import os; os._exit(7)")
    assert fault_of(runtime, crash) == "onnxruntime-cuda ended the process that tried it (exit code 7)."
    monkeypatch.setattr(trying.subprocess, "run", _too_late)
    assert fault_of(runtime, TRYING) == "onnxruntime-cuda did not answer to a trivial network within 60 s."


def _too_late(command: Any, **options: Any) -> None:
    raise trying.subprocess.TimeoutExpired(command, options["timeout"])


def test_a_device_whose_gpu_is_missing_is_refused_with_its_key(simulate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate()
    monkeypatch.setattr(trying, "fault_of", lambda runtime: "there is none.")
    with pytest.raises(UsageError, match=r"devices\.box\.runtime is 'onnxruntime-cuda': there is none\."):
        resolve(DeviceConfig(name="box", runtime="onnxruntime-cuda"))


def test_a_device_works_until_it_is_at_its_clocks_and_a_processor_does_not() -> None:
    called: list[str] = []

    def watched(call: Any) -> Any:
        called.append("watched")
        return call

    settle(lambda: called.append("call"), 0.0, watched)
    assert called == []
    settle(lambda: called.append("call"), 1e-6, watched)
    assert called[0] == "watched"
    assert all(runtime.place.settles_s > 0 for runtime in runtimes().values() if runtime.place.on_gpu)


class SettledError(Exception):
    """The device was let work, for so many seconds."""


@pytest.mark.parametrize("work", [worker.measure_latency, worker.measure_load, worker.measure_energy])
def test_nothing_is_taken_of_a_gpu_before_it_worked_for_a_while(
    work: Any, networks: Any, simulate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settled(call: Any, seconds: float, watched: Any) -> None:
        watched(call)()
        raise SettledError(seconds)

    simulate()
    runtime = runtime_named("onnxruntime-cuda")
    monkeypatch.setattr(worker, "settle", settled)
    monkeypatch.setattr(worker.gc, "disable", lambda: None)
    files = [(networks.write(reference_model()), [8, 128]), (networks.convolution(4), [3, 32])]
    models = [{"digest": digest, "path": str(path), "shape": shape} for (digest, path), shape in files]
    job = {
        "models": models, "threads": 1, "seed": 0, "clients": [1], "allowed_cores": allowed_cores(), "energy": "nvml",
        "powercap": "", "seconds": 0.1,
    }  # fmt: skip
    watch = worker.Watch(tmp_path / "current", 30.0)
    with pytest.raises(SettledError, match=str(runtime.place.settles_s)):
        work(runtime, job, watch)
    watch.off()


@GPU_RUNTIMES
def test_a_gpu_is_measured_with_its_state_and_its_energy(
    name: str, simulate: Any, networks: Any, quick: BenchmarkConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    monkeypatch.setattr(trying, "fault_of", lambda runtime: None)
    good, bad = networks.convolution(400), networks.hanging()
    monkeypatch.setenv("SIMULATED_GPU", json.dumps({"left": ["Loop", "Sqrt"]}))
    config = quick.model_copy(
        update={"cold_starts": 1, "load_clients": [2], "energy_seconds": 0.3, "energy_windows": 2}
    )
    device = DeviceConfig(name="box", runtime=name, powercap="/nowhere")
    found = measure(
        dict([good, bad]), device, config, tmp_path / "raw", champion=None, shape=(3, 32), worker=WORKER,
        cold_worker=COLD_WORKER,
    )  # fmt: skip
    assert re.search(rf"{name} would run Loop, Sqrt of the network on the CPU", str(found[bad[0]].refused))
    one = found[good[0]]
    assert (one.refused, one.runtime) == (None, name)
    assert one.latency is not None
    assert one.cold_start is not None
    assert one.load is not None
    assert one.energy is not None, one.energy_missing
    assert one.energy.sensor == "NVML, energy of No GPU 0"
    assert one.energy_mj is not None
    assert one.energy_mj > 0
    of_gpu = {key: value for key, value in one.environment.items() if key.startswith("gpu")}
    assert of_gpu == {
        "gpu": "No GPU 0", "gpu_driver": "580.1", "gpu_clock_mhz": 1000.0, "gpu_memory_clock_mhz": 2000.0,
        "gpu_temperature_c": 45.0, "gpu_power_limit_w": 70.0, "gpu_clock_before_mhz": 1000.0,
        "gpu_temperature_before_c": 45.0,
    }  # fmt: skip


def test_a_gpu_that_is_lost_meanwhile_is_the_machines_fault_and_said(
    simulate: Any, networks: Any, quick: BenchmarkConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate()
    monkeypatch.setattr(trying, "fault_of", lambda runtime: None)
    monkeypatch.setenv("SIMULATED_GPU", json.dumps({"begins": []}))
    digest, path = networks.convolution(4)
    device = DeviceConfig(name="box", runtime="onnxruntime-cuda")
    found = measure({digest: path}, device, quick, tmp_path / "raw", champion=None, shape=(3, 32), worker=WORKER)
    said = str(found[digest].refused)
    assert said.startswith("No network could be measured: the process ended")
    assert "onnxruntime-cuda cannot use a GPU here" in said
    assert list((tmp_path / "raw").glob("*.json")) == [], "the next run tries again"


def test_the_reference_that_is_refused_ends_the_process_with_the_reason(
    networks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, path = networks.write(b"no network")
    job = {"models": [{"digest": digest, "path": str(path), "shape": [8, 128]}], "threads": 1, "seed": 0}
    with pytest.raises(SystemExit, match="cannot run the network"):
        worker.measure_latency(runtime_named("onnxruntime-cpu"), job, worker.Watch(tmp_path / "current", 30.0))


def test_patience_is_the_runtimes_own_unless_another_is_given(
    simulate: Any, networks: Any, quick: BenchmarkConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine of TensorRT is built within one stage, and takes minutes."""
    simulate()
    monkeypatch.setattr(trying, "fault_of", lambda runtime: None)
    kept = tmp_path / "kept"
    keeps = (sys.executable, "-c", f"import shutil, sys; shutil.copy(sys.argv[1], {str(kept)!r})")
    digest, path = networks.convolution(4)
    for name, given in (("onnxruntime-cpu", None), ("onnxruntime-tensorrt", None), ("onnxruntime-tensorrt", 5.0)):
        device = DeviceConfig(name="box", runtime=name)
        measure(
            {digest: path}, device, quick, tmp_path / "raw", champion=None, shape=(3, 32), worker=keeps,
            patience_s=given,
        )  # fmt: skip
        assert json.loads(kept.read_text())["patience_s"] == (given or runtimes()[name].place.patience_s)
    assert runtimes()["onnxruntime-tensorrt"].place.patience_s > runtimes()["onnxruntime-cpu"].place.patience_s
