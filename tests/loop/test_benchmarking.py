"""`evernas benchmark`: what it measures, and that what cannot be measured is refused alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from evernas.bundle import Contract, Samples, write_bundle
from evernas.cli import app
from evernas.hardware.memory import above, too_much

ROOT = Path(__file__).parents[2]
CHANNELS, LENGTH = 6, 128


def network(nodes: list[Any], weights: dict[str, np.ndarray]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", CHANNELS, LENGTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    return bytes(helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString())


def pooling() -> bytes:
    return network(
        [helper.make_node("GlobalAveragePool", ["input"], ["p"]), helper.make_node("Flatten", ["p"], ["scores"])], {}
    )


def hungry() -> bytes:
    """800 MB in one tensor."""
    shape = np.array([2**18, CHANNELS, LENGTH], np.int64)
    nodes = [
        helper.make_node("Expand", ["input", "shape"], ["much"]),
        helper.make_node("ReduceMean", ["much"], ["scores"], axes=[0, 2]),
    ]
    return network(nodes, {"shape": shape})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    document = yaml.safe_load((ROOT / "examples/watch/evernas.yaml").read_text())
    quick = {"restarts": 2, "seconds": 0.03, "warmup_seconds": 0.01, "max_variation": 10, "max_memory_mb": 100}
    document["benchmark"] = {**quick, "min_cpu_share": 0, "cold_starts": 0, "load_clients": []}
    path = tmp_path / "evernas.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def bundle(tmp_path: Path) -> Path:
    inputs = np.ones((1, CHANNELS, LENGTH), np.float32)
    contract = Contract(tuple("abcdef"), (LENGTH,))
    samples = Samples(inputs, np.ones((1, CHANNELS), np.float32))
    return write_bundle(tmp_path / "bundles", pooling(), list("uvwxyz"), contract, samples, {}).path


def test_what_cannot_be_measured_is_refused_alone_and_the_others_are_measured(tmp_path: Path, config: Path) -> None:
    models = {
        "unknown.onnx": network([helper.make_node("Abacus", ["input"], ["scores"], domain="nowhere")], {}),
        "hungry.onnx": hungry(),
    }
    for name, data in models.items():
        (tmp_path / name).write_bytes(data)
    good = bundle(tmp_path)
    changed = tmp_path / "changed"
    good.rename(changed)
    good = bundle(tmp_path)
    (changed / "model.onnx").write_bytes(hungry())
    asked = [good, changed, tmp_path / "unknown.onnx", tmp_path / "hungry.onnx", tmp_path / "gone.onnx"]
    done = CliRunner().invoke(app, ["benchmark", *map(str, asked), "--config", str(config), "--json"])
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    assert (found["device"], found["runtime"]) == ("laptop", "onnxruntime-cpu")
    whole, torn, unknown, much, gone = found["models"]
    assert whole["refused"] is None
    assert whole["measurement"]["latency"]["median_ms"] > 0
    assert "the file was changed or torn" in torn["refused"]
    assert "cannot run the network" in unknown["refused"]
    assert "Abacus" in unknown["refused"]
    assert "needs more memory than the 100 MB that benchmark.max_memory_mb allows" in much["refused"]
    assert "cannot be read (No such file or directory)" in gone["refused"]


def test_figures_of_an_overloaded_machine_are_refused(tmp_path: Path, config: Path) -> None:
    document = yaml.safe_load(config.read_text())
    document["benchmark"]["min_cpu_share"] = 1.0
    config.write_text(yaml.safe_dump(document))
    (tmp_path / "one.onnx").write_bytes(pooling())
    done = CliRunner().invoke(app, ["benchmark", str(tmp_path / "one.onnx"), "--config", str(config), "--json"])
    assert done.exit_code == 1, done.output
    (one,) = json.loads(done.stdout)["models"]
    assert "other programs hold the cores. End them" in one["refused"]


def test_a_person_sees_a_table_of_all_figures(tmp_path: Path, config: Path) -> None:
    (tmp_path / "one.onnx").write_bytes(pooling())
    asked = ["benchmark", str(tmp_path / "one.onnx"), "--config", str(config), "--device", "laptop"]
    done = CliRunner().invoke(app, asked, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    for word in ("median", "p95", "p99", "MAD", "CV", "to reference", "one.onnx"):
        assert word in done.stdout


def test_a_device_that_is_measured_elsewhere_is_wrong_usage(tmp_path: Path, config: Path) -> None:
    document = yaml.safe_load(config.read_text())
    document["devices"][0]["recorded"] = "figures.json"
    config.write_text(yaml.safe_dump(document))
    done = CliRunner().invoke(app, ["benchmark", "x.onnx", "--config", str(config)])
    assert done.exit_code != 0
    assert "nothing is measured on laptop" in str(done.exception)


def test_only_a_lack_of_memory_is_said_to_be_one() -> None:
    assert too_much("std::bad_alloc", None) == "std::bad_alloc"
    assert too_much("no such operator", 5.0) == "no such operator"
    assert above(4.9, 5.0) is None
    assert "needs 5.10 MB, more than the 5 MB" in str(above(5.1, 5.0))
