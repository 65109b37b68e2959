"""The exported graph is the trained network, for any architecture, byte for byte repeatable."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from evernas.config import SpaceConfig
from evernas.errors import EvernasError
from evernas.hardware.export import check_equal, export_onnx, run_onnx
from evernas.spaces import Architecture, ImageSpace, SignalSpace
from evernas.supernet import Subnet, Supernet, calibrate, extract, initial

RNG = np.random.default_rng(0)
SCALES = np.array([1.0, 100.0, 0.01, 5.0], dtype=np.float32)[:, None]
X = (RNG.normal(size=(32, 4, 48)).astype(np.float32) + 3) * SCALES


def made(pooling: list[str], statistics: bool) -> Supernet:
    config = SpaceConfig.model_validate({"pooling": pooling, "statistics": statistics})
    space = SignalSpace(4, 48, 5, config)
    state = initial(space, 0)
    state["mean"], state["std"] = torch.from_numpy(X.mean((0, 2))), torch.from_numpy(X.std((0, 2)))
    generator = torch.Generator().manual_seed(1)
    for name, tensor in state.items():
        if name.endswith(("scale", "shift")):
            tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    net = Supernet(space)
    net.load_state_dict(state)
    return net


def subnet(net: Supernet, arch: Architecture) -> Subnet:
    return calibrate(extract(net, arch), X)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("pooling", "statistics", "count"),
    [(["mean", "max"], False, 100), (["mean", "max", "std"], True, 98), (["std"], False, 1), (["max"], True, 1)],
)
def test_exported_graph_answers_as_the_network_does(pooling: list[str], statistics: bool, count: int) -> None:
    net, rng = made(pooling, statistics), np.random.default_rng(7)
    for arch in [net.space.smallest(), net.space.largest(), *(net.space.random(rng) for _ in range(count))]:
        module = subnet(net, arch)
        check_equal(export_onnx(module, (4, 48)), module, X[:8])


def test_exported_graph_of_an_image_network_answers_as_it_does() -> None:
    config = SpaceConfig(squeeze_excite=[False, True], resolutions=[16, 21, 24], kernels=[3, 5])
    space, rng = ImageSpace(3, 24, 32, 5, config), np.random.default_rng(3)
    x = (rng.normal(size=(16, 3, 24, 32)) * 80 + 120).astype(np.float32)
    state = initial(space, 0)
    state["mean"], state["std"] = torch.from_numpy(x.mean((0, 2, 3))), torch.from_numpy(x.std((0, 2, 3)))
    for arch in [space.smallest(), space.largest(), *(space.random(rng) for _ in range(198))]:
        module = calibrate(extract(state, arch, space), x)
        data = export_onnx(module, space.shape)
        check_equal(data, module, x[:2])
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


def test_graph_is_valid_with_a_dynamic_batch_and_named_ends() -> None:
    net = made(["mean", "max", "std"], True)
    data = export_onnx(subnet(net, net.space.largest()), (4, 48))
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == ["input"]
    assert [o.name for o in model.graph.output] == ["scores"]
    for rows in (1, 3, 17):
        scores = run_onnx(data, X[:rows])
        assert scores.shape == (rows, 5)
        assert np.allclose(scores.sum(1), 1, atol=1e-5)


def test_same_subnet_gives_the_same_bytes() -> None:
    net = made(["mean"], False)
    first, again = (export_onnx(subnet(net, net.space.largest()), (4, 48)) for _ in range(2))
    assert first == again


def test_file_holds_little_but_the_weights_the_space_counts() -> None:
    net = made(["mean", "max"], False)
    for arch in (net.space.smallest(), net.space.largest()):
        extra = len(export_onnx(subnet(net, arch), (4, 48))) - 4 * net.space.parameters(arch)
        assert 0 < extra < 8000


def test_graph_that_differs_from_its_network_is_refused_with_the_gap() -> None:
    net = made(["mean", "max"], False)
    data = export_onnx(subnet(net, net.space.largest()), (4, 48))
    with pytest.raises(EvernasError, match="more than 1e-05: it must not ship"):
        check_equal(data, subnet(net, net.space.smallest()), X)


def test_network_that_answers_nan_is_refused() -> None:
    net = made(["mean"], False)
    module = subnet(net, net.space.smallest())
    with torch.no_grad():
        module.classifier.bias.fill_(float("nan"))
    with pytest.raises(EvernasError, match="must not ship"):
        check_equal(export_onnx(module, (4, 48)), module, X)
