"""Energy of an NVIDIA GPU: its own counter, or its power where it has none, which is so before Volta.

https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html. What the processor and the board around it use is
in neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from evernas.hardware.energy import RestartedError, Sensor, SensorError
from evernas.hardware.gpu import Gpu, UntoldError
from evernas.hardware.sensors.sampling import Sampled, Sampling

LOOKS_S, PATIENCE_S = 0.001, 5.0
POWER_EVERY_S = 0.02
FEWEST_CHANGES = 5


def nvml_sensor(chosen: str) -> Sensor:
    """Of the GPU with this number or UUID, or of the first that CUDA shows; read once. SensorError if it tells nothing.

    Of a GPU that is divided (MIG) there is no figure: what is counted is the whole of it, with all who use a part.
    """
    gpu = Gpu.find(chosen)
    try:
        return _of(gpu)
    except SensorError:
        gpu.close()
        raise


def _of(gpu: Gpu) -> Sensor:
    if gpu.divided:
        raise SensorError(
            f"{gpu.model} is divided (MIG), and its counters are of the whole, with all that use a part: there is no "
            "figure."
        )
    counter, power = GpuCounter(gpu), GpuPower(gpu=gpu)
    try:
        counter.millijoules()
    except UntoldError:
        power.watts()
        return power
    return counter


@dataclass(frozen=True)
class GpuCounter:
    """The energy that a GPU counts since its driver was loaded. `clock` gives seconds; `rest` waits for so many."""

    gpu: Gpu
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep

    @property
    def name(self) -> str:
        """What stands in a measurement."""
        return f"NVML, energy of {self.gpu.model}"

    @property
    def slow(self) -> bool:
        """A reading waits for the next change itself, which comes every 20 to 100 ms."""
        return False

    def read(self) -> int:
        """The counter in mJ, at the moment at which it changes: windows begin and end there, or they lose a part.

        SensorError if it does not change: no GPU is without power.
        """
        first, began = self.millijoules(), self.clock()
        while self.clock() - began < PATIENCE_S:
            self.rest(LOOKS_S)
            found = self.millijoules()
            if found != first:
                return found
        raise SensorError(f"The counter of {self.gpu.model} did not change in {PATIENCE_S:g} s: its reading is stale.")

    def joules(self, before: int, after: int) -> float:
        """Energy between two readings. RestartedError if it began anew, as it does with the driver."""
        if after < before:
            raise RestartedError(f"The counter of {self.gpu.model} began anew in the middle.")
        return (after - before) / 1000

    def millijoules(self) -> int:
        """The counter now."""
        return int(self.gpu.ask("nvmlDeviceGetTotalEnergyConsumption"))


@dataclass(kw_only=True)
class GpuPower(Sampling):
    """The power of a GPU, which it renews a few times a second."""

    gpu: Gpu
    every_s: float = POWER_EVERY_S

    @property
    def name(self) -> str:
        """What stands in a measurement, with how often the power was another one."""
        seen = self._sum.changes
        period = f", renewed every {1000 * self._sum.seconds / seen:.0f} ms" if seen else ""
        return f"NVML, sampled power of {self.gpu.model}{period}"

    def watts(self) -> float:
        """The power now."""
        return float(self.gpu.ask("nvmlDeviceGetPowerUsage")) / 1000

    def joules(self, before: Sampled, after: Sampled) -> float:
        """Energy between two readings. SensorError if the power was renewed too seldom in between to be summed up."""
        changes, lasted = after.changes - before.changes, after.seconds - before.seconds
        if 0 < changes < FEWEST_CHANGES:
            raise SensorError(
                f"The power of {self.gpu.model} was renewed {changes} times only in {lasted:.1f} s, and at least "
                f"{FEWEST_CHANGES} are needed: raise energy_seconds in benchmark and profile."
            )
        return super().joules(before, after)
