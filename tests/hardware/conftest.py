"""Networks for the tests of evernas.hardware, and configs that measure them quickly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evernas.config import BenchmarkConfig, DeviceConfig
from evernas.digest import digest_bytes

CHANNELS, LENGTH = 3, 32


def model_bytes(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], length: int = LENGTH) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", CHANNELS, length])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def convolution(width: int, length: int = LENGTH) -> bytes:
    weights = {"w": np.random.default_rng(width).normal(size=(width, CHANNELS, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], pads=[1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["scores"]),
    ]
    return model_bytes(nodes, weights, length)


def hanging() -> bytes:
    """A loop of 2**50 turns inside the runtime: nothing but the end of its process ends it."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sqrt", ["state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Abs", ["input"], ["start"]),
        helper.make_node("Loop", ["turns", "yes", "start"], ["scores"], body=body),
    ]
    return model_bytes(nodes, {"turns": np.array(2**50, np.int64), "yes": np.array(True)})


class Networks:
    """Writes networks and gives the digest and the path of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, data: bytes) -> tuple[str, Path]:
        path = self.folder / f"{digest_bytes(data)[:12]}.onnx"
        path.write_bytes(data)
        return digest_bytes(data), path

    def convolution(self, width: int, length: int = LENGTH) -> tuple[str, Path]:
        return self.write(convolution(width, length))

    def hanging(self) -> tuple[str, Path]:
        return self.write(hanging())


@pytest.fixture
def networks(tmp_path: Path) -> Networks:
    return Networks(tmp_path)


@pytest.fixture
def device() -> DeviceConfig:
    return DeviceConfig(name="here", powercap="/nowhere")


@pytest.fixture
def quick() -> BenchmarkConfig:
    """So short that figures are rough, and so tolerant that they pass."""
    return BenchmarkConfig(
        restarts=2,
        seconds=0.05,
        warmup_seconds=0.02,
        max_variation=10.0,
        min_cpu_share=0.0,
        cold_starts=0,
        load_clients=[],
    )
