"""Blocks and layers of a network as numbers, and what each layer costs; no choices, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["conv", "pointwise", "depthwise", "linear"]
KINDS: tuple[Kind, ...] = ("conv", "pointwise", "depthwise", "linear")
FLOAT_BYTES = 4


@dataclass(frozen=True)
class BlockSpec:
    """An inverted bottleneck: 1x1 to `hidden`, depthwise over `kernel` steps, 1x1 to `width_out` channels."""

    stage: int
    position: int
    width_in: int
    width_out: int
    kernel: int
    expansion: int
    stride: int
    length_in: int

    @property
    def hidden(self) -> int:
        """Channels between the two 1x1 convolutions."""
        return self.width_in * self.expansion

    @property
    def length_out(self) -> int:
        """Time steps after the block."""
        return -(-self.length_in // self.stride)

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output: wherever the shapes agree."""
        return self.stride == 1 and self.width_in == self.width_out


@dataclass(frozen=True)
class LayerSpec:
    """One operator with weights, as it runs on a device: normalisation is folded into it."""

    kind: Kind
    stage: int
    width_in: int
    width_out: int
    kernel: int
    length_in: int
    length_out: int
    held: int = 0
    """Values that must stay in memory beside this layer's own input and output: a residual on its way."""

    @property
    def weights(self) -> int:
        """Weights and biases."""
        inputs = 1 if self.kind == "depthwise" else self.width_in
        return self.width_out * (inputs * self.kernel + 1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one window."""
        inputs = 1 if self.kind == "depthwise" else self.width_in
        return self.width_out * inputs * self.kernel * self.length_out

    @property
    def moved_bytes(self) -> int:
        """Bytes read and written for one window, if nothing stays in a cache."""
        return FLOAT_BYTES * (self.width_in * self.length_in + self.width_out * self.length_out + self.weights)

    @property
    def live_bytes(self) -> int:
        """Bytes of activations that are alive while the layer runs."""
        return FLOAT_BYTES * (self.width_in * self.length_in + self.width_out * self.length_out + self.held)
