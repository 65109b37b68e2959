"""All runtimes behind the one interface: the same scores, to several clients at once too, and what is lacking."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from evernas.config import BenchmarkConfig, DeviceConfig
from evernas.errors import UsageError
from evernas.hardware.measure import measure
from evernas.hardware.reference import reference_model
from evernas.hardware.runtime import Runtime, runtime_named, runtimes

OPENVINO = runtimes()["openvino-cpu"]
needs_openvino = pytest.mark.skipif(
    not OPENVINO.available(), reason="OpenVINO is not installed: pip install -c constraints.txt openvino"
)


@pytest.fixture(params=[pytest.param("onnxruntime-cpu"), pytest.param("openvino-cpu", marks=needs_openvino)])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return runtime_named(request.param)


def test_every_runtime_gives_the_same_scores_for_any_batch(runtime: Runtime) -> None:
    usual = runtime_named("onnxruntime-cpu").load(reference_model(), 1)
    session = runtime.load(reference_model(), 1)
    assert session.input_shape == (8, 128)
    for rows in (1, 5):
        x = np.random.default_rng(rows).standard_normal((rows, 8, 128), dtype=np.float32)
        np.testing.assert_allclose(session.run(x), usual.run(x), rtol=1e-4, atol=1e-5)


def test_clients_at_once_get_each_their_own_scores(runtime: Runtime) -> None:
    session = runtime.load(reference_model(), 1)
    inputs = [np.full((1, 8, 128), value, np.float32) for value in range(1, 5)]
    alone = [session.run(x) for x in inputs]
    together: dict[int, list[Any]] = {index: [] for index in range(len(inputs))}

    def client(index: int) -> None:
        for _ in range(50):
            together[index].append(session.run(inputs[index]))

    threads = [threading.Thread(target=client, args=(index,)) for index in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, scores in together.items():
        assert len(scores) == 50
        np.testing.assert_allclose(np.stack(scores), np.stack([alone[index]] * 50), rtol=1e-5)


def test_bytes_that_are_no_network_raise(runtime: Runtime) -> None:
    with pytest.raises(Exception):  # noqa: B017 - each runtime raises its own kinds
        runtime.load(b"no network", 1)


@needs_openvino
def test_one_processor_is_two_devices(networks: Any, quick: BenchmarkConfig, tmp_path: Any) -> None:
    digest, path = networks.convolution(16)
    config = quick.model_copy(update={"cold_starts": 2, "load_clients": [2]})
    found = {
        runtime: measure(
            {digest: path},
            DeviceConfig(name="here", runtime=runtime, powercap="/nowhere"),
            config,
            tmp_path / runtime,
            champion=None,
            shape=(3, 32),
        )[digest]
        for runtime in ("onnxruntime-cpu", "openvino-cpu")
    }
    assert [one.refused for one in found.values()] == [None, None]
    for runtime, one in found.items():
        assert one.environment["runtime"] == runtime
        assert one.environment["runtime_version"] == runtime_named(runtime).version()
        assert one.cold_start is not None
        assert one.load is not None


def test_a_runtime_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(OPENVINO), "available", lambda self: False)
    with pytest.raises(UsageError, match=r"'openvino-cpu', which is not installed here: install evernas\[runner-open"):
        runtime_named("openvino-cpu")
