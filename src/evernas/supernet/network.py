"""The weight-sharing supernet: elastic layers whose active sizes are arguments of forward; no training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from evernas.spaces import Architecture, BlockSpec, ConvolutionalSpace, SignalSpace
from evernas.spaces.layers import SQUEEZE
from evernas.spaces.scaling import scaling
from evernas.supernet.data import TrainingData
from evernas.supernet.elastic import ElasticNetwork
from evernas.supernet.pooling import Spectrum, pool, statistics
from evernas.supernet.together import normalised

OPEN = 1.0
"""Bias before the gate of a new squeeze: it lets two thirds of each channel through."""


def prepared(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Normalised samples as convolutions take them: (batch, channels, height, width) in channels-last memory.

    Signals (batch, channels, time) have the height 1. Images are scaled to `size` first if it is another.
    """
    if x.dim() == 3:
        x = x[:, :, None]
    elif tuple(x.shape[2:]) != size:
        rows, columns = (_scaling(side, to, x.device) for side, to in zip(x.shape[2:], size, strict=True))
        x = rows @ x @ columns.T
    return x.contiguous(memory_format=torch.channels_last)


def _scaling(side: int, to: int, device: torch.device) -> Tensor:
    """What one side of an image is multiplied with to have another length."""
    return torch.from_numpy(scaling(side, to)).float().to(device)


def first(values: Tensor, *counts: int) -> Tensor:
    """The first so many along each dimension; itself where that is all, which costs nothing forward or backward."""
    for dimension, count in enumerate(counts):
        if values.shape[dimension] != count:
            values = values.narrow(dimension, 0, count)
    return values


def middle(values: Tensor, dimension: int, count: int) -> Tensor:
    """So many in the middle of one dimension; itself where that is all."""
    whole = values.shape[dimension]
    return values if whole == count else values.narrow(dimension, (whole - count) // 2, count)


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """One value a channel, in the shape that broadcasts over samples `x`."""
    return values.view(-1, *[1] * (x.dim() - 2))


def window(kernel: int, dimensions: int) -> tuple[int, int]:
    """(height, width) of a kernel over time or over an image."""
    return (kernel if dimensions == 2 else 1), kernel


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution that keeps the size but for the stride; depthwise if the weight has one input channel.

    Tensors are (batch, channels, height, width) in channels-last memory. There is no stride where the kernel is 1.
    """
    inputs, height, width = weight.shape[1:]
    if width == 1 and stride == 1 and inputs == x.shape[1]:
        # In channels-last memory a 1x1 convolution is a matrix product, without a copy and without set-up.
        return functional.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0]).permute(0, 3, 1, 2)
    strides, padding = (stride if height > 1 else 1, stride), (height // 2, width // 2)
    return functional.conv2d(x, weight, stride=strides, padding=padding, groups=x.shape[1] // inputs)


class ElasticConvolution(nn.Module):
    """A convolution and its batch normalisation, of which the first channels and the middle taps are used.

    Tensors are (batch, channels, height, width) in channels-last memory, signals with the height 1: on CPUs a
    depthwise convolution is twice as fast there as in (batch, channels, time).
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, dimensions: int, *, depthwise: bool = False) -> None:
        super().__init__()
        self.depthwise, self.dimensions = depthwise, dimensions
        inputs = 1 if depthwise else width_in
        self.weight = nn.Parameter(torch.empty(width_out, inputs, *window(kernel, dimensions)))
        self.scale = nn.Parameter(torch.ones(width_out))
        self.shift = nn.Parameter(torch.zeros(width_out))

    def taps(self, width_in: int, width_out: int, kernel: int) -> Tensor:
        """The weights of a convolution of these sizes."""
        height, width = window(kernel, self.dimensions)
        outer = first(self.weight, width_out, 1 if self.depthwise else width_in)
        return middle(middle(outer, 2, height), 3, width)

    def reset(self, generator: torch.Generator) -> None:
        """First weights (He et al. 2015)."""
        self.weight.normal_(0.0, math.sqrt(2.0 / self.weight[0].numel()), generator=generator)

    def forward(self, x: Tensor, width_out: int, kernel: int = 1, stride: int = 1) -> Tensor:
        """Convolve and normalise with the statistics of this batch."""
        weight = self.taps(x.shape[1], width_out, kernel)
        x = convolve(x, weight, stride)
        return normalised(x, first(self.scale, width_out), first(self.shift, width_out))


class ElasticSqueeze(nn.Module):
    """Squeeze and excitation of which the first channels and the first values in the middle are used."""

    def __init__(self, width: int) -> None:
        super().__init__()
        middle = max(1, width // SQUEEZE)
        self.squeeze = nn.Linear(width, middle)
        self.excite = nn.Linear(middle, width)

    def parts(self, width: int, middle: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weight and bias of both layers at these sizes."""
        squeeze, excite = self.squeeze, self.excite
        return (
            first(squeeze.weight, middle, width),
            first(squeeze.bias, middle),
            first(excite.weight, width, middle),
            first(excite.bias, width),
        )

    def forward(self, x: Tensor, middle: int) -> Tensor:
        """(batch, channels, height, width) with each channel weighed from 0 to 1."""
        return excited(x, *self.parts(x.shape[1], middle))


def excited(x: Tensor, squeeze: Tensor, squeeze_bias: Tensor, excite: Tensor, excite_bias: Tensor) -> Tensor:
    """Each channel weighed by two layers on the means of all channels."""
    middle = functional.relu_(functional.linear(x.mean((2, 3)), squeeze, squeeze_bias))
    return x * functional.hardsigmoid(functional.linear(middle, excite, excite_bias))[:, :, None, None]


class ElasticBlock(nn.Module):
    """An inverted bottleneck whose widths, kernel, expansion and stride come with every call."""

    def __init__(
        self, width_in: int, width_out: int, kernel: int, expansion: int, dimensions: int, *, squeeze: bool
    ) -> None:
        super().__init__()
        hidden = width_in * expansion
        self.expand = ElasticConvolution(width_in, hidden, 1, dimensions)
        self.depthwise = ElasticConvolution(hidden, hidden, kernel, dimensions, depthwise=True)
        self.project = ElasticConvolution(hidden, width_out, 1, dimensions)
        self.squeeze = ElasticSqueeze(hidden) if squeeze else None

    def forward(self, x: Tensor, block: BlockSpec) -> Tensor:
        """Run the part of the block that `block` describes."""
        y = functional.relu_(self.expand(x, block.hidden))
        y = functional.relu_(self.depthwise(y, block.hidden, block.kernel, block.stride))
        if block.squeeze:
            assert self.squeeze is not None, "the space has no such block"
            y = self.squeeze(y, block.squeezed)
        y = self.project(y, block.width_out)
        done: Tensor = y.add_(x) if block.residual else y
        return done


@dataclass(frozen=True)
class Seen:
    """Normalised samples, and what the classifier is told of them directly."""

    raw: Tensor
    told: list[Tensor]


class Supernet(ElasticNetwork):
    """The supernet of convolutional networks.

    Takes raw samples, windows (batch, channels, time) or images (batch, channels, height, width), and gives class
    logits. The mean and standard deviation of the training data are buffers, so that they travel with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, space: ConvolutionalSpace) -> None:
        super().__init__()
        self.space: ConvolutionalSpace = space
        config, dimensions = space.config, space.dimensions
        self.register_buffer("mean", torch.zeros(space.channels))
        self.register_buffer("std", torch.ones(space.channels))
        self.stem = ElasticConvolution(space.channels, config.stem_width, space.stem_kernel, dimensions)
        self.stages = nn.ModuleList()
        width, kernel, expansion = config.stem_width, config.kernels[-1], config.expansions[-1]
        squeeze = config.squeeze_excite[-1]
        for widths in config.stage_widths:
            blocks = nn.ModuleList()
            for _ in range(config.depths[-1]):
                blocks.append(ElasticBlock(width, widths[-1], kernel, expansion, dimensions, squeeze=squeeze))
                width = widths[-1]
            self.stages.append(blocks)
        self.head = ElasticConvolution(width, config.head_width, 1, dimensions)
        self.pooled_scale = nn.Parameter(torch.ones(space.pooled))
        self.pooled_shift = nn.Parameter(torch.zeros(space.pooled))
        self.spectrum = Spectrum(space.length) if isinstance(space, SignalSpace) and config.statistics else None
        self.classifier = nn.Linear(space.pooled, space.classes)

    def see(self, x: Tensor) -> Seen:
        """What all architectures are told of raw samples alike."""
        raw = (x - per_channel(self.mean, x)) / per_channel(self.std, x)
        return Seen(raw, statistics(raw, self.spectrum) if self.spectrum else [])

    def forward(self, x: Tensor | Seen, arch: Architecture, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""
        config = self.space.config
        seen = x if isinstance(x, Seen) else self.see(x)
        y = prepared(seen.raw, self.space.input_size(arch))
        y = functional.relu_(self.stem(y, config.stem_width, self.space.stem_kernel, 2))
        for block in self.space.blocks(arch):
            y = self.block(block)(y, block)
        y = functional.relu_(self.head(y, config.head_width))
        pooled = torch.cat([*pool(y.flatten(2).float(), config.pooling), *seen.told], 1)
        pooled = normalised(pooled, self.pooled_scale, self.pooled_shift)
        logits: Tensor = self.classifier(pooled if dropout is None else pooled * dropout)
        return logits

    def block(self, spec: BlockSpec) -> ElasticBlock:
        """The elastic block in this one's place."""
        stage = cast("nn.ModuleList", self.stages[spec.stage])
        return cast("ElasticBlock", stage[spec.position])

    def spread(self) -> Tensor:
        """Standard deviation of each channel of the training data."""
        return self.std

    def adopt(self, data: TrainingData) -> None:
        """Mean and standard deviation of each channel."""
        self.mean.copy_(torch.from_numpy(data.mean))
        self.std.copy_(torch.from_numpy(data.std))

    def reset(self, generator: torch.Generator) -> None:
        """First weights, all drawn from the generator."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, ElasticConvolution):
                    module.reset(generator)
                elif isinstance(module, ElasticSqueeze):
                    for layer in (module.squeeze, module.excite):
                        layer.weight.normal_(0.0, 1.0 / math.sqrt(layer.in_features), generator=generator)
                    module.squeeze.bias.zero_()
                    module.excite.bias.fill_(OPEN)
            self.classifier.weight.normal_(0.0, 1.0 / math.sqrt(self.space.pooled), generator=generator)
            self.classifier.bias.zero_()
