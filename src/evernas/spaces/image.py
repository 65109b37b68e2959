"""The space of 2-D convolutional networks for images, MobileNet-style."""

from __future__ import annotations

from typing import Any

from evernas.config import SpaceConfig
from evernas.errors import UsageError
from evernas.spaces.api import Architecture, Choice, Option
from evernas.spaces.convolutional import ConvolutionalSpace


class ImageSpace(ConvolutionalSpace):
    """Inverted bottlenecks of Sandler et al. 2018 with squeeze and excitation; the resolution may be chosen too."""

    stem_kernel = 3

    def __init__(self, channels: int, height: int, width: int, classes: int, config: SpaceConfig) -> None:
        least = 2 ** (1 + len(config.stage_widths))
        sides = [height, width, *config.resolutions]
        if channels < 1 or classes < 2 or min(sides) < least or max([height, *config.resolutions]) > height:
            raise UsageError(
                f"Images of {channels} channels and {height} x {width} pixels, scaled to {config.resolutions}, of "
                f"{classes} classes cannot be classified in {len(config.stage_widths)} stages: give 1 channel, "
                f"2 classes and sides of {least} pixels or more, and resolutions that enlarge nothing."
            )
        self.height, self.width = height, width
        resolution = [Choice("resolution", tuple(config.resolutions))] if config.resolutions else []
        super().__init__("image", (channels, height, width), classes, config, resolution)

    def identity(self) -> Any:
        """The choices, and whatever else shapes the network."""
        config = self.config.model_dump(mode="json", exclude={"statistics"})
        return [super().identity(), list(self.shape), self.classes, config]

    @property
    def pooled_parts(self) -> dict[str, int]:
        """Every pooling of the head."""
        return {str(kind): self.config.head_width for kind in self.config.pooling}

    def fixed(self) -> dict[str, Option]:
        """Besides, the resolution where it is the image's own."""
        return super().fixed() | ({} if self.config.resolutions else {"resolution": self.height})

    def input_size(self, arch: Architecture) -> tuple[int, int]:
        """(height, width) that the network works on: the chosen height, and the width that keeps the proportions."""
        if not self.config.resolutions:
            return self.height, self.width
        height = self.config.resolutions[arch.genes[0]]
        return height, round(self.width * height / self.height)
