"""Random numbers in the ranges that changes to samples need."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform from -1 to 1."""
    return torch.rand(shape, generator=generator) * 2 - 1
