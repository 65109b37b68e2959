"""What tells the energy of this machine; which one is said by the device's config."""

from __future__ import annotations

from pathlib import Path

from evernas.hardware.energy import Sensor
from evernas.hardware.sensors.exporter import Exporter
from evernas.hardware.sensors.nvml import nvml_sensor
from evernas.hardware.sensors.rails import Rails
from evernas.hardware.sensors.rapl import Rapl

HWMON_SCHEME = "hwmon:"
NVML = "nvml"


def sensor_at(energy: str | None, powercap: str) -> Sensor:
    """The sensor that `devices.sensor` names, or RAPL at `devices.powercap`; SensorError if it is not there."""
    if energy is None:
        return Rapl.find(Path(powercap))
    if energy.startswith(HWMON_SCHEME):
        return Rails.find(energy.removeprefix(HWMON_SCHEME))
    if energy.partition(":")[0] == NVML:
        return nvml_sensor(energy.partition(":")[2])
    return Exporter.find(energy)
