"""Blocks and layers of a network as numbers, and what each layer costs; no choices, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["conv", "pointwise", "depthwise", "linear", "embedding", "attention"]
KINDS: tuple[Kind, ...] = ("conv", "pointwise", "depthwise", "linear")
FLOAT_BYTES = 4
SQUEEZE = 4
"""How many times fewer values a squeeze has than the block has channels inside (Hu et al. 2018: 16, MobileNetV3: 4)."""


@dataclass(frozen=True)
class BlockSpec:
    """An inverted bottleneck: 1x1 to `hidden`, depthwise with `kernel` taps a side, 1x1 to `width_out` channels."""

    stage: int
    position: int
    width_in: int
    width_out: int
    kernel: int
    expansion: int
    stride: int
    size_in: tuple[int, ...]
    """(time,) or (height, width) before the block."""
    squeeze: bool = False
    """Whether the channels inside are weighed by what is in the sample, after the depthwise convolution."""

    @property
    def hidden(self) -> int:
        """Channels between the two 1x1 convolutions."""
        return self.width_in * self.expansion

    @property
    def squeezed(self) -> int:
        """Values in the middle of the squeeze."""
        return max(1, self.hidden // SQUEEZE)

    @property
    def size_out(self) -> tuple[int, ...]:
        """(time,) or (height, width) after the block."""
        return tuple(-(-length // self.stride) for length in self.size_in)

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output: wherever the shapes agree."""
        return self.stride == 1 and self.width_in == self.width_out


@dataclass(frozen=True)
class TextBlockSpec:
    """A block over `length` sub-words of `width` numbers each, whose input is added to its output.

    With a kernel: 1x1 to `hidden`, depthwise with `kernel` taps, 1x1 back. With heads: self-attention, then two 1x1
    with `hidden` between them, each with its input added.
    """

    position: int
    width: int
    length: int
    ratio: int
    kernel: int = 0
    heads: int = 0

    @property
    def hidden(self) -> int:
        """Channels inside."""
        return self.width * self.ratio


@dataclass(frozen=True)
class LayerSpec:
    """One operator as it runs on a device: normalisation is folded into it. All but attention have weights.

    An embedding has as many inputs as there are sub-words; of them it reads one a position. Attention reads each
    position at each position; its inputs are queries, keys and values, `width_out` channels each.
    """

    kind: Kind
    stage: int
    width_in: int
    width_out: int
    taps: int
    """Positions that one output value reads of each channel."""
    positions_in: int
    positions_out: int
    held: int = 0
    """Values that must stay in memory beside this layer's own input and output: a residual on its way."""

    @property
    def weights(self) -> int:
        """Weights and biases."""
        if self.kind == "attention":
            return 0
        if self.kind == "embedding":
            return self.width_in * self.width_out
        inputs = 1 if self.kind == "depthwise" else self.width_in
        return self.width_out * (inputs * self.taps + 1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        if self.kind == "embedding":
            return 0
        if self.kind == "attention":
            return 2 * self.width_out * self.positions_in * self.positions_out
        inputs = 1 if self.kind == "depthwise" else self.width_in
        return self.width_out * inputs * self.taps * self.positions_out

    @property
    def moved_bytes(self) -> int:
        """Bytes read and written for one sample, if nothing stays in a cache."""
        if self.kind == "embedding":
            return FLOAT_BYTES * 2 * self.width_out * self.positions_out
        return FLOAT_BYTES * (self.width_in * self.positions_in + self.width_out * self.positions_out + self.weights)

    @property
    def live_bytes(self) -> int:
        """Bytes of activations that are alive while the layer runs."""
        if self.kind == "embedding":
            return FLOAT_BYTES * self.width_out * self.positions_out
        return FLOAT_BYTES * (self.width_in * self.positions_in + self.width_out * self.positions_out + self.held)
