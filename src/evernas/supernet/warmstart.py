"""Warm start: the first weights of a supernet from those of its parent, and what is kept of both; no training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from evernas.config import WarmStartConfig
from evernas.errors import UsageError
from evernas.spaces import NetworkSpace
from evernas.supernet.making import initial


def warm_start(
    parent: Mapping[str, Tensor], space: NetworkSpace, config: WarmStartConfig, seed: int
) -> dict[str, Tensor]:
    """The parent's weights shrunk, plus fresh ones times `perturb` (Ash & Adams 2020).

    Weights of convolutions and of the classifier are mixed; scales, shifts and biases are shrunk towards their first
    values. UsageError if the parent is of another space.
    """
    fresh = initial(space, seed)
    shapes = {name: tuple(tensor.shape) for name, tensor in fresh.items()}
    if {name: tuple(tensor.shape) for name, tensor in parent.items()} != shapes:
        raise UsageError(
            f"The parent supernet does not fit the space {space.id}: its layers have other names or sizes. "
            "Start cold, or give the space that the parent was trained on."
        )
    return {name: _mixed(parent[name], fresh[name], config) for name in fresh}


def _mixed(old: Tensor, new: Tensor, config: WarmStartConfig) -> Tensor:
    if new.dim() > 1:
        return config.shrink * old + config.perturb * new
    return config.shrink * old + (1 - config.shrink) * new


def ended(parent: Mapping[str, Tensor], trained: Mapping[str, Tensor], keep: float) -> dict[str, Tensor]:
    """The mean of the trained weights and `keep` of the parent's (Wortsman et al. 2022).

    Means and deviations of the data are the trained ones: they are no weights.
    """
    return {
        name: tensor if name in ("mean", "std") else torch.lerp(tensor, parent[name].to(tensor.device), keep)
        for name, tensor in trained.items()
    }
