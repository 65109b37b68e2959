"""Subnets as plain modules: extraction from a supernet, calibration of their statistics, prediction; no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from evernas.spaces import Architecture, NetworkSpace
from evernas.supernet.accelerator import place_of
from evernas.supernet.elastic import EPSILON, ElasticNetwork, PlainNetwork
from evernas.supernet.making import supernet_of
from evernas.supernet.network import (
    ElasticConvolution,
    ElasticSqueeze,
    Supernet,
    convolve,
    excited,
    per_channel,
    prepared,
    window,
)
from evernas.supernet.pooling import Spectrum, pool, statistics
from evernas.supernet.text import TextSupernet
from evernas.supernet.text_subnet import plain_text

PREDICT_BATCH = 1024

Plain = TypeVar("Plain", bound=PlainNetwork)


class Normalise(nn.Module):
    """Raw samples to the scale that the network was trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone().cpu())
        self.register_buffer("std", std.clone().cpu())

    def forward(self, x: Tensor) -> Tensor:
        """Samples to the same shape."""
        return (x - per_channel(self.mean, x)) / per_channel(self.std, x)


class ConvolutionUnit(nn.Module):
    """Convolution, batch normalisation and, where `active`, ReLU."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, active: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same with other sizes."""
        x = self.norm(convolve(x, self.convolution.weight, self.convolution.stride[1]))
        return torch.relu(x) if self.active else x


class SqueezeUnit(nn.Module):
    """Squeeze and excitation of one size."""

    def __init__(self, squeeze: nn.Linear, excite: nn.Linear) -> None:
        super().__init__()
        self.squeeze = squeeze
        self.excite = excite

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) with each channel weighed."""
        return excited(x, self.squeeze.weight, self.squeeze.bias, self.excite.weight, self.excite.bias)


class Block(nn.Module):
    """Units one after the other, and the input added where `residual`."""

    def __init__(self, units: list[ConvolutionUnit | SqueezeUnit], residual: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same with other sizes."""
        y = x
        for unit in self.units:
            y = unit(y)
        return x + y if self.residual else y


class Subnet(PlainNetwork):
    """A convolutional network.

    Samples are windows (batch, channels, time), or images (batch, channels, height, width), which are scaled to `size`.
    """

    def __init__(
        self,
        normalise: Normalise,
        size: tuple[int, ...],
        blocks: list[Block],
        pooling: list[str],
        spectrum: Spectrum | None,
        pooled_norm: nn.BatchNorm1d,
        classifier: nn.Linear,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.size = size
        self.blocks = nn.ModuleList(blocks)
        self.pooling = list(pooling)
        self.spectrum = spectrum
        self.pooled_norm = pooled_norm
        self.classifier = classifier

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""
        raw = self.normalise(x)
        y = prepared(raw, self.size)
        for block in self.blocks:
            y = block(y)
        pooled = torch.cat(
            [*pool(y.flatten(2), self.pooling), *(statistics(raw, self.spectrum) if self.spectrum else ())], 1
        )
        pooled = self.pooled_norm(pooled)
        logits: Tensor = self.classifier(pooled if dropout is None else pooled * dropout)
        return logits

    def spread(self) -> Tensor:
        """Standard deviation of each channel of the training data."""
        return self.normalise.std


def extract(
    supernet: ElasticNetwork | Mapping[str, Tensor], arch: Architecture, space: NetworkSpace | None = None
) -> PlainNetwork:
    """The subnet of `arch` with a copy of its part of the weights; its statistics are unset until `calibrate`.

    It is on the processors, wherever the supernet is. Give a Supernet, or a state and its space.
    """
    if not isinstance(supernet, ElasticNetwork):
        if space is None:
            raise TypeError("extract from a state needs the space that it is of")
        supernet = supernet_of(space, supernet)
    if isinstance(supernet, TextSupernet):
        return plain_text(supernet, arch)
    assert isinstance(supernet, Supernet)
    return _plain(supernet, arch)


def _plain(supernet: Supernet, arch: Architecture) -> Subnet:
    space = supernet.space
    config = space.config
    blocks = [Block([_unit(supernet.stem, space.channels, config.stem_width, space.stem_kernel, 2, True)], False)]
    specs = space.blocks(arch)
    for spec in specs:
        elastic = supernet.block(spec)
        units: list[ConvolutionUnit | SqueezeUnit] = [
            _unit(elastic.expand, spec.width_in, spec.hidden, 1, 1, True),
            _unit(elastic.depthwise, spec.hidden, spec.hidden, spec.kernel, spec.stride, True),
        ]
        if spec.squeeze:
            assert elastic.squeeze is not None, "the space has no such block"
            units.append(_squeeze(elastic.squeeze, spec.hidden, spec.squeezed))
        units.append(_unit(elastic.project, spec.hidden, spec.width_out, 1, 1, False))
        blocks.append(Block(units, spec.residual))
    blocks.append(Block([_unit(supernet.head, specs[-1].width_out, config.head_width, 1, 1, True)], False))
    pooled_norm = nn.BatchNorm1d(space.pooled, EPSILON)
    classifier = nn.Linear(space.pooled, space.classes, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        pooled_norm.weight.copy_(supernet.pooled_scale)
        pooled_norm.bias.copy_(supernet.pooled_shift)
        classifier.weight.copy_(supernet.classifier.weight)
        classifier.bias.copy_(supernet.classifier.bias)
    normalise = Normalise(supernet.mean, supernet.std)
    spectrum = None if supernet.spectrum is None else Spectrum(supernet.spectrum.length)
    size = space.input_size(arch)
    return Subnet(normalise, size, blocks, list(config.pooling), spectrum, pooled_norm, classifier).eval()


def _unit(
    e: ElasticConvolution, width_in: int, width_out: int, kernel: int, stride: int, active: bool
) -> ConvolutionUnit:
    groups = width_out if e.depthwise else 1
    height, width = window(kernel, e.dimensions)
    strides, padding = (stride if height > 1 else 1, stride), (height // 2, width // 2)
    convolution = nn.Conv2d(
        width_in, width_out, (height, width), strides, padding, groups=groups, bias=False, device="meta"
    ).to_empty(device="cpu")
    norm = nn.BatchNorm2d(width_out, EPSILON)
    with torch.no_grad():
        convolution.weight.copy_(e.taps(width_in, width_out, kernel))
        norm.weight.copy_(e.scale[:width_out])
        norm.bias.copy_(e.shift[:width_out])
    return ConvolutionUnit(convolution, norm, active)


def _squeeze(e: ElasticSqueeze, width: int, middle: int) -> SqueezeUnit:
    squeeze, excite = nn.Linear(width, middle), nn.Linear(middle, width)
    with torch.no_grad():
        for own, given in zip(
            (squeeze.weight, squeeze.bias, excite.weight, excite.bias), e.parts(width, middle), strict=True
        ):
            own.copy_(given)
    return SqueezeUnit(squeeze, excite)


def calibrate(subnet: Plain, x: np.ndarray | Tensor) -> Plain:
    """Set every normalisation to the exact statistics of these raw training windows, in place; returns the subnet.

    It computes where the subnet's weights are.
    All windows go through at once: each layer then sees its input as the layers before it will give it. On these
    windows the subnet then answers as the supernet does.
    """
    norms = [m for m in subnet.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    hooks = [norm.register_forward_hook(_divide_by_count) for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    subnet.train()
    with torch.no_grad():
        subnet(_raw(x).to(place_of(subnet)))
    for norm, momentum, hook in zip(norms, momenta, hooks, strict=True):
        norm.momentum = momentum
        hook.remove()
    return subnet.eval()


def _divide_by_count(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
    """The variance that training normalises by divides by the number of values; torch keeps one that divides by one
    less."""
    (values,) = inputs
    count = values.numel() // values.shape[1]
    norm.get_buffer("running_var").mul_((count - 1) / count)


def _raw(x: np.ndarray | Tensor) -> Tensor:
    """Samples as networks take them: float32, and numbers of sub-words as whole numbers."""
    found = torch.as_tensor(x)
    return found.float() if found.is_floating_point() else found.long()


def logits(subnet: nn.Module, x: np.ndarray | Tensor) -> Tensor:
    """Logits (n, classes), computed where the weights are, in pieces so that memory there does not grow with n."""
    subnet.eval()
    place = place_of(subnet)
    with torch.inference_mode():
        parts = [subnet(part.to(place)) for part in torch.split(_raw(x), PREDICT_BATCH)]
    return torch.cat(parts).clone().cpu()


def predict(subnet: nn.Module, x: np.ndarray | Tensor) -> np.ndarray:
    """Class scores (n, classes), each row summing to 1."""
    scores: np.ndarray = logits(subnet, x).softmax(1).numpy()
    return scores


def evaluate(subnet: nn.Module, x: np.ndarray | Tensor, y: np.ndarray, among: Sequence[int] | None = None) -> float:
    """Share of windows whose highest score is not their class.

    With `among` only these classes' scores count, and `y` says which of them it is.
    """
    scores = logits(subnet, x)
    if among is not None:
        scores = scores[:, list(among)]
    return float((scores.argmax(1).numpy() != np.asarray(y)).mean())
