"""Subnets are the supernet's own function, calibrated exactly, and free of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from evernas.spaces import ConvolutionalSpace
from evernas.spaces.signal import frequency_bands
from evernas.supernet import Supernet, TrainingData, calibrate, evaluate, extract, initial, predict
from evernas.supernet.pooling import Spectrum

BOTH = pytest.mark.parametrize("kind", ["signal", "image"])


def made(space: ConvolutionalSpace, data: TrainingData) -> Supernet:
    state = initial(space, 0)
    state["mean"], state["std"] = torch.from_numpy(data.mean), torch.from_numpy(data.std)
    net = Supernet(space)
    net.load_state_dict(state)
    return net


def test_calibration_sets_exact_statistics(space: ConvolutionalSpace, data: TrainingData) -> None:
    subnet = calibrate(extract(made(space, data), space.largest()), data.x)
    with torch.no_grad():
        stem = subnet.blocks[0].units[0]
        y = stem.convolution(subnet.normalise(torch.from_numpy(data.x))[:, :, None])
    assert torch.allclose(stem.norm.running_mean, y.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(stem.norm.running_var, y.var((0, 2, 3), correction=0), rtol=1e-5)


@BOTH
def test_calibration_does_not_depend_on_what_came_before(space: ConvolutionalSpace, data: TrainingData) -> None:
    net = made(space, data)
    once = calibrate(extract(net, space.largest()), data.x)
    twice = calibrate(calibrate(extract(net, space.largest()), data.x * 3 + 1), data.x)
    assert np.array_equal(predict(once, data.x), predict(twice, data.x))


@BOTH
def test_subnet_has_as_many_weights_as_the_space_counts(space: ConvolutionalSpace, data: TrainingData) -> None:
    for arch in (space.smallest(), space.largest(), space.random(np.random.default_rng(0))):
        subnet = extract(made(space, data), arch)
        weights = [m for m in subnet.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        # A bias each: the folded normalisation of a convolution, the own one of the classifier.
        assert space.parameters(arch) == sum(m.weight.numel() + m.weight.shape[0] for m in weights)


@BOTH
def test_changing_a_subnet_leaves_the_supernet_as_it_is(space: ConvolutionalSpace, data: TrainingData) -> None:
    net = made(space, data)
    subnet = extract(net, space.smallest())
    before = net.stem.weight.detach().clone()
    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.fill_(7)
    assert torch.equal(net.stem.weight, before)


@BOTH
def test_state_and_supernet_give_the_same_subnet(space: ConvolutionalSpace, data: TrainingData) -> None:
    net = made(space, data)
    a = calibrate(extract(net, space.largest()), data.x)
    b = calibrate(extract(net.state_dict(), space.largest(), space), data.x)
    assert np.array_equal(predict(a, data.x), predict(b, data.x))


@BOTH
def test_scores_sum_to_one_and_do_not_depend_on_the_batch(space: ConvolutionalSpace, data: TrainingData) -> None:
    subnet = calibrate(extract(made(space, data), space.largest()), data.x)
    many = np.concatenate([data.x] * 10)
    scores = predict(subnet, many)
    assert scores.shape == (2400, 3)
    assert np.allclose(scores.sum(1), 1, atol=1e-5)
    assert np.allclose(scores[:5], predict(subnet, many[:5]), atol=1e-5)


def test_error_is_the_share_of_wrong_windows(space: ConvolutionalSpace, data: TrainingData) -> None:
    subnet = calibrate(extract(made(space, data), space.largest()), data.x)
    answers = predict(subnet, data.x).argmax(1)
    assert evaluate(subnet, data.x, answers) == 0
    assert evaluate(subnet, data.x, (answers + 1) % 3) == 1


@pytest.mark.parametrize("cycles", [1, 3, 7, 16])
def test_spectrum_finds_a_wave_in_its_band_alone(cycles: int) -> None:
    wave = 3 + np.cos(2 * np.pi * cycles * np.arange(32) / 32)
    spectrum = Spectrum(32)(torch.from_numpy(wave).float()[None, None])[0]
    loud = [first <= cycles < last for first, last in frequency_bands(32)]
    assert (spectrum > 0).tolist() == loud
    assert bool((spectrum[~torch.tensor(loud)] < -4).all())
