"""How windows and feature maps are summed up over time for the classifier; nothing here is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evernas.spaces.signal import frequency_bands

STD_EPSILON = 1e-4
POWER_EPSILON = 1e-2


def pool(x: Tensor, kinds: Sequence[str]) -> list[Tensor]:
    """Summaries over time of (batch, channels, time), each (batch, channels)."""
    made = {
        "mean": lambda: x.mean(2),
        "max": lambda: x.amax(2),
        "std": lambda: deviation(x),
    }
    return [made[kind]() for kind in kinds]


def statistics(x: Tensor, spectrum: Spectrum) -> list[Tensor]:
    """What the classifier is told of each input channel directly."""
    return [x.mean(2), deviation(x), x.amin(2), x.amax(2), spectrum(x)]


def deviation(x: Tensor) -> Tensor:
    """Standard deviation over time, with a gradient at 0."""
    return torch.sqrt((x - x.mean(2, keepdim=True)).square().mean(2) + STD_EPSILON)


class Spectrum(nn.Module):
    """Logarithm of each channel's power in the frequency bands of the window; constants only, nothing is learned."""

    cosines: Tensor
    sines: Tensor
    bands: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        bands = frequency_bands(length)
        cycles = torch.arange(1, bands[-1][1])
        angle = 2 * math.pi / length * torch.outer(torch.arange(length), cycles).remainder(length).double()
        member = [((cycles >= first) & (cycles < last)).float() for first, last in bands]
        self.register_buffer("cosines", angle.cos().float(), persistent=False)
        self.register_buffer("sines", angle.sin().float(), persistent=False)
        self.register_buffer("bands", torch.stack(member, 1) / length, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, time) to (batch, channels * bands)."""
        power = (x @ self.cosines).square() + (x @ self.sines).square()
        return torch.log(power @ self.bands + POWER_EPSILON).flatten(1)
