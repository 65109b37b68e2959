"""Where torch computes, on processors or on a GPU, and how a GPU gives the same bits each time; no networks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from evernas.config import SupernetConfig
from evernas.errors import EvernasError, UsageError

CPU = torch.device("cpu")
STAND_INS = "torch_gpu_stand_ins"
"""In images for processors it takes the place of the libraries that a GPU needs; components/ makes it."""
WORKSPACE, REPEATABLE_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
DOCUMENTED = "docs/cluster.md says how a cluster gives one"

Module = TypeVar("Module", bound=nn.Module)


def chosen(wanted: str, number: int = 0) -> torch.device:
    """The device that `supernet.device` asks for, a GPU as the one of this number; UsageError where there is none."""
    if wanted == "cpu":
        return CPU
    lacking = _lacking()
    if not lacking:
        return torch.device("cuda", number)
    if wanted == "auto":
        return CPU
    raise UsageError(
        f"supernet.device is {wanted}, and {lacking}: set it to auto or cpu, or give it a GPU; {DOCUMENTED}."
    )


def of_training(config: SupernetConfig) -> torch.device:
    """The device of a training's first process; UsageError where the config asks for what this machine has not."""
    device = chosen(config.device)
    if config.precision == "bf16" and device == CPU:
        raise UsageError(
            f"supernet.precision is bf16, which is for GPUs, and supernet.device is {config.device}, here the "
            "processors: set the precision to fp32, or train on a GPU."
        )
    if device == CPU:
        return device
    if config.processes > torch.cuda.device_count():
        raise UsageError(
            f"supernet.processes is {config.processes}, each with a GPU of its own, and here are "
            f"{torch.cuda.device_count()}: lower it, or set supernet.device to cpu."
        )
    if config.precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UsageError(
            f"supernet.precision is bf16, which the GPU {torch.cuda.get_device_name(device)} has not: set it to fp32."
        )
    return device


def _lacking() -> str:
    """Why no GPU can be used here; nothing where one can."""
    if not torch.cuda.is_available():
        return "torch sees no GPU here"
    try:
        distribution(STAND_INS)
    except PackageNotFoundError:
        return ""
    return "this image holds torch without the libraries of a GPU (components/build.py makes one with --torch cuda)"


def name_of(device: torch.device) -> str:
    """What people are told of it."""
    return device.type if device == CPU else f"{device.type}: {torch.cuda.get_device_name(device)}"


@contextmanager
def torch_threads(threads: int | None) -> Iterator[int]:
    """Within, torch computes on this many threads; all processors if None. Sums depend on it in their last bits."""
    before, wanted = torch.get_num_threads(), threads or os.cpu_count() or 1
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Within, a GPU gives the same bits each time, and fp32 is no TF32; for processors nothing changes.

    The setting is of the process, as that of threads is. A kernel that cannot repeat itself raises.
    """
    if device == CPU:
        yield
        return
    # Read when cuBLAS begins, so it is never taken back.
    os.environ.setdefault(WORKSPACE, REPEATABLE_WORKSPACE)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, matmul.allow_tf32, cudnn.allow_tf32)
    _set(True, False, False, False)
    try:
        yield
    finally:
        _set(*before)


def _set(deterministic: bool, benchmark: bool, tf32: bool, convolutions_tf32: bool) -> None:
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = convolutions_tf32


@contextmanager
def computing(threads: int | None, device: torch.device) -> Iterator[int]:
    """Within, torch computes on so many threads, and on the device as `repeatable` says."""
    with torch_threads(threads) as found, repeatable(device):
        yield found


@contextmanager
def enough_memory(mend: str) -> Iterator[None]:
    """A GPU's memory that is full becomes an EvernasError that says what to mend."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        said = str(error).partition(".")[0]
        raise EvernasError(f"The GPU's memory is full ({said}): {mend}.") from None


def narrowed(precision: str, device: torch.device) -> Any:
    """Within, matrix products and convolutions are in bfloat16 where the precision is bf16; weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the processors on its way to the device: nobody waits until it is there."""
    return tensor if device == CPU else tensor.pin_memory().to(device, non_blocking=True)


def placed(module: Module, device: torch.device) -> Module:
    """The module with its weights on the device."""
    return module if device == CPU == place_of(module) else module.to(device)


def place_of(module: nn.Module) -> torch.device:
    """Where the module's weights are."""
    return next(module.parameters()).device


def kept_near(values: Any, device: torch.device) -> Any:
    """Samples that are used many times: on the GPU if they take no more than a quarter of what is free there."""
    if device == CPU:
        return values
    given = torch.as_tensor(values)
    free, _ = torch.cuda.mem_get_info(device)
    return given.to(device) if given.numel() * given.element_size() <= free / 4 else given
