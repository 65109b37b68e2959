"""What is exported answers as the supernet itself does, for architectures of every kind of space."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from evernas.hardware.export import export_onnx, run_onnx
from evernas.spaces import NetworkSpace
from evernas.supernet import TrainingData, calibrate, extract, initial, supernet_of

ARCHITECTURES, ROWS, CLOSE = 200, 64, 1e-5
LIVELY = 3.0
"""The logits that are compared span at least this much."""


def lively(space: NetworkSpace) -> dict[str, torch.Tensor]:
    """First weights whose normalisations and biases do something."""
    found, generator = initial(space, 0), torch.Generator().manual_seed(1)
    for name, tensor in found.items():
        if name.endswith(("scale", "shift", "bias")):
            tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    return found


@pytest.mark.parametrize("kind", ["signal", "image", "text"])
def test_200_exported_subnets_answer_as_the_supernet_does(kind: str, space: NetworkSpace, data: TrainingData) -> None:
    """Scores to within 1e-5, and logits to within 1e-5 of what they span.

    Rounding alone moves the logits of either by as much from what is computed in double precision.
    """
    net, rng, x = supernet_of(space, lively(space)), np.random.default_rng(3), data.x[:ROWS]
    net.adopt(data)
    for arch in [space.smallest(), space.largest(), *(space.random(rng) for _ in range(ARCHITECTURES - 2))]:
        subnet = calibrate(extract(net, arch), x)
        exported = export_onnx(subnet, space.shape)
        scores = run_onnx(exported, x).astype(np.float64)
        # The supernet normalises by its batch, the subnet by what it was calibrated with: here the same samples.
        with torch.inference_mode():
            logits = net(torch.from_numpy(x), arch).double()
            in_training = subnet.train()(torch.from_numpy(x))
        span = float(logits.max() - logits.min())
        assert span > LIVELY
        np.testing.assert_allclose(scores, logits.softmax(1), rtol=0, atol=CLOSE)
        np.testing.assert_allclose(np.log(scores), logits.log_softmax(1), rtol=0, atol=CLOSE * span)
        np.testing.assert_allclose(in_training, logits, rtol=0, atol=0 if kind == "text" else CLOSE * span)
    onnx.checker.check_model(onnx.load_from_string(exported), full_check=True)
