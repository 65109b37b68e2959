"""Measuring real networks in real processes, and what is said of those that cannot be measured."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from evernas.config import BenchmarkConfig, DeviceConfig
from evernas.digest import digest_value
from evernas.errors import UsageError
from evernas.hardware.devices import resolve
from evernas.hardware.measure import measure, work_of
from evernas.hardware.measurement import Measurement

CRASHING = (sys.executable, str(Path(__file__).with_name("crashing_worker.py")))
NO_WORKER = (sys.executable, "-c", "raise SystemExit('nothing may be measured here')")
CHANNELS, LENGTH = 3, 32
SHAPE = {"shape": (CHANNELS, LENGTH)}


def test_every_figure_of_a_network_and_its_champion(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    small, large = networks.convolution(4), networks.convolution(256)
    said: list[tuple[int, int, str]] = []
    found = measure(
        dict([small, large]),
        device,
        quick,
        tmp_path / "raw",
        champion=large[0],
        on_progress=lambda *now: said.append(now),
        **SHAPE,
    )
    figures = found[small[0]]
    assert figures.refused is None
    assert figures.latency is not None
    assert 0 < figures.latency.median_ms <= figures.latency.p95_ms <= figures.latency.p99_ms
    assert len(figures.latency.per_restart_median_ms) == quick.restarts
    assert figures.ratio_to_champion is not None
    assert all(ratio < 1 for ratio in figures.ratio_to_champion)
    assert found[large[0]].ratio_to_champion == (1.0, 1.0)
    assert figures.ratio_to_reference is not None
    assert figures.size_kb == small[1].stat().st_size / 1000
    assert figures.peak_memory_mb is not None
    assert figures.energy_mj is None
    assert "There is no energy sensor" in str(figures.energy_missing)
    assert not figures.recorded
    assert figures.environment["runtime"] == "onnxruntime-cpu"
    assert Measurement.from_json(json.loads(json.dumps(figures.to_json()))) == figures
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)
    assert all(done < total for done, total, _ in said)


def test_a_network_that_hangs_is_refused_and_the_others_are_measured(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    good, bad = networks.convolution(4), networks.hanging()
    found = measure(dict([good, bad]), device, quick, tmp_path / "raw", champion=None, patience_s=1.0, **SHAPE)
    assert found[good[0]].refused is None
    assert found[bad[0]].refused == "The network did not answer within 1 s."
    assert found[bad[0]].latency is None


@pytest.mark.parametrize("kind", ["memory", "latency"])
def test_a_network_that_crashes_the_runtime_is_refused_and_the_others_are_measured(
    kind: str,
    networks: Any,
    device: DeviceConfig,
    quick: BenchmarkConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, bad = networks.convolution(4), networks.convolution(8)
    monkeypatch.setenv("TEST_CRASH", bad[0])
    monkeypatch.setenv("TEST_CRASH_KIND", kind)
    models, raw = dict([good, bad]), tmp_path / "raw"
    found = measure(models, device, quick, raw, champion=bad[0], worker=CRASHING, **SHAPE)
    assert found[good[0]].refused is None
    assert found[good[0]].ratio_to_champion is None
    assert found[bad[0]].refused == "The network ended the measuring process (SIGSEGV)."
    assert measure(models, device, quick, raw, champion=bad[0], worker=NO_WORKER, **SHAPE) == found


def test_bytes_that_are_no_network_are_refused_with_the_runtimes_words(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    truncated = networks.write(networks.convolution(64)[1].read_bytes()[:-200])
    found = measure(dict([truncated]), device, quick, tmp_path / "raw", champion=None, **SHAPE)
    assert "onnxruntime-cpu cannot run the network" in str(found[truncated[0]].refused)


def test_a_file_that_was_changed_after_it_was_logged_is_never_loaded(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    digest, path = networks.convolution(4)
    path.write_bytes(networks.convolution(5)[1].read_bytes())
    gone = ("0" * 64, tmp_path / "gone.onnx")
    found = measure(
        dict([(digest, path), gone]), device, quick, tmp_path / "raw", champion=None, worker=NO_WORKER, **SHAPE
    )
    assert "changed after it was logged" in str(found[digest].refused)
    assert "cannot be read (No such file or directory)" in str(found[gone[0]].refused)


def test_a_network_of_another_shape_than_the_contract_is_refused(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    digest, path = networks.convolution(4, length=64)
    found = measure({digest: path}, device, quick, tmp_path / "raw", champion=None, **SHAPE)
    assert "takes inputs of shape (3, 64), the contract says (3, 32)" in str(found[digest].refused)


def test_when_no_process_can_start_all_are_refused_and_the_next_run_tries_again(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    models = dict([networks.convolution(4)])
    broken = measure(models, device, quick, tmp_path / "raw", champion=None, worker=NO_WORKER, **SHAPE)
    assert all("nothing may be measured here" in str(one.refused) for one in broken.values())
    mended = measure(models, device, quick, tmp_path / "raw", champion=None, **SHAPE)
    assert all(one.refused is None for one in mended.values())


def test_latency_that_never_settles_is_refused_and_takes_its_pairs_along(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    steady, wild = networks.convolution(4), networks.convolution(8)
    models, raw = dict([steady, wild]), tmp_path / "raw"
    measure(models, device, quick, raw, champion=wild[0], **SHAPE)
    first = json.loads((raw / "restart-0.json").read_bytes())
    for number in range(quick.restarts * 3):
        first["result"]["quiet"] = True
        first["result"]["models"][wild[0]]["median_ms"] = 1.0 + 30.0 * (number % 2) ** 2
        (raw / f"restart-{number}.json").write_text(json.dumps(first))
    strict = quick.model_copy(update={"max_variation": 1.0})
    tolerant = measure(models, device, quick, raw, champion=wild[0], worker=NO_WORKER, **SHAPE)
    assert tolerant[wild[0]].refused is None
    key = json.loads((raw / "restart-0.json").read_bytes())["key"]
    rekeyed = measure(models, device, strict, raw, champion=wild[0], worker=NO_WORKER, **SHAPE)
    assert all(one.refused for one in rekeyed.values()), "other settings must not read these results"
    for path in raw.glob("*-*.json"):
        path.write_text(path.read_text().replace(key, _key_of(models, device, strict)))
    found = measure(models, device, strict, raw, champion=wild[0], worker=NO_WORKER, **SHAPE)
    assert "varied by 133% over 2 restarts (at most 100% is allowed), also after 4 more" in str(found[wild[0]].refused)
    assert found[wild[0]].latency is not None
    assert found[steady[0]].refused is None
    assert found[steady[0]].ratio_to_champion is None


def test_figures_of_a_machine_whose_cores_others_hold_are_refused_after_as_many_restarts_as_unsteady_ones(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    small, large = networks.convolution(4), networks.convolution(8)
    models, raw = dict([small, large]), tmp_path / "raw"
    # No process has a processor for all of its time.
    greedy = quick.model_copy(update={"min_cpu_share": 1.0, "cold_starts": 1})
    found = measure(models, device, greedy, raw, champion=small[0], **SHAPE)
    assert len(list(raw.glob("restart-*.json"))) == 3 * quick.restarts
    for one in found.values():
        said = re.fullmatch(
            r"The measuring process had a processor for ([\d.]+)% of the time in which it ran the networks \(at least "
            r"100\.0% is asked for\), also after 4 more restarts: other programs hold the cores\. End them, or measure "
            r"when they rest, or lower benchmark\.min_cpu_share\.",
            str(one.refused),
        )
        assert said is not None, one.refused
        assert one.environment["lowest_cpu_share"] == pytest.approx(float(said[1]) / 100, abs=0.001)
        assert one.latency is not None
        assert (one.ratio_to_champion, one.cold_start) == (None, None)


def test_after_a_kill_in_the_middle_nothing_is_measured_twice_and_no_process_is_left(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    digest, path = networks.convolution(4)
    slower = quick.model_copy(update={"restarts": 3, "seconds": 0.4})
    raw = tmp_path / "raw"
    script = (
        "import json, sys; from pathlib import Path; from evernas.config import *\n"
        "from evernas.hardware.measure import measure\n"
        "digest, path, raw, config = sys.argv[1:]\n"
        "here = DeviceConfig(name='here', powercap='/nowhere')\n"
        "measure({digest: Path(path)}, here, BenchmarkConfig(**json.loads(config)), Path(raw), "
        f"champion=None, shape=({CHANNELS}, {LENGTH}))"
    )
    command = [sys.executable, "-c", script, digest, str(path), str(raw), slower.model_dump_json()]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    _until(lambda: (raw / "restart-0.json").exists())
    _until(lambda: bool(psutil.Process(process.pid).children()))
    workers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {file.name: file.stat().st_mtime_ns for file in raw.glob("*-*.json")}
    _until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    found = measure({digest: path}, device, slower, raw, champion=None, **SHAPE)
    assert found[digest].refused is None
    assert {"restart-0.json", f"memory-{digest[:16]}.json"} <= set(before)
    assert all((raw / name).stat().st_mtime_ns == at for name, at in before.items())
    assert measure({digest: path}, device, slower, raw, champion=None, worker=NO_WORKER, **SHAPE) == found


def test_a_torn_result_is_measured_again(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    models, raw = dict([networks.convolution(4)]), tmp_path / "raw"
    measure(models, device, quick, raw, champion=None, **SHAPE)
    torn = raw / "restart-1.json"
    torn.write_bytes(torn.read_bytes()[:40])
    found = measure(models, device, quick, raw, champion=None, **SHAPE)
    assert all(one.refused is None for one in found.values())
    assert json.loads(torn.read_bytes())["result"]["models"]


def test_losing_the_claim_stops_measuring_and_writes_nothing(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    def lost() -> None:
        raise RuntimeError("owned by another")

    with pytest.raises(RuntimeError, match="owned by another"):
        measure(dict([networks.convolution(4)]), device, quick, tmp_path / "raw", champion=None, guard=lost, **SHAPE)
    assert not list((tmp_path / "raw").glob("*-*.json"))


def test_a_champion_that_is_not_measured_along_is_wrong_usage(
    networks: Any, device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is not among the networks to measure"):
        measure(dict([networks.convolution(4)]), device, quick, tmp_path, champion="f" * 64, **SHAPE)


def test_nothing_to_measure_is_nothing_found(device: DeviceConfig, quick: BenchmarkConfig, tmp_path: Path) -> None:
    assert measure({}, device, quick, tmp_path, champion=None, worker=NO_WORKER, **SHAPE) == {}


def _key_of(models: dict[str, Path], device: DeviceConfig, config: BenchmarkConfig) -> str:
    return digest_value(work_of(models, device, resolve(device), config, (CHANNELS, LENGTH), 0))


def _until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
