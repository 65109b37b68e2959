"""A declared device and the machine at hand: can it be measured here, and in what state is it; nothing is timed."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.errors import UsageError
from evernas.hardware.gpu import gpu_state
from evernas.hardware.runtime import Runtime, runtime_named, runtimes

if TYPE_CHECKING:
    from evernas.config import DeviceConfig


def resolve(device: DeviceConfig) -> Runtime:
    """The runtime of a device that is this machine. UsageError names the key, its value and what would be right.

    A runtime of a GPU is tried, since one that is installed may find none.
    """
    from evernas.hardware.trying import fault_of

    runtime = runtime_named(device.runtime)
    cores = len(allowed_cores())
    if device.threads > cores:
        raise UsageError(
            f"devices.{device.name}.threads is {device.threads}, but this machine gives evernas {cores} "
            f"core{'s' if cores > 1 else ''}: use at most {cores}, or measure on a larger machine."
        )
    fault = fault_of(runtime) if runtime.place.on_gpu else None
    if fault is not None:
        raise UsageError(f"devices.{device.name}.runtime is {runtime.name!r}: {fault}")
    return runtime


def allowed_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def quiet_cores(count: int, seconds: float = 0.1, root: Path = Path("/")) -> list[int]:
    """The `count` allowed cores that did least over the last moment, in rising order.

    A network pinned to a core that another program keeps busy would be measured at half its speed. Of equals the
    highest numbers are taken, because core 0 tends to serve the interrupts.
    """
    allowed = allowed_cores()
    if count >= len(allowed):
        return allowed
    before = _busy_ticks(root)
    time.sleep(seconds)
    after = _busy_ticks(root)
    work = {core: after.get(core, 0) - before.get(core, 0) for core in allowed}
    return sorted(sorted(allowed, key=lambda core: (work[core], -core))[:count])


def environment(runtime: str | None = None, root: Path = Path("/"), core: int = 0) -> dict[str, Any]:
    """The state of this machine that a measured figure depends on; None for what has no readable sensor.

    Governor and frequency are of `core`, on which the network runs or from which it is started. Of a runtime on a GPU
    there is the state of that, too.
    """
    known = runtimes().get(runtime or "")
    of_gpu = gpu_state() if known is not None and known.place.on_gpu else {}
    return {
        "cpu": _cpu_model(root),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "governor": _text(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"),
        "frequency_mhz": _frequency_mhz(root, core),
        "temperature_c": _temperature_c(root),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "runtime": runtime,
        "runtime_version": known.version() if known is not None and known.available() else None,
        **of_gpu,
    }


def _busy_ticks(root: Path) -> dict[int, int]:
    ticks: dict[int, int] = {}
    for line in (_text(root / "proc/stat") or "").splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            idle_and_wait = int(fields[3]) + int(fields[4])
            ticks[int(name[3:])] = sum(map(int, fields[:8])) - idle_and_wait
    return ticks


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _number(path: Path) -> float | None:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None


def _cpu_model(root: Path) -> str | None:
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return platform.processor() or None


def _frequency_mhz(root: Path, core: int) -> float | None:
    khz = _number(root / f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq")
    if khz is not None:
        return khz / 1000
    here = False
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "processor":
            here = value.strip() == str(core)
        if here and key.strip() == "cpu MHz":
            try:
                return float(value)
            except ValueError:
                return None
    return None


def _temperature_c(root: Path) -> float | None:
    """The hottest thermal zone."""
    zones = [_number(path) for path in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))]
    return max((zone / 1000 for zone in zones if zone is not None), default=None)
