"""Training a supernet: the loop, its checkpoints and its repeatability; the rules it follows live in rules."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from evernas.config import SupernetConfig
from evernas.digest import digest_value
from evernas.errors import EvernasError, Interrupted, UsageError
from evernas.spaces import NetworkSpace
from evernas.supernet import rules
from evernas.supernet.augment import blend
from evernas.supernet.data import TrainingData, generator, numpy_generator
from evernas.supernet.elastic import ElasticNetwork
from evernas.supernet.making import initial, supernet_of
from evernas.supernet.optimiser import Optimiser
from evernas.supernet.states import load_checkpoint, save_checkpoint, state_digest
from evernas.supernet.warmstart import warm_start

Progress = Callable[[int, int, dict[str, float]], None]
VERSION = 1


def ignore_progress(step: int, total: int, metrics: dict[str, float]) -> None:
    """For callers who do not watch."""


def never() -> bool:
    """For callers who stop by a kill."""
    return False


def unguarded() -> None:
    """For callers who own the folder beyond doubt."""


@contextmanager
def torch_threads(threads: int | None) -> Iterator[int]:
    """Within, torch computes on this many threads; all processors if None. Sums depend on it in their last bits."""
    before, wanted = torch.get_num_threads(), threads or os.cpu_count() or 1
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)


def train(
    space: NetworkSpace,
    data: TrainingData,
    config: SupernetConfig,
    seed: int,
    *,
    checkpoint: Path,
    parent: Mapping[str, Tensor] | None = None,
    on_progress: Progress = ignore_progress,
    guard: Callable[[], None] = unguarded,
    stopping: Callable[[], bool] = never,
    at_checkpoint: Callable[[], None] = unguarded,
) -> dict[str, Tensor]:
    """The state of a trained supernet: cold without `parent`, else warm from the parent's state.

    Killed at any time and called again with the same arguments, it goes on from the last checkpoint in the folder
    `checkpoint` and ends with the very bits of an undisturbed run on the same machine and number of threads.
    `guard` is called before each checkpoint is written and raises if the folder is no longer ours.
    `on_progress` is given the steps done, their total and the step's metrics. Interrupted, after a
    checkpoint, once `stopping` says so; `at_checkpoint` is called after each checkpoint, and may raise to end there.
    """
    _check_fit(space, data)
    with torch_threads(config.threads) as threads:
        total = config.steps if parent is None else config.warm_steps
        origin = "cold" if parent is None else state_digest(parent)
        settings = config.model_dump(mode="json", exclude={"threads", "checkpoint_every"})
        key = digest_value([VERSION, space.id, data.digest, settings, seed, origin, threads, torch.__version__])

        first = initial(space, seed) if parent is None else warm_start(parent, space, config.warm_start, seed)
        net = supernet_of(space, first)
        net.adopt(data)
        optimiser = Optimiser(net, config.weight_decay, config.clip, config.average)
        start = _resume(net, optimiser, checkpoint, key)

        y, weights = torch.from_numpy(data.y), data.weights(config.balance)
        for step in range(start, total):
            loss = _sandwich_step(net, data, y, weights, config, seed, step)
            if not math.isfinite(loss):
                raise EvernasError(
                    f"Training diverged: the loss is {loss} at step {step + 1} of {total} with the learning rate "
                    f"{config.learning_rate}: lower supernet.learning_rate or supernet.clip."
                )
            rate = rules.one_cycle(step, total, config.learning_rate)
            optimiser.step(rate)
            done = step + 1
            stopped = done < total and stopping()
            if stopped or (done % config.checkpoint_every == 0 and done < total):
                guard()
                save_checkpoint(checkpoint, key, done, {**_weights(net), **optimiser.state()})
                at_checkpoint()
            on_progress(done, total, {"loss": loss, "learning_rate": rate})
            if stopped:
                raise Interrupted(f"Training was stopped at step {done} of {total}.")
        net.load_state_dict({**net.state_dict(), **optimiser.averaged()})
        return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def _check_fit(space: NetworkSpace, data: TrainingData) -> None:
    classes = (int(data.y.min()), int(data.y.max()))
    if data.x.shape[1:] != space.shape or classes[0] < 0 or classes[1] >= space.classes:
        raise UsageError(
            f"The training data has samples of shape {data.x.shape[1:]} and classes {classes[0]} to {classes[1]}; the "
            f"space is for {space.shape} and classes 0 to {space.classes - 1}: make the "
            f"space from the config that the data was read with."
        )


def _resume(net: ElasticNetwork, optimiser: Optimiser, folder: Path, key: str) -> int:
    found = load_checkpoint(folder, key)
    if found is None:
        return 0
    step, tensors = found
    net.load_state_dict({name[len("weight/") :]: t for name, t in tensors.items() if name.startswith("weight/")})
    optimiser.load(tensors, step)
    return step


def _weights(net: ElasticNetwork) -> dict[str, Tensor]:
    return {f"weight/{name}": tensor for name, tensor in net.state_dict().items()}


def _sandwich_step(
    net: ElasticNetwork,
    data: TrainingData,
    y: Tensor,
    weights: Tensor,
    config: SupernetConfig,
    seed: int,
    step: int,
) -> float:
    """Gradients of one step: the largest subnet learns from the labels, the others from the largest's answers."""
    draws = generator(seed, "step", step)
    rows = torch.multinomial(weights, config.batch, replacement=True, generator=draws)
    inputs = data.changed(rows, net.spread(), config.augment, draws)
    targets = rules.smooth(y[rows], net.space.classes, config.label_smoothing)
    inputs, targets = blend(inputs, targets, config.augment.mixup, config.augment.cutmix, draws)
    largest, *others = rules.sandwich(net.space, config.random_subnets, numpy_generator(seed, "subnets", step))
    logits = net(inputs, largest, rules.dropout(config.batch, net.space.pooled, config.dropout, draws))
    loss = rules.cross_entropy(logits, targets)
    torch.autograd.backward(loss)
    soft = logits.detach().softmax(1)
    for arch in others:
        torch.autograd.backward(rules.cross_entropy(net(inputs, arch), soft))
    return loss.item()
