"""The rules of training, one function each: which subnets, on what targets, at what rate; no loop, no state."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evernas.spaces import Architecture, NetworkSpace

WARM_UP = 0.2
START_SHARE = 0.05
END_SHARE = 0.001


def sandwich(space: NetworkSpace, random: int, rng: np.random.Generator) -> list[Architecture]:
    """The largest, `random` random ones and the smallest (Yu & Huang 2019); each once where they coincide."""
    drawn = [space.teacher(rng), *(space.random(rng) for _ in range(random)), space.smallest()]
    return list(dict.fromkeys(drawn))


def with_replay(weights: Tensor, new: Tensor, most: float, often: float) -> Tensor:
    """Chances of rows to be drawn, up to a factor, of which those that are `new` are multiplied.

    They are drawn `often` times as often as `weights` say, but no more than make up `most` of all that is drawn; never
    less often. The others are drawn for the rest, among themselves as before.
    """
    natural = float(weights[new].sum() / weights.sum())
    if natural in (0.0, 1.0):
        return weights
    share = max(natural, min(most, often * natural))
    return torch.where(new, weights * (share / natural), weights * ((1 - share) / (1 - natural)))


def smooth(y: Tensor, classes: int, amount: float) -> Tensor:
    """One-hot targets of which `amount` is spread evenly over all classes."""
    return functional.one_hot(y, classes).float() * (1 - amount) + amount / classes


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy with soft targets (batch, classes): label loss and in-place distillation alike."""
    return -(targets * functional.log_softmax(logits, 1)).sum(1).mean()


def one_cycle(step: int, total: int, peak: float) -> float:
    """Learning rate of a step: a short cosine rise to the peak, then a long cosine fall to nearly 0."""
    rise = max(1, round(WARM_UP * total))
    if step < rise:
        share = START_SHARE + (1 - START_SHARE) * (1 - math.cos(math.pi * step / rise)) / 2
    else:
        share = END_SHARE + (1 - END_SHARE) * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise))) / 2
    return peak * share


def dropout(batch: int, features: int, share: float, generator: torch.Generator) -> Tensor | None:
    """What the classifier's input is multiplied with: 0 for `share` of it, and more than 1 for the rest."""
    if share == 0:
        return None
    return (torch.rand((batch, features), generator=generator) >= share).float() / (1 - share)
