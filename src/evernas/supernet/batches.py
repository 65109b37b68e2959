"""The batches of a training: drawn and changed on the processors, then moved to where the networks are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from evernas.config import SupernetConfig
from evernas.spaces import NetworkSpace
from evernas.supernet import rules
from evernas.supernet.accelerator import CPU, moved
from evernas.supernet.augment import blend
from evernas.supernet.data import TrainingData, generator
from evernas.supernet.together import share_of


@dataclass(frozen=True)
class Batch:
    """This process's part of what a step learns from."""

    inputs: Tensor
    targets: Tensor
    dropped: Tensor | None


@dataclass
class Batches:
    """All of a training. Draws are the processors' own, so that every device is given the same samples.

    A GPU computes while the next batch is drawn.
    """

    space: NetworkSpace
    data: TrainingData
    config: SupernetConfig
    seed: int
    spread: Tensor
    """Standard deviation of each channel, on the processors."""
    device: torch.device
    new: np.ndarray | None = None
    """(n,), whether each row is drawn more often than those that are replayed."""
    _y: Tensor = field(init=False)
    _weights: Tensor = field(init=False)
    _ahead: tuple[int, Batch] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._y, self._weights = torch.from_numpy(self.data.y), self.data.weights(self.config.balance)
        if self.new is not None:
            config = self.config
            # In fewer steps as often as in all those of a cold start.
            often = max(1.0, config.steps / config.warm_steps)
            most = config.warm_start.new_share
            self._weights = rules.with_replay(self._weights, torch.from_numpy(self.new), most, often)

    def of(self, step: int) -> Batch:
        """The batch of a step."""
        ahead, self._ahead = self._ahead, None
        return ahead[1] if ahead is not None and ahead[0] == step else self._drawn(step)

    def draw_ahead(self, step: int) -> None:
        """Draw a step's batch before it is asked for, if something else computes meanwhile."""
        if self.device != CPU:
            self._ahead = step, self._drawn(step)

    def _drawn(self, step: int) -> Batch:
        config, draws = self.config, generator(self.seed, "step", step)
        rows = torch.multinomial(self._weights, config.batch, replacement=True, generator=draws)
        inputs = self.data.changed(rows, self.spread, config.augment, draws)
        targets = rules.smooth(self._y[rows], self.space.classes, config.label_smoothing)
        inputs, targets = blend(inputs, targets, config.augment.mixup, config.augment.cutmix, draws)
        dropped = rules.dropout(config.batch, self.space.pooled, config.dropout, draws)
        return Batch(self._own(inputs), self._own(targets), None if dropped is None else self._own(dropped))

    def _own(self, whole: Tensor) -> Tensor:
        return moved(share_of(whole), self.device)
