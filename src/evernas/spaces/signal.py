"""The space of 1-D convolutional networks for windows of several channels over time."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Any

from evernas.config import SpaceConfig
from evernas.errors import UsageError
from evernas.spaces.convolutional import ConvolutionalSpace


class SignalSpace(ConvolutionalSpace):
    """Convolutions over time; the classifier is also given statistics of the window where the config asks for them."""

    stem_kernel = 5

    def __init__(self, channels: int, length: int, classes: int, config: SpaceConfig) -> None:
        if channels < 1 or length < 2 ** (1 + len(config.stage_widths)) or classes < 2:
            raise UsageError(
                f"A signal of {channels} channels, {length} steps and {classes} classes cannot be classified in "
                f"{len(config.stage_widths)} stages: give 1 channel, {2 ** (1 + len(config.stage_widths))} steps "
                "and 2 classes or more."
            )
        self.length = length
        super().__init__("signal", (channels, length), classes, config)

    def identity(self) -> Any:
        """The choices, and whatever else shapes the network."""
        return [super().identity(), self.channels, self.length, self.classes, self.config.model_dump(mode="json")]

    @cached_property
    def bands(self) -> tuple[tuple[int, int], ...]:
        """The frequency bands of the statistics, in cycles per window, each from its first to before its last."""
        return frequency_bands(self.length)

    @property
    def pooled_parts(self) -> dict[str, int]:
        """Every pooling of the head, and the statistics of the input if they are used."""
        found = {str(kind): self.config.head_width for kind in self.config.pooling}
        if self.config.statistics:
            found["statistics"] = len(STATISTICS) * self.channels
            found[f"bands of {self.length} steps"] = len(self.bands) * self.channels
        return found


STATISTICS = ("mean", "std", "min", "max")
"""What each channel of the window is summed up by, beside the power in its bands, where the config asks for it."""
BAND_RATIO = 1.6


def frequency_bands(length: int) -> tuple[tuple[int, int], ...]:
    """Bands from one cycle in `length` steps to half a cycle a step, each wider than the last by about BAND_RATIO."""
    edges = [1]
    while edges[-1] < length // 2 + 1:
        edges.append(min(length // 2 + 1, max(edges[-1] + 1, round(edges[-1] * BAND_RATIO))))
    return tuple(pairwise(edges))
