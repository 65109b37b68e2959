"""What all spaces of networks have in common: the shape of a sample, the classes, and costs summed over layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from evernas.spaces.api import Architecture, Choice, Option, SearchSpace
from evernas.spaces.layers import LayerSpec


class NetworkSpace(SearchSpace):
    """A space whose architectures are classifiers made of layers that share weights; a subclass says which layers."""

    def __init__(self, name: str, choices: Sequence[Choice], shape: tuple[int, ...], classes: int) -> None:
        self.shape, self.classes = shape, classes
        super().__init__(name, choices)

    @property
    @abstractmethod
    def pooled_parts(self) -> dict[str, int]:
        """How many inputs of the largest classifier are of which kind, in their order."""

    @cached_property
    def pooled(self) -> int:
        """Inputs of the largest classifier."""
        return sum(self.pooled_parts.values())

    def fixed(self) -> dict[str, Option]:
        """What is no choice here, but is in other spaces of this kind: the option that holds, by the choice's name."""
        return {}

    @abstractmethod
    def input_size(self, arch: Architecture) -> tuple[int, ...]:
        """The size that the network works on, without the channels."""

    @abstractmethod
    def layers(self, arch: Architecture) -> tuple[LayerSpec, ...]:
        """The operators that cost something, in the order they run."""

    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """What `features` holds, in its order."""

    @abstractmethod
    def features(self, arch: Architecture) -> np.ndarray:
        """Costs that a latency predictor can be fitted on, float64, named by `feature_names`."""

    def smallest(self) -> Architecture:
        """The first option everywhere; every weight of it is shared by all others."""
        return self.architecture([0] * len(self.choices))

    def largest(self) -> Architecture:
        """The last option everywhere; it holds the weights of all others."""
        return self.architecture([len(choice.options) - 1 for choice in self.choices])

    def teacher(self, rng: np.random.Generator) -> Architecture:
        """The network that a training step takes as the largest: where none holds all others, one of the widest."""
        return self.largest()

    def macs(self, arch: Architecture) -> int:
        """Multiply-accumulates of the layers with weights for one sample; what is the same for all is left out."""
        return sum(layer.macs for layer in self.layers(arch))

    def parameters(self, arch: Architecture) -> int:
        """Weights and biases that ship, normalisation folded in."""
        return sum(layer.weights for layer in self.layers(arch))

    def activation_bytes(self, arch: Architecture) -> int:
        """Largest sum of float32 activations alive at once for one sample, residuals included."""
        return max(layer.live_bytes for layer in self.layers(arch))
