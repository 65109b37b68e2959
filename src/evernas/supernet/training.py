"""Training a supernet: the loop, its checkpoints and its repeatability; the rules it follows live in rules."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evernas.config import SupernetConfig
from evernas.digest import digest_bytes, digest_value
from evernas.errors import EvernasError, Interrupted, UsageError
from evernas.spaces import NetworkSpace
from evernas.supernet import rules
from evernas.supernet.accelerator import (
    CPU,
    computing,
    enough_memory,
    narrowed,
    of_training,
    place_of,
    placed,
    repeatable,
)
from evernas.supernet.batches import Batch, Batches
from evernas.supernet.data import TrainingData, numpy_generator
from evernas.supernet.elastic import ElasticNetwork
from evernas.supernet.group import joined
from evernas.supernet.making import initial, supernet_of
from evernas.supernet.optimiser import Optimiser
from evernas.supernet.states import load_checkpoint, save_checkpoint, state_digest
from evernas.supernet.together import alike, processes, rank, summed
from evernas.supernet.warmstart import ended, warm_start

Progress = Callable[[int, int, dict[str, float]], None]
VERSION = 2
TAMED, MOST_TAMED = "tamed", 3
"""How often the rate was halved because training diverged, and after how many times it is given up."""


class Diverged(EvernasError):  # noqa: N818 - it names the state, as its family does
    """Training came to no numbers, at ever lower rates, each time from the last good checkpoint."""

    def __init__(self, loss: float, step: int, total: int, rate: float) -> None:
        super().__init__(
            f"Training diverged: the loss is {loss} at step {step} of {total}, also at a learning rate of {rate:g}: "
            "lower supernet.learning_rate or supernet.clip."
        )
        self.step, self.total, self.rate = step, total, rate


def ignore_progress(step: int, total: int, metrics: dict[str, float]) -> None:
    """For callers who do not watch."""


def never() -> bool:
    """For callers who stop by a kill."""
    return False


def unguarded() -> None:
    """For callers who own the folder beyond doubt."""


def train(
    space: NetworkSpace,
    data: TrainingData,
    config: SupernetConfig,
    seed: int,
    *,
    checkpoint: Path,
    parent: Mapping[str, Tensor] | None = None,
    new: np.ndarray | None = None,
    on_progress: Progress = ignore_progress,
    guard: Callable[[], None] = unguarded,
    stopping: Callable[[], bool] = never,
    at_checkpoint: Callable[[], None] = unguarded,
) -> dict[str, Tensor]:
    """The state of a trained supernet: cold without `parent`, else warm from the parent's state.

    `new` says of each row, as a boolean, whether the parent was not trained on it: such rows are drawn more often, as
    `config.warm_start.new_share` says.

    Killed at any time and called again with the same arguments, it goes on from the last checkpoint in the folder
    `checkpoint` and ends with the very bits of an undisturbed run on the same machine, device and number of threads.
    A checkpoint of the processors is not gone on with on a GPU, nor the other way round.
    `guard` is called before each checkpoint is written and raises if the folder is no longer ours.
    `on_progress` is given the steps done, their total and the step's metrics. Interrupted, after a
    checkpoint, once `stopping` says so; `at_checkpoint` is called after each checkpoint, and may raise to end there.
    With `config.processes` above 1 others are started, which share each batch with this one; on GPUs each has its own.
    A program of one's own may be started by `torchrun --standalone --nproc-per-node=N` instead, with as many processes:
    each calls this alike and is given the weights, and what is written or told is by the first alone.
    The state that is returned is on the processors, wherever it was trained. UsageError where the config asks for a
    device that is not there; Diverged, on each call alike, where no lower rate helps.
    """
    _check_fit(space, data)
    if new is not None and (new.shape != data.y.shape or new.dtype != np.bool_):
        raise UsageError(f"`new` is {new.dtype} of shape {new.shape}: give a boolean for each of {len(data.y)} rows.")
    device = of_training(config)
    with computing(config.threads, device) as threads:
        task = Task(space, data, config, seed, parent, threads, device.type, None if parent is None else new)
        with joined(config.processes, follow, (task,), device.type), task.enough_memory():
            # Others are here only where torchrun started them; those that are started here follow.
            first = rank() == 0
            return _train(task, Watching(checkpoint, on_progress, guard, stopping, at_checkpoint) if first else None)


@dataclass(frozen=True)
class Task:
    """All that a training computes from; the same in every process."""

    space: NetworkSpace
    data: TrainingData
    config: SupernetConfig
    seed: int
    parent: Mapping[str, Tensor] | None
    threads: int
    kind: str
    """Of device: cpu or cuda."""
    new: np.ndarray | None = None
    """Whether each row is one that the parent was not trained on."""

    @property
    def device(self) -> torch.device:
        """That of the process that asks: of several each has a GPU of its own."""
        return CPU if self.kind == CPU.type else torch.device(self.kind, rank())

    def enough_memory(self) -> AbstractContextManager[None]:
        """Within, a GPU's memory that is full is told in a sentence."""
        return enough_memory(f"lower supernet.batch, which is {self.config.batch}, or train on cores (supernet.device)")

    @property
    def total(self) -> int:
        """Steps."""
        return self.config.steps if self.parent is None else self.config.warm_steps

    @property
    def key(self) -> str:
        """Digest of all of it; a checkpoint of another training is not gone on with."""
        origin = "cold" if self.parent is None else state_digest(self.parent)
        settings = self.config.model_dump(mode="json", exclude={"threads", "checkpoint_every", "device"})
        parts = [VERSION, self.space.id, self.data.digest, settings, self.seed, origin, self.threads, torch.__version__]
        if self.new is not None:
            parts.append(digest_bytes(np.packbits(self.new).tobytes()))
        return digest_value(parts if self.kind == CPU.type else [*parts, self.kind])

    def begin(self) -> tuple[ElasticNetwork, Optimiser]:
        """The supernet and its optimiser before the first step."""
        config = self.config
        if self.parent is None:
            first = initial(self.space, self.seed)
        else:
            first = warm_start(self.parent, self.space, config.warm_start, self.seed)
        net = supernet_of(self.space, first)
        net.adopt(self.data)
        net = placed(net, self.device)
        return net, Optimiser(net, config.weight_decay, config.clip, config.average)


@dataclass(frozen=True)
class Watching:
    """What the first process does beside training; the others do nothing of it."""

    checkpoint: Path
    on_progress: Progress
    guard: Callable[[], None]
    stopping: Callable[[], bool]
    at_checkpoint: Callable[[], None]


def follow(task: Task) -> None:
    """Train beside the first process, which ends for the same reasons and tells of them.

    A GPU's memory that is full is this process's own reason: it says so, and fails.
    """
    try:
        with repeatable(task.device), suppress(EvernasError, Interrupted):
            _train(task, None)
    except torch.OutOfMemoryError as error:
        sys.exit(f"GPU {rank()} of {processes()}: {error}")


def _train(task: Task, watching: Watching | None) -> dict[str, Tensor]:
    """The loop. What diverges is taken up again at the last checkpoint, at half the rate, at most MOST_TAMED times."""
    config, total, key = task.config, task.total, task.key
    folder = None if watching is None else watching.checkpoint
    net, optimiser = task.begin()
    batches = Batches(task.space, task.data, config, task.seed, net.spread().cpu(), task.device, task.new)
    step, tamed = _resume(net, optimiser, folder, key)
    while step < total:
        unread = _sandwich_step(net, batches.of(step), config, task.seed, step)
        step += 1
        if step < total:
            batches.draw_ahead(step)
        # The one time in a step that a GPU is waited for; texts wait once more in each subnet, to know their lengths.
        own = float(unread)
        wished = watching is not None and step < total and watching.stopping()
        gradients = (p.grad for p in net.parameters() if p.grad is not None)
        loss, stop = summed(gradients, [own / processes(), float(wished)])
        rate = rules.one_cycle(step - 1, total, config.learning_rate / 2**tamed)
        if math.isfinite(loss):
            optimiser.step(rate)
        stopped = bool(stop)
        keeps = stopped or (step % config.checkpoint_every == 0 and step < total)
        if not math.isfinite(loss) or ((keeps or step == total) and not _finite(net)):
            tamed += 1
            if tamed > MOST_TAMED:
                raise Diverged(loss, step, total, config.learning_rate / 2**MOST_TAMED)
            net, optimiser = task.begin()
            step, _ = _resume(net, optimiser, folder, key)
            continue
        if watching is not None:
            if keeps:
                watching.guard()
                tensors = {**_weights(net), **optimiser.state(), TAMED: torch.tensor([tamed])}
                save_checkpoint(watching.checkpoint, key, step, tensors)
                watching.at_checkpoint()
            watching.on_progress(step, total, {"loss": loss, "learning_rate": rate})
        if stopped:
            raise Interrupted(f"Training was stopped at step {step} of {total}.")
    net.load_state_dict({**net.state_dict(), **optimiser.averaged()})
    trained = {name: tensor.detach().clone().cpu() for name, tensor in net.state_dict().items()}
    return trained if task.parent is None else ended(task.parent, trained, config.warm_start.kept)


def _finite(net: ElasticNetwork) -> bool:
    """Whether every weight is a number."""
    return bool(torch.stack([torch.isfinite(parameter).all() for parameter in net.parameters()]).all())


def _check_fit(space: NetworkSpace, data: TrainingData) -> None:
    classes = (int(data.y.min()), int(data.y.max()))
    if data.x.shape[1:] != space.shape or classes[0] < 0 or classes[1] >= space.classes:
        raise UsageError(
            f"The training data has samples of shape {data.x.shape[1:]} and classes {classes[0]} to {classes[1]}; the "
            f"space is for {space.shape} and classes 0 to {space.classes - 1}: make the "
            f"space from the config that the data was read with."
        )


def _resume(net: ElasticNetwork, optimiser: Optimiser, folder: Path | None, key: str) -> tuple[int, int]:
    """Take up the folder's checkpoint, if there is one: the steps done, and how often the rate was halved.

    In all processes it is the first one's.
    """
    found = None if folder is None else load_checkpoint(folder, key)
    stands = torch.zeros(2, dtype=torch.int64)
    if found is not None:
        step, tensors = found
        net.load_state_dict({name[len("weight/") :]: t for name, t in tensors.items() if name.startswith("weight/")})
        optimiser.load(tensors, step)
        stands = torch.tensor([step, int(tensors[TAMED])])
    # What GPUs exchange is on them.
    stands = stands.to(place_of(net))
    alike([stands, *net.state_dict().values(), *optimiser.state().values()])
    optimiser.steps, tamed = stands.cpu().tolist()
    return optimiser.steps, tamed


def _weights(net: ElasticNetwork) -> dict[str, Tensor]:
    return {f"weight/{name}": tensor for name, tensor in net.state_dict().items()}


def _sandwich_step(net: ElasticNetwork, batch: Batch, config: SupernetConfig, seed: int, step: int) -> Tensor:
    """Gradients of one step: the largest subnet learns from the labels, the others from the largest's answers.

    Gives the largest's loss, which a GPU may not have computed yet.
    """
    largest, *others = rules.sandwich(net.space, config.random_subnets, numpy_generator(seed, "subnets", step))
    inputs, device = net.see(batch.inputs), batch.targets.device
    with narrowed(config.precision, device):
        logits = net(inputs, largest, batch.dropped)
    logits = logits.float()
    loss = rules.cross_entropy(logits, batch.targets)
    torch.autograd.backward(loss)
    soft = logits.detach().softmax(1)
    for arch in others:
        with narrowed(config.precision, device):
            answers = net(inputs, arch)
        torch.autograd.backward(rules.cross_entropy(answers.float(), soft))
    return loss.detach()
