"""Fine-tuning a plain subnet on the training data, taught by labels and by a teacher; no supernet."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from evernas.config import AugmentConfig, FinalistConfig
from evernas.errors import EvernasError
from evernas.supernet import rules
from evernas.supernet.accelerator import CPU, computing, enough_memory, moved, placed
from evernas.supernet.augment import blend
from evernas.supernet.data import TrainingData, generator
from evernas.supernet.elastic import PlainNetwork
from evernas.supernet.optimiser import Optimiser
from evernas.supernet.subnet import calibrate
from evernas.supernet.training import Progress, ignore_progress, unguarded


def finetune(
    subnet: PlainNetwork,
    data: TrainingData,
    config: FinalistConfig,
    augment: AugmentConfig,
    seed: int,
    *,
    teacher: nn.Module | None = None,
    balance: bool = False,
    calibration: int = 512,
    threads: int | None = None,
    device: torch.device = CPU,
    guard: Callable[[], None] = unguarded,
    on_progress: Progress = ignore_progress,
) -> PlainNetwork:
    """A fine-tuned, calibrated copy on the processors, computed on the device; the given subnet stays as it is.

    The targets are `config.distill` parts the teacher's answer to the same changed window, and the label for the rest.
    The same arguments give the same bits on the same machine, device and number of threads. `guard` is called before
    and after the work.
    """
    guard()
    with (
        computing(threads, device),
        enough_memory(f"lower finalists.batch, which is {config.batch}, or supernet.batch"),
    ):
        spread = subnet.spread().cpu()
        net = placed(copy.deepcopy(subnet), device).train()
        classes = net.classifier.out_features
        if teacher is not None:
            teacher = placed(copy.deepcopy(teacher), device).eval()
        optimiser = Optimiser(net, config.weight_decay, config.clip, config.average)
        y, weights = torch.from_numpy(data.y), data.weights(balance)
        for step in range(config.steps):
            draws = generator(seed, "finetune", step)
            rows = torch.multinomial(weights, config.batch, replacement=True, generator=draws)
            inputs = data.changed(rows, spread, augment, draws)
            targets = rules.smooth(y[rows], classes, config.label_smoothing)
            inputs, targets = blend(inputs, targets, augment.mixup, augment.cutmix, draws)
            mask = rules.dropout(config.batch, net.classifier.in_features, config.dropout, draws)
            inputs, targets = moved(inputs, device), moved(targets, device)
            targets = _taught(inputs, targets, teacher, config.distill)
            unread = rules.cross_entropy(net(inputs, None if mask is None else moved(mask, device)), targets)
            torch.autograd.backward(unread)
            loss = unread.item()
            if not math.isfinite(loss):
                raise EvernasError(
                    f"Fine-tuning diverged: the loss is {loss} at step {step + 1} of {config.steps} with the "
                    f"learning rate {config.learning_rate}: lower finalists.learning_rate."
                )
            rate = rules.one_cycle(step, config.steps, config.learning_rate)
            optimiser.step(rate)
            on_progress(step + 1, config.steps, {"loss": loss, "learning_rate": rate})
        with torch.no_grad():
            averaged = optimiser.averaged()
            for name, parameter in net.named_parameters():
                parameter.copy_(averaged[name])
        calibrate(net, data.calibration(calibration, augment))
    guard()
    return placed(net, CPU)


def _taught(inputs: Tensor, targets: Tensor, teacher: nn.Module | None, share: float) -> Tensor:
    if teacher is None or share == 0:
        return targets
    with torch.no_grad():
        return torch.lerp(targets, teacher(inputs).softmax(1), share)
