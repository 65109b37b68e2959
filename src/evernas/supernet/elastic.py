"""What every supernet and every plain subnet offers, whatever its space; no layers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from evernas.spaces import Architecture, NetworkSpace

if TYPE_CHECKING:
    from evernas.supernet.data import TrainingData

EPSILON = 1e-5
"""Added to variances by every batch normalisation."""


class ElasticNetwork(nn.Module):
    """Holds the weights of the largest architecture of a space; every other one uses a part of them."""

    space: NetworkSpace
    pooled_scale: nn.Parameter
    pooled_shift: nn.Parameter
    classifier: nn.Linear

    def see(self, x: Tensor) -> Any:
        """What `forward` takes in place of raw samples that several architectures are given."""
        return x

    @abstractmethod
    def forward(self, x: Any, arch: Architecture, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes) of raw samples, or of what `see` made of them.

        `dropout`, (batch, space.pooled), is multiplied with the classifier's input.
        """

    @abstractmethod
    def reset(self, generator: torch.Generator) -> None:
        """First weights, all drawn from the generator."""

    @abstractmethod
    def adopt(self, data: TrainingData) -> None:
        """Take over what the network needs to know of its training data beside the weights."""

    def spread(self) -> Tensor:
        """Standard deviation of each channel of raw samples; nothing where samples are no measurements."""
        return torch.zeros(0)


class PlainNetwork(nn.Module):
    """One architecture's network, free of the supernet: raw samples to class logits."""

    classifier: nn.Linear

    @abstractmethod
    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits (batch, classes); `dropout`, if given, is multiplied with the classifier's input."""

    def spread(self) -> Tensor:
        """Standard deviation of each channel of raw samples; nothing where samples are no measurements."""
        return torch.zeros(0)
