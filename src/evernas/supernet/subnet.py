"""Subnets as plain modules: extraction from a supernet, calibration of their statistics, prediction; no training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from evernas.spaces import Architecture, SignalSpace
from evernas.spaces.signal import STEM_KERNEL
from evernas.supernet.network import EPSILON, ElasticConvolution, Supernet, convolve
from evernas.supernet.pooling import Spectrum, pool, statistics

PREDICT_BATCH = 1024


class Normalise(nn.Module):
    """Raw windows to the scale that the network was trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, time) to the same shape."""
        return (x - self.mean[:, None]) / self.std[:, None]


class ConvolutionUnit(nn.Module):
    """Convolution, batch normalisation and, where `active`, ReLU."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, active: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = norm
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, 1, time) to the same with other sizes."""
        x = self.norm(convolve(x, self.convolution.weight, self.convolution.stride[1]))
        return torch.relu(x) if self.active else x


class Block(nn.Module):
    """Units one after the other, and the input added where `residual`."""

    def __init__(self, units: list[ConvolutionUnit], residual: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, 1, time) to the same with other sizes."""
        y = x
        for unit in self.units:
            y = unit(y)
        return x + y if self.residual else y


class Subnet(nn.Module):
    """One architecture's network, free of the supernet: raw windows (batch, channels, time) to class logits."""

    def __init__(
        self,
        normalise: Normalise,
        blocks: list[Block],
        pooling: list[str],
        use_statistics: bool,
        spectrum: Spectrum,
        pooled_norm: nn.BatchNorm1d,
        classifier: nn.Linear,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.blocks = nn.ModuleList(blocks)
        self.pooling = list(pooling)
        self.use_statistics = use_statistics
        self.spectrum = spectrum
        self.pooled_norm = pooled_norm
        self.classifier = classifier

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""
        raw = self.normalise(x)
        y = raw[:, :, None].contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            y = block(y)
        pooled = torch.cat(
            [*pool(y[:, :, 0], self.pooling), *(statistics(raw, self.spectrum) if self.use_statistics else ())], 1
        )
        pooled = self.pooled_norm(pooled)
        logits: Tensor = self.classifier(pooled if dropout is None else pooled * dropout)
        return logits


def extract(supernet: Supernet | Mapping[str, Tensor], arch: Architecture, space: SignalSpace | None = None) -> Subnet:
    """The subnet of `arch` with a copy of its part of the weights; its statistics are unset until `calibrate`.

    Give a Supernet, or a state and its space.
    """
    if not isinstance(supernet, Supernet):
        if space is None:
            raise TypeError("extract from a state needs the space that it is of")
        made = Supernet(space)
        made.load_state_dict(supernet)
        supernet = made
    config = supernet.space.config
    blocks = [Block([_unit(supernet.stem, supernet.space.channels, config.stem_width, STEM_KERNEL, 2, True)], False)]
    specs = supernet.space.blocks(arch)
    for spec in specs:
        elastic = supernet.block(spec)
        units = [
            _unit(elastic.expand, spec.width_in, spec.hidden, 1, 1, True),
            _unit(elastic.depthwise, spec.hidden, spec.hidden, spec.kernel, spec.stride, True),
            _unit(elastic.project, spec.hidden, spec.width_out, 1, 1, False),
        ]
        blocks.append(Block(units, spec.residual))
    blocks.append(Block([_unit(supernet.head, specs[-1].width_out, config.head_width, 1, 1, True)], False))
    pooled_norm = nn.BatchNorm1d(supernet.space.pooled, EPSILON)
    classifier = nn.Linear(supernet.space.pooled, supernet.space.classes, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        pooled_norm.weight.copy_(supernet.pooled_scale)
        pooled_norm.bias.copy_(supernet.pooled_shift)
        classifier.weight.copy_(supernet.classifier.weight)
        classifier.bias.copy_(supernet.classifier.bias)
    normalise = Normalise(supernet.mean, supernet.std)
    return Subnet(
        normalise,
        blocks,
        list(config.pooling),
        config.statistics,
        Spectrum(supernet.space.length),
        pooled_norm,
        classifier,
    ).eval()


def _unit(
    e: ElasticConvolution, width_in: int, width_out: int, kernel: int, stride: int, active: bool
) -> ConvolutionUnit:
    groups = width_out if e.depthwise else 1
    convolution = nn.Conv2d(
        width_in, width_out, (1, kernel), (1, stride), (0, kernel // 2), groups=groups, bias=False, device="meta"
    ).to_empty(device="cpu")
    norm = nn.BatchNorm2d(width_out, EPSILON)
    with torch.no_grad():
        convolution.weight.copy_(e.taps(width_in, width_out, kernel))
        norm.weight.copy_(e.scale[:width_out])
        norm.bias.copy_(e.shift[:width_out])
    return ConvolutionUnit(convolution, norm, active)


def calibrate(subnet: Subnet, x: np.ndarray | Tensor) -> Subnet:
    """Set every normalisation to the exact statistics of these raw training windows, in place; returns the subnet.

    All windows go through at once: each layer then sees its input as the layers before it will give it.
    """
    norms = [m for m in subnet.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    subnet.train()
    with torch.no_grad():
        subnet(torch.as_tensor(x, dtype=torch.float32))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return subnet.eval()


def logits(subnet: nn.Module, x: np.ndarray | Tensor) -> Tensor:
    """Logits (n, classes), computed in pieces so that memory does not grow with n."""
    subnet.eval()
    with torch.inference_mode():
        parts = [subnet(part) for part in torch.split(torch.as_tensor(x, dtype=torch.float32), PREDICT_BATCH)]
    return torch.cat(parts).clone()


def predict(subnet: nn.Module, x: np.ndarray | Tensor) -> np.ndarray:
    """Class scores (n, classes), each row summing to 1."""
    scores: np.ndarray = logits(subnet, x).softmax(1).numpy()
    return scores


def evaluate(subnet: nn.Module, x: np.ndarray | Tensor, y: np.ndarray) -> float:
    """Share of windows whose highest score is not their class."""
    return float((logits(subnet, x).argmax(1).numpy() != np.asarray(y)).mean())
