"""The space of 1-D convolutional networks for windows of several channels over time: its genes, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from evernas.config import SpaceConfig
from evernas.errors import UsageError
from evernas.spaces.api import Architecture, Choice, SearchSpace
from evernas.spaces.layers import KINDS, BlockSpec, LayerSpec

STEM_KERNEL = 5


class SignalSpace(SearchSpace):
    """Stem convolution, stages of inverted bottlenecks, 1x1 head, pooling over time, linear classifier.

    A stage has a width and a depth to choose, and each of its blocks a kernel and an expansion. The genes of blocks
    beyond the depth are 0 in a canonical architecture.
    """

    def __init__(self, channels: int, length: int, classes: int, config: SpaceConfig) -> None:
        if channels < 1 or length < 2 ** (1 + len(config.stage_widths)) or classes < 2:
            raise UsageError(
                f"A signal of {channels} channels, {length} steps and {classes} classes cannot be classified in "
                f"{len(config.stage_widths)} stages: give 1 channel, {2 ** (1 + len(config.stage_widths))} steps "
                "and 2 classes or more."
            )
        self.channels, self.length, self.classes, self.config = channels, length, classes, config
        choices, self._width_at, self._depth_at, self._blocks_at = _choices(config)
        super().__init__("signal", choices)

    def identity(self) -> Any:
        """The choices, and whatever else shapes the network."""
        return [super().identity(), self.channels, self.length, self.classes, self.config.model_dump(mode="json")]

    def active(self, genes: Sequence[int]) -> tuple[bool, ...]:
        """Every gene but those of blocks beyond their stage's depth."""
        on = [True] * len(self.choices)
        for depth_at, blocks_at in zip(self._depth_at, self._blocks_at, strict=True):
            for at in blocks_at[self.config.depths[genes[depth_at]] :]:
                on[at] = on[at + 1] = False
        return tuple(on)

    def active_many(self, genes: np.ndarray) -> np.ndarray:
        """`active` of each row at once."""
        on = np.ones((len(genes), len(self.choices)), dtype=bool)
        depths = np.array(self.config.depths)
        for depth_at, blocks_at in zip(self._depth_at, self._blocks_at, strict=True):
            for position, at in enumerate(blocks_at):
                on[:, at : at + 2] = (position < depths[genes[:, depth_at]])[:, None]
        return on

    def size(self) -> int:
        """Over the stages, the product of widths times the sum over depths of the ways to choose the blocks."""
        ways = len(self.config.kernels) * len(self.config.expansions)
        blocks = sum(ways**depth for depth in self.config.depths)
        return math.prod(len(widths) * blocks for widths in self.config.stage_widths)

    def smallest(self) -> Architecture:
        """The first option everywhere; every weight of it is shared by all others."""
        return self.architecture([0] * len(self.choices))

    def largest(self) -> Architecture:
        """The last option everywhere; it holds the weights of all others."""
        return self.architecture([len(choice.options) - 1 for choice in self.choices])

    def blocks(self, arch: Architecture) -> tuple[BlockSpec, ...]:
        """The blocks in the order they run."""
        self.check(arch)
        config, found = self.config, []
        width, length = config.stem_width, -(-self.length // 2)
        for stage, widths in enumerate(config.stage_widths):
            out, depth = widths[arch.genes[self._width_at[stage]]], config.depths[arch.genes[self._depth_at[stage]]]
            for position, at in enumerate(self._blocks_at[stage][:depth]):
                kernel, expansion = config.kernels[arch.genes[at]], config.expansions[arch.genes[at + 1]]
                block = BlockSpec(stage, position, width, out, kernel, expansion, 1 if position else 2, length)
                found.append(block)
                width, length = out, block.length_out
        return tuple(found)

    @cached_property
    def bands(self) -> tuple[tuple[int, int], ...]:
        """The frequency bands of the statistics, in cycles per window, each from its first to before its last."""
        return frequency_bands(self.length)

    @cached_property
    def pooled(self) -> int:
        """Inputs of the classifier: every pooling of the head, and the statistics of the input if they are used."""
        statistics = (len(STATISTICS) + len(self.bands)) * self.channels if self.config.statistics else 0
        return len(self.config.pooling) * self.config.head_width + statistics

    def layers(self, arch: Architecture) -> tuple[LayerSpec, ...]:
        """The operators with weights, in the order they run."""
        config, length = self.config, -(-self.length // 2)
        layers = [LayerSpec("conv", -1, self.channels, config.stem_width, STEM_KERNEL, self.length, length)]
        blocks = self.blocks(arch)
        for b in blocks:
            held = b.width_in * b.length_in if b.residual else 0
            layers += [
                LayerSpec("pointwise", b.stage, b.width_in, b.hidden, 1, b.length_in, b.length_in),
                LayerSpec("depthwise", b.stage, b.hidden, b.hidden, b.kernel, b.length_in, b.length_out, held),
                LayerSpec("pointwise", b.stage, b.hidden, b.width_out, 1, b.length_out, b.length_out, held),
            ]
        last = blocks[-1]
        head = LayerSpec("pointwise", -1, last.width_out, config.head_width, 1, last.length_out, last.length_out)
        return (*layers, head, LayerSpec("linear", -1, self.pooled, self.classes, 1, 1, 1))

    def macs(self, arch: Architecture) -> int:
        """Multiply-accumulates of the layers with weights for one window; what is the same for all is left out."""
        return sum(layer.macs for layer in self.layers(arch))

    def parameters(self, arch: Architecture) -> int:
        """Weights and biases that ship, normalisation folded in."""
        return sum(layer.weights for layer in self.layers(arch))

    def activation_bytes(self, arch: Architecture) -> int:
        """Largest sum of float32 activations alive at once for one window, residuals included."""
        return max(layer.live_bytes for layer in self.layers(arch))

    def feature_names(self) -> tuple[str, ...]:
        """What `features` holds, in its order."""
        stages = range(len(self.config.stage_widths))
        return (
            "layers", "residuals", "macs", "weights", "moved_bytes", "activation_bytes",
            *(f"{kind}_macs" for kind in KINDS),
            *(f"{kind}_moved_bytes" for kind in KINDS),
            *(f"stage{s}_{what}" for s in stages for what in ("depth", "width", "macs", "moved_bytes")),
        )  # fmt: skip

    def features(self, arch: Architecture) -> np.ndarray:
        """Costs that a latency predictor can be fitted on, float64, named by `feature_names`."""
        layers, blocks = self.layers(arch), self.blocks(arch)
        values: list[int] = [
            len(layers),
            sum(block.residual for block in blocks),
            sum(layer.macs for layer in layers),
            sum(layer.weights for layer in layers),
            sum(layer.moved_bytes for layer in layers),
            max(layer.live_bytes for layer in layers),
        ]
        values += [sum(layer.macs for layer in layers if layer.kind == kind) for kind in KINDS]
        values += [sum(layer.moved_bytes for layer in layers if layer.kind == kind) for kind in KINDS]
        for stage, widths in enumerate(self.config.stage_widths):
            of_stage = [layer for layer in layers if layer.stage == stage]
            values += [
                sum(block.stage == stage for block in blocks),
                widths[arch.genes[self._width_at[stage]]],
                sum(layer.macs for layer in of_stage),
                sum(layer.moved_bytes for layer in of_stage),
            ]
        return np.array(values, dtype=np.float64)


STATISTICS = ("mean", "std", "min", "max")
"""What each channel of the window is summed up by, beside the power in its bands, where the config asks for it."""
BAND_RATIO = 1.6


def frequency_bands(length: int) -> tuple[tuple[int, int], ...]:
    """Bands from one cycle in `length` steps to half a cycle a step, each wider than the last by about BAND_RATIO."""
    edges = [1]
    while edges[-1] < length // 2 + 1:
        edges.append(min(length // 2 + 1, max(edges[-1] + 1, round(edges[-1] * BAND_RATIO))))
    return tuple(pairwise(edges))


def _choices(config: SpaceConfig) -> tuple[list[Choice], list[int], list[int], list[list[int]]]:
    """The choices, and where in the genes each stage's width, depth and blocks (kernel, then expansion) stand."""
    choices: list[Choice] = []
    width_at, depth_at, blocks_at = [], [], []
    for stage, widths in enumerate(config.stage_widths):
        width_at.append(len(choices))
        choices.append(Choice(f"stage{stage}.width", tuple(widths)))
        depth_at.append(len(choices))
        choices.append(Choice(f"stage{stage}.depth", tuple(config.depths)))
        places = []
        for block in range(config.depths[-1]):
            places.append(len(choices))
            choices.append(Choice(f"stage{stage}.block{block}.kernel", tuple(config.kernels)))
            choices.append(Choice(f"stage{stage}.block{block}.expansion", tuple(config.expansions)))
        blocks_at.append(places)
    return choices, width_at, depth_at, blocks_at
