"""Random changes to a batch of images, vectorised; every draw is from a given generator, never from torch's own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from evernas.config import AugmentConfig
from evernas.supernet.draws import uniform


def augment(x: Tensor, std: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Changed raw images (batch, channels, height, width). `std` is each channel's standard deviation."""
    if config.time_warp or config.shift or config.rotate_degrees:
        x = moved(x, config.rotate_degrees, config.time_warp, config.shift, generator)
    if config.mirror:
        turned = torch.rand((len(x), 1, 1, 1), generator=generator) < config.mirror
        x = torch.where(turned, x.flip(3), x)
    if config.scale:
        mean = x.mean((2, 3), keepdim=True)
        x = mean + (x - mean) * (1 + config.scale * uniform((len(x), 1, 1, 1), generator))
    if config.jitter:
        x = x + config.jitter * std[:, None, None] * torch.randn(x.shape, generator=generator)
    if config.mask:
        side = config.mask * torch.rand((len(x), 1), generator=generator)
        x = torch.where(rectangle(x, side, generator), x.mean((2, 3), keepdim=True), x)
    return x


def moved(x: Tensor, degrees: float, zoom: float, shift: float, generator: torch.Generator) -> Tensor:
    """Each image turned by at most `degrees` and scaled about its middle, then moved; its edges are mirrored.

    `zoom` is the largest relative change of the size, `shift` the largest move as a share of each side.
    """
    batch, _, height, width = x.shape
    angle = math.radians(degrees) * uniform((batch,), generator)
    size = 1 / (1 + zoom * uniform((batch,), generator))
    move = 2 * shift * uniform((batch, 2), generator)
    # In affine_grid's units each side is 2 long: turning a rectangle needs the ratio of its sides.
    ratio = height / width
    cosine, sine = size * angle.cos(), size * angle.sin()
    rows = torch.stack([cosine, -sine * ratio, move[:, 0], sine / ratio, cosine, move[:, 1]], 1)
    grid = functional.affine_grid(rows.view(batch, 2, 3), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def rectangle(x: Tensor, side: Tensor, generator: torch.Generator) -> Tensor:
    """True (batch, 1, height, width) inside a rectangle somewhere in each image, whose sides are this share of it.

    `side` is (batch, 1), from 0 to 1.
    """
    found = torch.ones((len(x), 1, 1, 1), dtype=torch.bool)
    for axis in (2, 3):
        length = x.shape[axis]
        extent = (side * length).round()
        start = ((length - extent) * torch.rand((len(x), 1), generator=generator)).floor()
        steps = torch.arange(length)
        inside = (steps >= start) & (steps < start + extent)
        found = found & inside.view(len(x), 1, *((length, 1) if axis == 2 else (1, length)))
    return found
