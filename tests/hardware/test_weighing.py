"""The memory of a network, which is its own whatever was weighed before it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from evernas.hardware import weighing
from evernas.hardware.memory import allocated_kb, give_back
from evernas.hardware.reference import trivial_model
from evernas.hardware.results import RawResults
from evernas.hardware.session import Network, WorkerDiedError, run_worker

SHAPE = (3, 32)
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux only: run it there")
JOB = {"kind": "memory", "threads": 1, "seed": 0, "patience_s": 20.0, "max_memory_mb": None, "energy": None}


def weighed(own: Network, networks: list[Network], runtime: str, **job: Any) -> dict[str, Any]:
    return run_worker({**JOB, "runtime": runtime, **job}, [own, *networks], lambda: None)


@pytest.fixture
def own(tmp_path: Path) -> Network:
    return RawResults(tmp_path / "raw", "key").own_network("trivial.onnx", trivial_model())


def sizes(networks: Any) -> list[Network]:
    return [Network(*networks.convolution(width), SHAPE) for width in (4, 16_000, 64, 100_000, 8)]


@linux
@pytest.mark.parametrize("runtime", ["onnxruntime-cpu", "openvino-cpu"])
def test_a_network_weighs_the_same_whatever_was_weighed_before_it(networks: Any, own: Network, runtime: str) -> None:
    some = sizes(networks)
    first, second = weighed(own, some, runtime), weighed(own, some[::-1], runtime)
    assert first["refused"] == {}
    small, middle, _, large, _ = (network.digest for network in some)
    for name, within in (("allocated_mb", 0.02), ("peak_memory_mb", 0.12)):
        found, again = first[name], second[name]
        assert set(found) == {network.digest for network in some}
        for digest, value in found.items():
            assert again[digest] == pytest.approx(value, rel=within, abs=0.05), name
        assert found[small] < found[middle] < found[large]
        # Weights of 9 float32 and a row of 32 activations for each of the channels.
        weights_mb = (100_000 - 16_000) * 9 * 4 / 1e6
        assert found[large] - found[middle] > weights_mb


def test_what_is_allocated_is_counted_and_what_is_freed_is_not() -> None:
    if allocated_kb() is None:
        pytest.skip("this C library does not tell what is allocated: run it with the GNU C library 2.33 or newer")
    give_back()
    before = allocated_kb()
    assert before is not None
    held = np.ones(10_000_000, np.uint8)
    during = allocated_kb()
    assert during is not None
    assert during - before == pytest.approx(10_000, rel=0.05)
    del held
    after = allocated_kb()
    assert after is not None
    assert after - before < 1000


@linux
def test_a_network_that_hangs_is_named_and_leaves_no_process(networks: Any, own: Network) -> None:
    good, bad = Network(*networks.convolution(4), SHAPE), Network(*networks.hanging(), SHAPE)
    with pytest.raises(WorkerDiedError, match="did not answer within 1 s") as died:
        weighed(own, [good, bad], "onnxruntime-cpu", patience_s=1.0)
    assert died.value.digest == bad.digest
    assert not _workers()


@linux
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV])
def test_as_the_copy_ends_so_does_the_measuring_process(sent: signal.Signals, tmp_path: Path) -> None:
    """By SIGKILL where the system has no memory left: what is told of the network is that, and no error of ours."""
    script = (
        "import os; from pathlib import Path; from evernas.hardware import weighing; "
        "from evernas.hardware.watch import Watch; "
        f"watch = Watch(Path({str(tmp_path / 'current')!r}), 20.0); "
        f"weighing._copied(lambda: os.kill(os.getpid(), {int(sent)}), watch, {{'digest': 'own'}})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (-sent, "")


@linux
def test_whoever_gives_up_leaves_no_process(networks: Any, own: Network) -> None:
    seen: list[psutil.Process] = []

    def give_up() -> None:
        seen[:] = _workers()
        if len(seen) >= 2:
            raise TimeoutError("enough")

    bad = Network(*networks.hanging(), SHAPE)
    with pytest.raises(TimeoutError, match="enough"):
        run_worker({**JOB, "runtime": "onnxruntime-cpu", "patience_s": 60.0}, [own, bad], give_up)
    _, left = psutil.wait_procs(seen, timeout=5)
    assert left == []


def test_where_processes_cannot_be_copied_networks_are_weighed_in_one(
    networks: Any, own: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evernas.hardware.runtime import runtime_named
    from evernas.hardware.watch import Watch

    monkeypatch.setattr(weighing, "COPIES", False)
    some = sizes(networks)
    job = {**JOB, "models": [network.to_json() for network in [own, *some]]}
    watch = Watch(networks.folder / "current", 20.0)
    found = weighing.measure_memory(runtime_named("onnxruntime-cpu"), job, watch)
    assert set(found["peak_memory_mb"]) == {network.digest for network in some}


def _workers() -> list[psutil.Process]:
    """The measuring processes that this one began, and their copies."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "evernas.hardware.worker" in process.cmdline():
                found.append(process)
    return found
