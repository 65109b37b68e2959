"""A stand-in for nvidia-ml-py and the driver behind it: GPUs that are none. Its sequence was made up, not recorded.

The first GPU takes IDLE_W, and WORKING_W more while this process computes; its counter is renewed every 50 ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

IDLE_W, WORKING_W = 10.0, 100.0
RENEWED_EVERY_S = 0.05
UUID = "GPU-8f1d5d3b-0000-4000-8000-000000000000"
ERRORS = {
    "InvalidArgument": "Invalid Argument",
    "NotSupported": "Not Supported",
    "NoPermission": "Insufficient Permissions",
    "NotFound": "Not Found",
    "DriverNotLoaded": "Driver Not Loaded",
    "LibraryNotFound": "NVML Shared Library Not Found",
    "FunctionNotFound": "Function Not Found",
    "GpuIsLost": "GPU is lost",
    "ResetRequired": "GPU requires restart",
    "LibRmVersionMismatch": "Driver/library version mismatch",
    "Unknown": "Unknown Error",
}


class NVMLError(Exception):
    """The base of NVML's errors."""


KINDS = {kind: type(f"NVMLError_{kind}", (NVMLError,), {}) for kind in ERRORS}


class SimulatedNvml(ModuleType):
    """The module. `answers` gives a function another answer: a value, a kind of error, or something to call.

    `parts` are those of the first GPU, a name by UUID.
    """

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVMLError = NVMLError

    def __init__(self, answers: dict[str, Any] | None = None, count: int = 1) -> None:
        super().__init__("pynvml")
        self.__spec__ = ModuleSpec("pynvml", None)
        self.answers, self.count, self.opened = answers or {}, count, 0
        self.parts: dict[str, str] = {}
        self._renewed: tuple[int, int, int] = (-1, 0, 0)
        for kind, made in KINDS.items():
            setattr(self, f"NVMLError_{kind}", made)

    def nvmlInit(self) -> None:
        self._answer("nvmlInit", lambda: None)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        return self._answer("nvmlDeviceGetCount", lambda: self.count)

    def nvmlSystemGetDriverVersion(self) -> str:
        return self._answer("nvmlSystemGetDriverVersion", lambda: "580.1")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return self._answer("nvmlDeviceGetHandleByIndex", lambda: index)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int | str:
        if uuid in self.parts:
            return uuid
        if uuid != UUID:
            raise self.error("NotFound")
        return self._answer("nvmlDeviceGetHandleByUUID", lambda: 0)

    def nvmlDeviceGetName(self, handle: int | str) -> str:
        return self._answer("nvmlDeviceGetName", lambda: self.parts.get(str(handle), f"No GPU {handle}"))

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:
        return self._answer("nvmlDeviceGetMigMode", lambda: [int(bool(self.parts))] * 2)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: int) -> int:
        return self._answer("nvmlDeviceGetMaxMigDeviceCount", lambda: 7)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int) -> str:
        # The first place may be free.
        if not 0 < index <= len(self.parts):
            raise self.error("NotFound")
        return [*self.parts][index - 1]

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return self._answer("nvmlDeviceGetUUID", lambda: handle)

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> int:
        return self._answer("nvmlDeviceGetClockInfo", lambda: 1000 * clock)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return self._answer("nvmlDeviceGetTemperature", lambda: 45)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        return self._answer("nvmlDeviceGetEnforcedPowerLimit", lambda: 70_000)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        return self._answer("nvmlDeviceGetTotalEnergyConsumption", lambda: self._renew()[1])

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self._answer("nvmlDeviceGetPowerUsage", lambda: self._renew()[2])

    def error(self, kind: str) -> NVMLError:
        return KINDS[kind](ERRORS[kind])

    def _answer(self, function: str, usual: Callable[[], Any]) -> Any:
        given = self.answers.get(function, usual)
        if isinstance(given, str) and given in KINDS:
            raise self.error(given)
        return given() if callable(given) else given

    def _renew(self) -> tuple[int, int, int]:
        """In which period it was renewed last, and the mJ and the mW that it has shown since."""
        now = time.monotonic()
        period = int(now / RENEWED_EVERY_S)
        before, used_mj, _ = self._renewed
        if period != before:
            total_mj = int(1000 * (IDLE_W * now + WORKING_W * time.process_time()))
            # A driver's power wavers by a few mW, and its counter never stands still.
            mw = 1000 * (total_mj - used_mj) / (1000 * RENEWED_EVERY_S * (period - before)) if before > 0 else 10_000
            self._renewed = (period, total_mj, int(mw) + period % 2)
        return self._renewed


def installed(answers: dict[str, Any] | None = None, count: int = 1) -> SimulatedNvml:
    """The module in the place of the real one, in this process."""
    made = SimulatedNvml(answers, count)
    sys.modules["pynvml"] = made
    return made
