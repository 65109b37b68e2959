"""Training on several processes: each batch is shared among them, its statistics and gradients are summed up over all.

SyncBatchNorm and DistributedDataParallel of torch are not used: the first refuses CPUs, the second reduces after every
backward pass, of which a sandwich step has four.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from evernas.supernet.elastic import EPSILON


def processes() -> int:
    """How many train together; 1 where nobody joined a group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def share_of(batch: Tensor) -> Tensor:
    """This process's part of a batch that all have drawn alike; the batch divides evenly."""
    return batch.chunk(processes())[rank()] if processes() > 1 else batch


def summed(gradients: Iterable[Tensor], told: Sequence[float]) -> list[float]:
    """Replace each gradient by its mean over the processes, and give the sums of what each has to tell; one reduction.

    With one process nothing changes.
    """
    if processes() == 1:
        return list(told)
    parts = list(gradients)
    words = torch.tensor(told, dtype=parts[0].dtype, device=parts[0].device)
    everything = torch.cat([*(part.reshape(-1) for part in parts), words])
    dist.all_reduce(everything)
    start = 0
    for part in parts:
        part.copy_(everything[start : start + part.numel()].view_as(part) / processes())
        start += part.numel()
    return [float(word) for word in everything[start:].cpu().tolist()]


def alike(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values, in place."""
    if processes() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def normalised(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Batch normalisation of (samples, channels, ...) with the statistics of the batch of all processes."""
    if processes() == 1:
        return functional.batch_norm(x, None, None, scale, shift, True, 0.0, EPSILON)
    found: Tensor = _Normalised.apply(x, scale, shift)  # type: ignore[no-untyped-call]
    return found


class _Normalised(torch.autograd.Function):
    """Ioffe & Szegedy 2015, over the samples of all processes, of which each may have another number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        axes, form, given = _axes(x), _form(x), x.dtype
        x = x.float()
        variance, mean = torch.var_mean(x, axes, correction=0)
        count = x.new_full((1,), x.numel() / x.shape[1])
        own = torch.cat([count, mean, variance])
        others = [torch.empty_like(own) for _ in range(processes())]
        dist.all_gather(others, own)
        counts, means, variances = torch.split(torch.stack(others).double(), [1, x.shape[1], x.shape[1]], 1)
        # Of parts with their own means (Chan, Golub & LeVeque 1983), so that nothing large is subtracted.
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / total
        inverse = (variance + EPSILON).rsqrt().to(x.dtype).view(form)
        centred = (x - mean.to(x.dtype).view(form)) * inverse
        ctx.save_for_backward(centred, scale, inverse)
        ctx.total = total.to(x.dtype)
        found: Tensor = (centred * scale.view(form) + shift.view(form)).to(given)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centred, scale, inverse = ctx.saved_tensors
        axes, form, given = _axes(gradient), _form(gradient), gradient.dtype
        gradient = gradient.float()
        of_shift, of_scale = gradient.sum(axes), (gradient * centred).sum(axes)
        sums = torch.cat([of_shift, of_scale])
        dist.all_reduce(sums)
        all_shift, all_scale = (part.view(form) / ctx.total for part in sums.chunk(2))
        of_x = (gradient - all_shift - centred * all_scale) * scale.view(form) * inverse
        return of_x.to(given), of_scale, of_shift


def _axes(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


def _form(x: Tensor) -> tuple[int, ...]:
    return (1, -1, *[1] * (x.dim() - 2))
