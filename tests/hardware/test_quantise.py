"""Eight bits: the quantised file answers almost as the network does, and is the same every time."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from evernas.config import SpaceConfig
from evernas.errors import EvernasError
from evernas.hardware.export import export_onnx, run_onnx
from evernas.hardware.quantise import quantise
from evernas.spaces import ImageSpace, SignalSpace
from evernas.spaces.convolutional import ConvolutionalSpace
from evernas.supernet import calibrate, extract, initial

CONFIG = SpaceConfig(stem_width=16, stage_widths=[[24], [32]], head_width=64)


def exported(space: ConvolutionalSpace, x: np.ndarray) -> bytes:
    torch.set_num_threads(1)
    axes = (0, *range(2, x.ndim))
    state = initial(space, 0)
    state["mean"], state["std"] = torch.from_numpy(x.mean(axes)), torch.from_numpy(x.std(axes))
    return export_onnx(calibrate(extract(state, space.largest(), space), x), space.shape)


@pytest.fixture(params=["signal", "image"])
def made(request: pytest.FixtureRequest) -> tuple[bytes, np.ndarray]:
    """A network, and samples to calibrate it on."""
    rng = np.random.default_rng(0)
    if request.param == "signal":
        x = (rng.normal(size=(96, 3, 64)) * np.array([1, 50, 0.1])[:, None]).astype(np.float32)
        return exported(SignalSpace(3, 64, 4, CONFIG), x), x
    squeezing = CONFIG.model_copy(update={"squeeze_excite": [True], "resolutions": [16]})
    x = (rng.normal(size=(96, 3, 24, 24)) * 60 + 120).astype(np.float32)
    return exported(ImageSpace(3, 24, 24, 4, squeezing), x), x


def test_convolutions_hold_eight_bits_and_answers_stay_close(made: tuple[bytes, np.ndarray]) -> None:
    model, x = made
    small = quantise(model, x)
    held = [i for i in onnx.load_from_string(small).graph.initializer if i.data_type == onnx.TensorProto.INT8]
    weights = sum(numpy_helper.to_array(i).size for i in held)
    convolutions = [i for i in onnx.load_from_string(model).graph.initializer if len(i.dims) == 4]
    assert weights >= sum(numpy_helper.to_array(i).size for i in convolutions)
    wanted, found = run_onnx(model, x), run_onnx(small, x)
    assert found.shape == wanted.shape
    assert not np.array_equal(found, wanted), "it was quantised"
    assert np.abs(found - wanted).mean() < 0.03
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.85


def test_the_same_samples_give_the_same_bytes_and_others_do_not(made: tuple[bytes, np.ndarray]) -> None:
    model, x = made
    assert quantise(model, x) == quantise(model, x)
    assert quantise(model, x) != quantise(model, x * 2)


def test_a_network_that_the_quantiser_cannot_take_is_said(made: tuple[bytes, np.ndarray]) -> None:
    with pytest.raises(EvernasError, match="leave int8 out of precisions"):
        quantise(made[0], made[1][:, :1])
