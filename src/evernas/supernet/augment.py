"""Random changes to a batch of samples, vectorised; every draw is from a given generator, never from torch's own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from evernas.config import AugmentConfig
from evernas.supernet import augment_images as images
from evernas.supernet.draws import uniform


def augment(x: Tensor, std: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Changed raw windows (batch, channels, time) or images (batch, channels, height, width).

    `std` is each channel's standard deviation.
    """
    if x.dim() == 4:
        return images.augment(x, std, config, generator)
    if config.time_warp or config.shift:
        x = warp(x, config.time_warp, config.shift, generator)
    if config.rotate and config.rotate_degrees:
        x = rotate(x, config.rotate, math.radians(config.rotate_degrees), generator)
    if config.flip:
        x = flip(x, config.flip, generator)
    if config.scale:
        x = x * (1 + config.scale * uniform((len(x), 1, 1), generator))
    if config.jitter:
        x = x + config.jitter * std[:, None] * torch.randn(x.shape, generator=generator)
    if config.mask:
        x = mask(x, config.mask, generator)
    return x


def warp(x: Tensor, speed: float, shift: float, generator: torch.Generator) -> Tensor:
    """Play each window faster or slower about its middle, and move it; the ends are mirrored."""
    batch, _, time = x.shape
    last = time - 1
    centred = torch.arange(time) - last / 2
    factor = 1 + speed * uniform((batch, 1), generator)
    at = centred * factor + last / 2 + shift * time * uniform((batch, 1), generator)
    at = torch.remainder(at, 2 * last)
    at = torch.where(at > last, 2 * last - at, at)
    low = at.floor().clamp_(0, last - 1)
    part = (at - low)[:, None]
    low = low.long()[:, None].expand(-1, x.shape[1], -1)
    return torch.lerp(x.gather(2, low), x.gather(2, low + 1), part.expand_as(low))


def rotate(x: Tensor, triples: list[list[int]], most: float, generator: torch.Generator) -> Tensor:
    """Turn all triples of a window by the same rotation about a random axis, by at most `most` radians."""
    batch = len(x)
    axis = torch.nn.functional.normalize(torch.randn((batch, 3), generator=generator), dim=1)
    angle = most * torch.rand((batch, 1), generator=generator)
    ux, uy, uz = axis.unbind(1)
    zero = torch.zeros(batch)
    cross = torch.stack([zero, -uz, uy, uz, zero, -ux, -uy, ux, zero], 1).view(batch, 3, 3)
    # Rodrigues: R = I + sin(a) K + (1 - cos(a)) K^2
    turn = torch.eye(3) + angle.sin()[:, :, None] * cross + (1 - angle.cos())[:, :, None] * (cross @ cross)
    turned = x.clone()
    for triple in triples:
        turned[:, triple] = turn @ x[:, triple]
    return turned


def flip(x: Tensor, groups: list[list[int]], generator: torch.Generator) -> Tensor:
    """For each group of channels, in half of the windows, change the sign of all of them."""
    signs = torch.ones(x.shape[:2])
    for group in groups:
        signs[:, group] *= (torch.rand((len(x), 1), generator=generator) < 0.5).float() * -2 + 1
    return x * signs[:, :, None]


def mask(x: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Replace one stretch of each window by the window's mean."""
    batch, _, time = x.shape
    width = most * time * torch.rand((batch, 1), generator=generator)
    start = (time - width) * torch.rand((batch, 1), generator=generator)
    steps = torch.arange(time)
    blank = (steps >= start) & (steps < start + width)
    return torch.where(blank[:, None], x.mean(2, keepdim=True), x)


def blend(x: Tensor, targets: Tensor, mixup: float, cutmix: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each sample with another: a weighted mean of both (mixup), or a stretch or rectangle of the other (cutmix).

    Zhang et al. 2018, Yun et al. 2019. `mixup` and `cutmix` are chances that a batch is blended so.
    """
    draw = float(torch.rand((), generator=generator))
    other = torch.randperm(len(x), generator=generator)
    share = torch.rand((len(x), 1), generator=generator)
    if draw < mixup:
        share = 0.5 * share
        weight = share.view(-1, *[1] * (x.dim() - 1))
        return torch.lerp(x, x[other], weight), torch.lerp(targets, targets[other], share)
    if draw < mixup + cutmix and x.dim() == 4:
        inside = images.rectangle(x, (0.5 * share).sqrt(), generator)
        area = inside.mean((1, 2, 3), dtype=x.dtype)[:, None]
        return torch.where(inside, x[other], x), torch.lerp(targets, targets[other], area)
    if draw < mixup + cutmix:
        time = x.shape[2]
        width = (0.5 * share * time).round()
        start = (time - width) * torch.rand((len(x), 1), generator=generator)
        steps = torch.arange(time)
        inside = (steps >= start) & (steps < start + width)
        return torch.where(inside[:, None], x[other], x), torch.lerp(targets, targets[other], width / time)
    return x, targets
