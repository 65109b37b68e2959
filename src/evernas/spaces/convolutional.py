"""What the spaces of convolutional networks share: stages of inverted bottlenecks, their genes, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evernas.config import SpaceConfig
from evernas.spaces.api import Architecture, Choice, Option
from evernas.spaces.layers import KINDS, BlockSpec, LayerSpec
from evernas.spaces.network import NetworkSpace


class ConvolutionalSpace(NetworkSpace):
    """Stem convolution, stages of inverted bottlenecks, 1x1 head, pooling over all positions, linear classifier.

    A stage has a width and a depth to choose, and whether its blocks squeeze and excite; each of its blocks a kernel
    and an expansion. The genes of blocks beyond the depth are 0 in a canonical architecture. Positions are steps of
    time or pixels: a subclass says in how many dimensions, and what else there is to choose.
    """

    stem_kernel: int

    def __init__(
        self, name: str, shape: tuple[int, ...], classes: int, config: SpaceConfig, first: Sequence[Choice] = ()
    ) -> None:
        self.config = config
        self._places = _Places()
        choices = [*first, *_choices(config, len(first), self._places)]
        super().__init__(name, choices, shape, classes)

    @property
    def dimensions(self) -> int:
        """1 over time, 2 over an image."""
        return len(self.shape) - 1

    @property
    def channels(self) -> int:
        """Channels of a sample."""
        return self.shape[0]

    def fixed(self) -> dict[str, Option]:
        """Whether blocks squeeze and excite, where that is not left to choose."""
        squeeze = self.config.squeeze_excite
        if len(squeeze) > 1:
            return {}
        return {f"stage{stage}.squeeze": int(squeeze[0]) for stage in range(len(self.config.stage_widths))}

    def input_size(self, arch: Architecture) -> tuple[int, ...]:
        """The size that the network works on, without the channels: the sample's own, unless a subclass scales it."""
        return self.shape[1:]

    def active(self, genes: Sequence[int]) -> tuple[bool, ...]:
        """Every gene but those of blocks beyond their stage's depth."""
        on = [True] * len(self.choices)
        for depth_at, blocks_at in zip(self._places.depths, self._places.blocks, strict=True):
            for at in blocks_at[self.config.depths[genes[depth_at]] :]:
                on[at] = on[at + 1] = False
        return tuple(on)

    def active_many(self, genes: np.ndarray) -> np.ndarray:
        """`active` of each row at once."""
        on = np.ones((len(genes), len(self.choices)), dtype=bool)
        depths = np.array(self.config.depths)
        for depth_at, blocks_at in zip(self._places.depths, self._places.blocks, strict=True):
            for position, at in enumerate(blocks_at):
                on[:, at : at + 2] = (position < depths[genes[:, depth_at]])[:, None]
        return on

    def size(self) -> int:
        """Over the stages, the product of widths and squeezes times the sum over depths of the ways to choose the
        blocks; times the options of what a subclass adds."""
        block = len(self.config.kernels) * len(self.config.expansions)
        blocks = sum(block**depth for depth in self.config.depths)
        ways = [len(choice.options) for choice in self.choices[: self._places.first]]
        ways += [len(widths) * len(self.config.squeeze_excite) * blocks for widths in self.config.stage_widths]
        return math.prod(ways)

    def blocks(self, arch: Architecture) -> tuple[BlockSpec, ...]:
        """The blocks in the order they run."""
        self.check(arch)
        config, places, found = self.config, self._places, []
        width, size = config.stem_width, halved(self.input_size(arch))
        for stage, widths in enumerate(config.stage_widths):
            out, depth = widths[arch.genes[places.widths[stage]]], config.depths[arch.genes[places.depths[stage]]]
            squeeze = config.squeeze_excite[arch.genes[places.squeezes[stage]] if places.squeezes else 0]
            for position, at in enumerate(places.blocks[stage][:depth]):
                kernel, expansion = config.kernels[arch.genes[at]], config.expansions[arch.genes[at + 1]]
                block = BlockSpec(stage, position, width, out, kernel, expansion, 1 if position else 2, size, squeeze)
                found.append(block)
                width, size = out, block.size_out
        return tuple(found)

    def layers(self, arch: Architecture) -> tuple[LayerSpec, ...]:
        """The operators with weights, in the order they run."""
        config, size = self.config, self.input_size(arch)
        taps = self.stem_kernel ** len(size)
        before, after = math.prod(size), math.prod(halved(size))
        layers = [LayerSpec("conv", -1, self.channels, config.stem_width, taps, before, after)]
        blocks = self.blocks(arch)
        for b in blocks:
            before, after, taps = math.prod(b.size_in), math.prod(b.size_out), b.kernel ** len(b.size_in)
            held = b.width_in * before if b.residual else 0
            layers += [
                LayerSpec("pointwise", b.stage, b.width_in, b.hidden, 1, before, before),
                LayerSpec("depthwise", b.stage, b.hidden, b.hidden, taps, before, after, held),
            ]
            if b.squeeze:
                inside = held + b.hidden * after
                layers += [
                    LayerSpec("linear", b.stage, b.hidden, b.squeezed, 1, 1, 1, inside),
                    LayerSpec("linear", b.stage, b.squeezed, b.hidden, 1, 1, 1, inside),
                ]
            layers.append(LayerSpec("pointwise", b.stage, b.hidden, b.width_out, 1, after, after, held))
        last = blocks[-1]
        end = math.prod(last.size_out)
        head = LayerSpec("pointwise", -1, last.width_out, config.head_width, 1, end, end)
        return (*layers, head, LayerSpec("linear", -1, self.pooled, self.classes, 1, 1, 1))

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
                widths[arch.genes[self._places.widths[stage]]],
                sum(layer.macs for layer in of_stage),
                sum(layer.moved_bytes for layer in of_stage),
            ]
        return np.array(values, dtype=np.float64)


def halved(size: tuple[int, ...]) -> tuple[int, ...]:
    """The size after a stride of 2."""
    return tuple(-(-length // 2) for length in size)


@dataclass
class _Places:
    """Where in the genes each stage's choices stand; of a block the kernel, after which its expansion stands."""

    first: int = 0
    widths: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    squeezes: list[int] = field(default_factory=list)
    blocks: list[list[int]] = field(default_factory=list)


def _choices(config: SpaceConfig, first: int, places: _Places) -> list[Choice]:
    """The choices of the stages, of which the first is gene number `first`; `places` is filled in."""
    choices: list[Choice] = []

    def add(name: str, options: Sequence[Option]) -> int:
        choices.append(Choice(name, tuple(options)))
        return first + len(choices) - 1

    places.first = first
    for stage, widths in enumerate(config.stage_widths):
        places.widths.append(add(f"stage{stage}.width", widths))
        places.depths.append(add(f"stage{stage}.depth", config.depths))
        if len(config.squeeze_excite) > 1:
            places.squeezes.append(add(f"stage{stage}.squeeze", [int(on) for on in config.squeeze_excite]))
        kernels = []
        for block in range(config.depths[-1]):
            kernels.append(add(f"stage{stage}.block{block}.kernel", config.kernels))
            add(f"stage{stage}.block{block}.expansion", config.expansions)
        places.blocks.append(kernels)
    return choices
