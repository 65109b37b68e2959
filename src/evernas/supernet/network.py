"""The weight-sharing supernet: elastic layers whose active sizes are arguments of forward; no training."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from evernas.spaces import Architecture, BlockSpec, SignalSpace
from evernas.spaces.signal import STEM_KERNEL
from evernas.supernet.pooling import Spectrum, pool, statistics

EPSILON = 1e-5


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution over time that keeps the length but for the stride; depthwise if the weight has one input channel.

    Tensors are (batch, channels, 1, time) in channels-last memory.
    """
    inputs, kernel = weight.shape[1], weight.shape[3]
    if kernel == 1 and stride == 1 and inputs == x.shape[1]:
        # In channels-last memory a 1x1 convolution is a matrix product, without a copy and without set-up.
        return functional.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0]).permute(0, 3, 1, 2)
    return functional.conv2d(x, weight, stride=(1, stride), padding=(0, kernel // 2), groups=x.shape[1] // inputs)


class ElasticConvolution(nn.Module):
    """A convolution over time and its batch normalisation, of which the first channels and the middle taps are used.

    Tensors are (batch, channels, 1, time) in channels-last memory: on CPUs a depthwise convolution is twice as fast
    there as in (batch, channels, time).
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, depthwise: bool = False) -> None:
        super().__init__()
        self.depthwise = depthwise
        self.weight = nn.Parameter(torch.empty(width_out, 1 if depthwise else width_in, 1, kernel))
        self.scale = nn.Parameter(torch.ones(width_out))
        self.shift = nn.Parameter(torch.zeros(width_out))

    def taps(self, width_in: int, width_out: int, kernel: int) -> Tensor:
        """The weights of a convolution of these sizes."""
        start = (self.weight.shape[3] - kernel) // 2
        return self.weight[:width_out, : 1 if self.depthwise else width_in, :, start : start + kernel]

    def forward(self, x: Tensor, width_out: int, kernel: int = 1, stride: int = 1) -> Tensor:
        """Convolve and normalise with the statistics of this batch."""
        weight = self.taps(x.shape[1], width_out, kernel)
        x = convolve(x, weight, stride)
        return functional.batch_norm(x, None, None, self.scale[:width_out], self.shift[:width_out], True, 0.0, EPSILON)


class ElasticBlock(nn.Module):
    """An inverted bottleneck whose widths, kernel, expansion and stride come with every call."""

    def __init__(self, width_in: int, width_out: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.expand = ElasticConvolution(width_in, width_in * expansion, 1)
        self.depthwise = ElasticConvolution(width_in * expansion, width_in * expansion, kernel, depthwise=True)
        self.project = ElasticConvolution(width_in * expansion, width_out, 1)

    def forward(self, x: Tensor, block: BlockSpec) -> Tensor:
        """Run the part of the block that `block` describes."""
        y = functional.relu(self.expand(x, block.hidden))
        y = functional.relu(self.depthwise(y, block.hidden, block.kernel, block.stride))
        y = self.project(y, block.width_out)
        done: Tensor = x + y if block.residual else y
        return done


class Supernet(nn.Module):
    """Holds the weights of the largest architecture of a space; every other one uses a part of them.

    Takes raw windows (batch, channels, time) and gives class logits. The mean and standard deviation of the training
    data are buffers, so that they travel with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, space: SignalSpace) -> None:
        super().__init__()
        self.space = space
        config = space.config
        self.register_buffer("mean", torch.zeros(space.channels))
        self.register_buffer("std", torch.ones(space.channels))
        self.stem = ElasticConvolution(space.channels, config.stem_width, STEM_KERNEL)
        self.stages = nn.ModuleList()
        width = config.stem_width
        for widths in config.stage_widths:
            blocks = nn.ModuleList()
            for _ in range(config.depths[-1]):
                blocks.append(ElasticBlock(width, widths[-1], config.kernels[-1], config.expansions[-1]))
                width = widths[-1]
            self.stages.append(blocks)
        self.head = ElasticConvolution(width, config.head_width, 1)
        self.pooled_scale = nn.Parameter(torch.ones(space.pooled))
        self.pooled_shift = nn.Parameter(torch.zeros(space.pooled))
        self.spectrum = Spectrum(space.length)
        self.classifier = nn.Linear(space.pooled, space.classes)

    def forward(self, x: Tensor, arch: Architecture, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""
        config = self.space.config
        raw = (x - self.mean[:, None]) / self.std[:, None]
        y = raw[:, :, None].contiguous(memory_format=torch.channels_last)
        y = functional.relu(self.stem(y, config.stem_width, STEM_KERNEL, 2))
        for block in self.space.blocks(arch):
            y = self.block(block)(y, block)
        y = functional.relu(self.head(y, config.head_width))
        pooled = torch.cat(
            [*pool(y[:, :, 0], config.pooling), *(statistics(raw, self.spectrum) if config.statistics else ())], 1
        )
        pooled = functional.batch_norm(pooled, None, None, self.pooled_scale, self.pooled_shift, True, 0.0, EPSILON)
        logits: Tensor = self.classifier(pooled if dropout is None else pooled * dropout)
        return logits

    def block(self, spec: BlockSpec) -> ElasticBlock:
        """The elastic block in this one's place."""
        stage = cast("nn.ModuleList", self.stages[spec.stage])
        return cast("ElasticBlock", stage[spec.position])


def initial(space: SignalSpace, seed: int) -> dict[str, Tensor]:
    """The state of an untrained supernet; the same for the same seed."""
    net = Supernet(space)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, ElasticConvolution):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
        net.classifier.weight.normal_(0.0, 1.0 / math.sqrt(space.pooled), generator=generator)
        net.classifier.bias.zero_()
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}
