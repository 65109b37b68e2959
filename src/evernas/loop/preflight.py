"""What is refused before any work: a missing source, a device that is not there, bounds that no architecture meets."""

from __future__ import annotations

from pathlib import Path

from evernas.config import Config, DeviceConfig, source_address
from evernas.data import open_source
from evernas.errors import UsageError
from evernas.steps.context import space_of

BYTES_PER_WEIGHT = 4


def check(config: Config, home: Path) -> None:
    """UsageError, with the key, the value and the mend, for what cannot succeed on this machine."""
    from evernas.hardware.devices import resolve

    open_source(source_address(config, home), home).refuse_missing()
    for device in config.devices:
        if device.recorded is None:
            resolve(device)
        elif not Path(device.recorded).is_file():
            raise UsageError(
                f"devices: {device.name}.recorded is {device.recorded!r}, and there is no such file: "
                "name a file of recorded measurements, or remove the key to measure."
            )
        judging = [
            f"constraints.{index} bounds"
            for index, constraint in enumerate(config.constraints)
            if constraint.metric == "energy_mj" and constraint.device in (None, device.name)
        ]
        if "energy_mj" in config.search.objectives:
            judging.append("search.objectives has")
        if "energy_mj" in config.gate.objectives:
            judging.append("gate.objectives compares")
        if judging and device.recorded is None:
            _check_sensor(judging[0], device)
    space = space_of(config)
    least = space.parameters(space.smallest()) * BYTES_PER_WEIGHT / 1000
    for index, constraint in enumerate(config.constraints):
        if constraint.metric == "size_kb" and constraint.max < least:
            raise UsageError(
                f"constraints.{index}.max is {constraint.max:g} kB, but the weights of the smallest architecture of "
                f"the space alone take {least:.1f} kB: allow more, or make the space smaller."
            )
    evaluations, size = config.search.evaluations, space.size()
    if evaluations > size:
        raise UsageError(
            f"search.evaluations is {evaluations}, but the space has only {size} architectures: ask for at most {size}."
        )


def _check_sensor(judging: str, device: DeviceConfig) -> None:
    from evernas.hardware.energy import SensorError
    from evernas.hardware.sensors import sensor_at

    try:
        sensor_at(device.sensor, device.powercap)
    except SensorError as error:
        raise UsageError(
            f"{judging} energy_mj, which {device.name} cannot measure. {error} Remove it there, or give the constraint "
            "its device."
        ) from None
