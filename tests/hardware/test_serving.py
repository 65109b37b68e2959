"""Cold starts and concurrent load: what is in the figures, and what is said of networks that cannot bear it."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import BenchmarkConfig, DeviceConfig
from evernas.hardware.cold import PARTS, ColdStart
from evernas.hardware.figures import Terms, holds, middle, takes
from evernas.hardware.load import window
from evernas.hardware.measure import measure
from evernas.hardware.measurement import SINCE, Measurement
from evernas.hardware.spread import Spread

NO_WORKER = (sys.executable, "-c", "raise SystemExit('nothing may be measured here')")
CRASHING = (
    sys.executable,
    "-c",
    "import json, os, sys; from pathlib import Path\n"
    "Path(sys.argv[3]).write_text(json.loads(Path(sys.argv[1]).read_bytes())['models'][0]['digest']); os.abort()",
)
SHAPE = {"shape": (3, 32)}


@pytest.fixture
def serving(quick: BenchmarkConfig) -> BenchmarkConfig:
    changes = {"cold_starts": 2, "load_clients": [1, 3], "load_seconds": 0.02, "load_windows": 2}
    return quick.model_copy(update=changes)


def test_cold_start_and_load_are_measured_once_and_kept(
    networks: Any, device: DeviceConfig, serving: BenchmarkConfig, tmp_path: Path
) -> None:
    digest, path = networks.convolution(4)
    found = measure({digest: path}, device, serving, tmp_path / "raw", champion=None, **SHAPE)[digest]
    assert found.refused is None
    assert found.cold_start is not None
    parts = [getattr(found.cold_start, name) for name in PARTS]
    assert all(len(part.takes) == 2 and min(part.takes) > 0 for part in parts)
    np.testing.assert_allclose(found.cold_start.total_ms.takes, np.sum([part.takes for part in parts], axis=0))
    assert found.load is not None
    assert [figures.clients for figures in found.load] == [1, 3]
    assert all(len(figures.throughput.takes) == 2 and figures.p95_ms.median > 0 for figures in found.load)
    document = json.loads(json.dumps(found.to_json()))
    assert Measurement.from_json(document) == found
    assert takes(document, "cold_start_ms") == list(found.cold_start.total_ms.takes)
    assert takes(document, "load_p95_ms", Terms(clients=1)) == list(found.load[0].p95_ms.takes)
    nothing = {"worker": NO_WORKER, "cold_worker": NO_WORKER}
    again = measure({digest: path}, device, serving, tmp_path / "raw", champion=None, **nothing, **SHAPE)
    assert again[digest] == found


def test_a_network_that_crashes_when_started_cold_is_refused(
    networks: Any, device: DeviceConfig, serving: BenchmarkConfig, tmp_path: Path
) -> None:
    digest, path = networks.convolution(4)
    found = measure({digest: path}, device, serving, tmp_path / "raw", champion=None, cold_worker=CRASHING, **SHAPE)[
        digest
    ]
    assert found.refused == "The network ended the measuring process (SIGABRT)."
    assert found.cold_start is None


class Sleeper:
    """A session that counts how many calls are inside at once."""

    input_shape = (3, 32)

    def __init__(self, fail: bool = False) -> None:
        self.inside, self.most, self.fail = 0, 0, fail
        self.lock, self.all_in = threading.Lock(), threading.Barrier(4)

    def run(self, x: Any) -> Any:
        if self.fail:
            raise RuntimeError("out of handles")
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.all_in.wait(timeout=10)
        with self.lock:
            self.inside -= 1
        return x


def test_all_clients_are_inside_at_once_and_a_slow_network_is_still_measured() -> None:
    session = Sleeper()
    figures = window(session, np.zeros((1, 3, 32), np.float32), clients=4, seconds=1e-9)
    assert session.most == 4
    assert figures["throughput"] > 0


def test_what_a_client_sees_fail_is_raised() -> None:
    with pytest.raises(RuntimeError, match="out of handles"):
        window(Sleeper(fail=True), np.zeros((1, 3, 32), np.float32), clients=2, seconds=0.01)


def test_a_cold_start_is_the_sum_of_its_parts_in_each_process() -> None:
    first = dict.fromkeys(PARTS, 1.0)
    found = ColdStart.of([first, {**first, "import_ms": 5.0}, {**first, "load_ms": 2.0}])
    assert found.total_ms == Spread(5.0, 1.0, (4.0, 8.0, 5.0))
    with pytest.raises(ValueError, match="no spread"):
        Spread.of([1.0, float("nan")])


@pytest.mark.parametrize("version", [1, 2])
def test_a_document_of_an_older_version_lacks_the_newer_figures_and_is_still_read(version: int) -> None:
    document = Measurement("1" * 64, "here", "onnxruntime-cpu", allocated_mb=1.0).to_json()
    older = {k: v for k, v in document.items() if SINCE.get(k, 1) <= version} | {"version": version}
    assert "allocated_mb" not in older
    assert ("cold_start" in older) == (version == 2)
    assert Measurement.from_json(older).allocated_mb is None
    assert Measurement.from_json(older).cold_start is None
    assert middle(older, "cold_start_ms") is None
    assert not holds(older, ["cold_start_ms"])
    assert holds({**older, "peak_memory_mb": 2.0}, ["peak_memory_mb"])


def test_money_is_the_price_of_an_hour_over_the_answers_of_an_hour() -> None:
    load = [
        {"clients": 1, "throughput": {"takes": [100.0, 200.0]}, "p95_ms": {"takes": [9.0, 8.0]}},
        {"clients": 4, "throughput": {"takes": [400.0]}, "p95_ms": {"takes": [12.0]}},
    ]
    document = {"load": load}
    assert takes(document, "cost_per_million", Terms(1, 0.36)) == pytest.approx([1.0, 0.5])
    assert takes(document, "cost_per_million", Terms(None, 0.36)) == pytest.approx([0.25]), "at the most clients"
    assert takes(document, "cost_per_million") is None
    assert takes(document, "load_p95_ms") == [12.0]
    assert takes(document, "load_p95_ms", Terms(2)) is None
    assert middle(document, "load_p95_ms", Terms(1)) == 8.5
    for nothing in ({"load": None}, {"load": []}, {}):
        assert takes(nothing, "load_p95_ms") is None
        assert takes(nothing, "cost_per_million", Terms(1, 0.36)) is None
    assert not holds(document, ["cost_per_million"])
    assert holds(document, ["cost_per_million", "load_p95_ms"], Terms(1, 2.0))


@pytest.mark.parametrize("clients", [[2, 1], [1, 1], [65]])
def test_clients_are_given_in_rising_order(clients: list[int]) -> None:
    with pytest.raises(ValueError, match="distinct numbers up to 64 in rising order"):
        BenchmarkConfig(load_clients=clients)
