"""An NVIDIA GPU as NVML, the driver's own library, tells of it: which one it is and its state; nothing is timed here.

https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from evernas.hardware.energy import SensorError

WHOLE, PART = "GPU-", "MIG-"
"""What UUIDs begin with."""


class UntoldError(SensorError):
    """This GPU does not tell this; it may tell other things."""


@dataclass(frozen=True)
class Gpu:
    """One GPU. `nvml` is NVIDIA's module for NVML, `handle` what it knows the GPU by."""

    nvml: Any
    handle: Any
    model: str

    @classmethod
    def find(cls, chosen: str = "") -> Gpu:
        """By its number or UUID; without one, the first that CUDA shows. SensorError with what there is if it is not.

        CUDA counts from the fastest on, NVML by slots, so that of several the first is known by certain variables only.
        NVML stays open until `close`, or as long as this process lives.
        """
        nvml = _opened()
        try:
            found: Gpu = _asked(nvml, partial(cls._found, nvml, chosen), "There is no GPU to ask")
        except SensorError:
            _close(nvml)
            raise
        return found

    def close(self) -> None:
        """Leave NVML, which a copy of this process could not use open."""
        _close(self.nvml)

    @classmethod
    def _found(cls, nvml: Any, chosen: str) -> Gpu:
        count = int(nvml.nvmlDeviceGetCount())
        named = chosen or _first_of_cuda(count)
        if named.startswith(PART):
            raise SensorError(
                f"{named} is a part of a GPU (MIG), and NVML counts energy of whole ones only: there is no figure."
            )
        if named.isdigit():
            if int(named) >= count:
                raise SensorError(f"There is no GPU {named}: NVML shows {count}, counted from 0.")
            handle = nvml.nvmlDeviceGetHandleByIndex(int(named))
        else:
            handle = nvml.nvmlDeviceGetHandleByUUID(named)
        return cls(nvml, handle, str(nvml.nvmlDeviceGetName(handle)))

    def ask(self, function: str, *arguments: Any) -> Any:
        """What a function of NVML says of this GPU. UntoldError if it tells no such thing, SensorError if it fails."""
        return _asked(
            self.nvml, lambda: getattr(self.nvml, function)(self.handle, *arguments), f"{self.model} does not answer"
        )

    @property
    def divided(self) -> bool:
        """Whether it is divided into several (MIG)."""
        with suppress(UntoldError):
            return bool(self.ask("nvmlDeviceGetMigMode")[0])
        return False


def gpu_kind() -> str:
    """What kind of GPU the first is that CUDA shows, by which profiles of two kinds are told apart.

    Its model; of a part (MIG) the name with its size, and its UUID where the driver gives no such name. Where NVML
    cannot tell, what CUDA was told to show, and the models of those of which it is one.
    """
    try:
        gpu = Gpu.find()
    except SensorError:
        return _untold()
    try:
        return _kind_of_part(gpu.nvml, _first_part(gpu)) if gpu.divided else gpu.model
    except SensorError:
        return f"{gpu.model}, {_shown()}"
    finally:
        gpu.close()


def _untold() -> str:
    """The kind of a part that was named, or what is known of a GPU that is not known."""
    first = (os.environ.get("CUDA_VISIBLE_DEVICES") or "").split(",")[0].strip()
    try:
        nvml = _opened()
    except SensorError:
        return _shown()
    try:
        if first.startswith(PART):
            return _kind_of_part(
                nvml, _asked(nvml, lambda: nvml.nvmlDeviceGetHandleByUUID(first), f"{first} is unknown")
            )
        return " of ".join([_shown(), *_asked(nvml, lambda: _models(nvml), "There is no GPU to ask")])
    except SensorError:
        return _shown()
    finally:
        _close(nvml)


def _models(nvml: Any) -> list[str]:
    """All models, as one text; none where there is no GPU."""
    numbers = range(int(nvml.nvmlDeviceGetCount()))
    models = [str(nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(number))) for number in numbers]
    return [", ".join(models)] if models else []


def _first_part(gpu: Gpu) -> Any:
    """The first part of a divided GPU, which is what CUDA takes of it. SensorError where there is none."""
    for number in range(int(gpu.ask("nvmlDeviceGetMaxMigDeviceCount"))):
        with suppress(SensorError):
            return gpu.ask("nvmlDeviceGetMigDeviceHandleByIndex", number)
    raise SensorError(f"{gpu.model} is divided, and has no part.")


def _kind_of_part(nvml: Any, handle: Any) -> str:
    def kind() -> str:
        name = str(nvml.nvmlDeviceGetName(handle))
        return name if " MIG " in name else f"{name} {nvml.nvmlDeviceGetUUID(handle)}"

    found: str = _asked(nvml, kind, "The part of a GPU does not answer")
    return found


def _shown() -> str:
    """What CUDA was told to show, and in which order."""
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")
    told = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return " ".join(told) or "the first GPU"


def gpu_state() -> dict[str, Any]:
    """The first GPU that CUDA shows, as far as a measured figure depends on it; None for what cannot be read."""
    found: dict[str, Any] = dict.fromkeys(
        ("gpu", "gpu_driver", "gpu_clock_mhz", "gpu_memory_clock_mhz", "gpu_temperature_c", "gpu_power_limit_w")
    )
    with suppress(SensorError):
        gpu = Gpu.find()
        nvml = gpu.nvml
        try:
            found["gpu"] = gpu.model
            with suppress(nvml.NVMLError):
                found["gpu_driver"] = str(nvml.nvmlSystemGetDriverVersion())
            for name, function, arguments, unit in (
                ("gpu_clock_mhz", "nvmlDeviceGetClockInfo", (nvml.NVML_CLOCK_SM,), 1),
                ("gpu_memory_clock_mhz", "nvmlDeviceGetClockInfo", (nvml.NVML_CLOCK_MEM,), 1),
                ("gpu_temperature_c", "nvmlDeviceGetTemperature", (nvml.NVML_TEMPERATURE_GPU,), 1),
                ("gpu_power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", (), 1000),
            ):
                with suppress(SensorError):
                    found[name] = float(gpu.ask(function, *arguments)) / unit
        finally:
            gpu.close()
    return found


def _opened() -> Any:
    """NVML, open. SensorError if the module, the driver or the right to ask is missing."""
    if importlib.util.find_spec("pynvml") is None:
        raise SensorError("NVML cannot be asked, since nvidia-ml-py is not installed: install evernas[nvml].")
    import pynvml

    _asked(pynvml, pynvml.nvmlInit, "NVIDIA's driver does not answer")
    return pynvml


def _close(nvml: Any) -> None:
    with suppress(nvml.NVMLError):
        nvml.nvmlShutdown()


def _asked(nvml: Any, question: Callable[[], Any], said: str) -> Any:
    try:
        return question()
    except nvml.NVMLError as error:
        mend = _mend(nvml, error)
        # A driver that is older than the question does not have the function.
        untold = isinstance(error, nvml.NVMLError_NotSupported | nvml.NVMLError_FunctionNotFound)
        kind = UntoldError if untold else SensorError
        raise kind(f"{said} ({error}){'' if mend is None else f': {mend}'}.") from None


def _mend(nvml: Any, error: Exception) -> str | None:
    for kinds, mend in (
        (("LibraryNotFound", "DriverNotLoaded"), "install NVIDIA's driver, or give the pod a GPU"),
        (("NoPermission",), "give the user that measures the right to, or the container the GPU"),
        (("GpuIsLost", "ResetRequired"), "reset the GPU or restart the machine"),
        (("LibRmVersionMismatch",), "restart the machine, whose driver was renewed meanwhile"),
        (("NotFound", "InvalidArgument"), "nvidia-smi -L lists the GPUs that there are"),
        (("NotSupported", "FunctionNotFound"), "there is no figure"),
    ):
        if isinstance(error, tuple(getattr(nvml, f"NVMLError_{kind}") for kind in kinds)):
            return mend
    return None


def _first_of_cuda(count: int) -> str:
    """NVML's name of the GPU that CUDA calls 0."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    first = None if visible is None else visible.split(",")[0].strip()
    if count == 0 or first in ("", "-1", "NoDevFiles"):
        raise SensorError(f"There is no GPU to ask: NVML shows {count}, and CUDA_VISIBLE_DEVICES is {visible!r}.")
    if first is not None and first.startswith((WHOLE, PART)):
        return first
    if count == 1:
        return "0"
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return first or "0"
    raise SensorError(
        f"NVML shows {count} GPUs, and which of them CUDA takes first is not guessed: set CUDA_VISIBLE_DEVICES to the "
        "UUID of one, which nvidia-smi -L lists."
    )
