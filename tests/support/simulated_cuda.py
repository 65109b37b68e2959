"""A GPU that is none: tensors that say they are on it, compute real values, and refuse whatever is not there too.

torch's own FakeTensorMode has no values and, without a driver, no backward pass; here a whole training runs, with the
digits of this machine's processor. What it cannot show: what a real GPU's kernels do, and how fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)
ACROSS = ("aten::_to_copy", "aten::copy_")
"""What may have tensors of both devices."""


class OnGpu(torch.Tensor):
    """A tensor on the GPU that is none. To torch's own code it has no storage; its values are in `here`."""

    here: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=torch.device("meta"),
        )  # fmt: skip
        made.here = inner
        return made

    @property
    def device(self) -> torch.device:
        return GPU

    @property
    def is_meta(self) -> bool:
        return False

    def __deepcopy__(self, known: Any) -> Any:
        made = OnGpu(self.here.clone())
        return nn.Parameter(made, self.requires_grad) if isinstance(self, nn.Parameter) else made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {}, lambda operator: None)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.numpy:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        # Not the base class's: it would make these of what came back to the processors.
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class _Made(TorchDispatchMode):
    """Also sees what is made on the GPU out of nothing."""

    def __init__(self, on_operator: Callable[[str], None]) -> None:
        super().__init__()
        self._on_operator = on_operator

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {}, self._on_operator)


@contextmanager
def simulated_gpu(count: int = 1, on_operator: Callable[[str], None] = lambda operator: None) -> Iterator[None]:
    """Within, torch sees so many GPUs. `on_operator` is told each operator that has a tensor there."""
    with (
        mock.patch("torch.cuda.is_available", return_value=count > 0),
        mock.patch("torch.cuda.device_count", return_value=count),
        mock.patch("torch.cuda.get_device_name", return_value="a GPU that is none"),
        mock.patch("torch.cuda.mem_get_info", return_value=(2**30, 2**30)),
        mock.patch("torch.cuda.is_bf16_supported", return_value=True),
        mock.patch("torch.cuda._lazy_init"),
        mock.patch("torch.Tensor.pin_memory", lambda tensor: tensor),
        # Of what is made in it, torch tells Python nothing.
        mock.patch("torch.inference_mode", torch.no_grad),
        _Made(on_operator),
    ):
        yield


def _done(func: Any, args: Any, kwargs: dict[str, Any], on_operator: Callable[[str], None]) -> Any:
    """What the operator gives, with its values computed here."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    name, target = func._schema.name, kwargs.get("device")
    on_gpu = any(isinstance(tensor, OnGpu) for tensor in tensors)
    if on_gpu:
        _refuse_mixed(func, tensors)
    given, named = tree_map(_here, args), tree_map(_here, kwargs)
    if target is not None:
        # Of its own accord torch makes more where it believes the first to be.
        on_gpu = torch.device(target).type in ("cuda", "meta")
        named["device"] = torch.device("cpu")
    if on_gpu:
        on_operator(name)
    found = func(*given, **named)
    if func._schema.is_mutable and not name.endswith("_out"):
        return args[0] if found is not None else None
    if name == "aten::_local_scalar_dense" or not on_gpu:
        return found
    return tree_map(lambda leaf: OnGpu(leaf) if isinstance(leaf, Tensor) else leaf, found)


def _refuse_mixed(func: Any, tensors: list[Tensor]) -> None:
    """RuntimeError, as a GPU gives it. Where all elements are treated alike one number may lie elsewhere."""
    if func._schema.name in ACROSS:
        return
    elsewhere = [tensor for tensor in tensors if not isinstance(tensor, OnGpu)]
    if any(tensor.dim() > 0 or torch.Tag.pointwise not in func.tags for tensor in elsewhere):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({func})"
        )


def _here(leaf: Any) -> Any:
    return leaf.here if isinstance(leaf, OnGpu) else leaf
