"""Profiling a device with real networks, resuming it, and the recorded profile."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import DeviceConfig, ProfileConfig
from evernas.errors import EvernasError, UsageError
from evernas.hardware.predictor import CostPredictor
from evernas.hardware.profile import profile
from powercap import Busy

NO_WORKER = (sys.executable, "-c", "raise SystemExit('nothing may be measured here')")
SHAPE = {"shape": (3, 32)}
CONFIG = ProfileConfig(subnets=12, seconds=2.0)


def test_wider_networks_take_longer_and_a_second_call_reads_back(
    networks: Any, device: DeviceConfig, tmp_path: Path
) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in range(16, 900, 40)}
    models["twin"] = models["width16"]
    found = profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)["latency_ms"]
    assert set(found) == set(models)
    assert found["width856"] > found["width16"] > 0
    assert found["twin"] == found["width16"]
    assert len(list((tmp_path / "raw").glob("profile-*.json"))) == 4
    assert profile(models, device, CONFIG, tmp_path / "raw", worker=NO_WORKER, **SHAPE) == {"latency_ms": found}


def test_networks_that_do_not_run_are_left_out_until_they_are_too_many(
    networks: Any, device: DeviceConfig, tmp_path: Path
) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in (4, 8, 16)}
    models["bad"] = networks.write(b"no network")[1]
    found = profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)["latency_ms"]
    assert set(found) == {"width4", "width8", "width16"}
    models["worse"] = networks.write(b"no network either")[1]
    with pytest.raises(EvernasError, match="2 of 5 subnets do not run on here, more than a quarter"):
        profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)


def test_a_machine_on_which_no_process_starts_is_said(networks: Any, device: DeviceConfig, tmp_path: Path) -> None:
    models = {"a": networks.convolution(4)[1]}
    with pytest.raises(EvernasError, match=r"here cannot be profiled: .*nothing may be measured here"):
        profile(models, device, CONFIG, tmp_path / "raw", worker=NO_WORKER, **SHAPE)


def test_a_recorded_profile_is_found_by_digest_or_by_architecture(networks: Any, tmp_path: Path) -> None:
    (digest, first), (_, second), (_, third) = (networks.convolution(width) for width in (4, 8, 12))
    file = tmp_path / "recorded.json"
    file.write_text(json.dumps({"profile": {digest: 0.5, "second": 1}}))
    device = DeviceConfig(name="elsewhere", recorded=str(file))
    models = {"first": first, "second": second, "third": third}
    assert profile(models, device, CONFIG, tmp_path / "raw", **SHAPE) == {"latency_ms": {"first": 0.5, "second": 1.0}}
    with pytest.raises(UsageError, match="holds latency_ms of none of the 1 networks"):
        profile({"third": third}, device, CONFIG, tmp_path / "raw", **SHAPE)
    file.write_text(json.dumps({"profile": {digest: -1}}))
    with pytest.raises(UsageError, match="says -1 for latency_ms: give a positive number"):
        profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)


def test_a_profile_is_what_a_predictor_is_fitted_on(networks: Any, device: DeviceConfig, tmp_path: Path) -> None:
    widths = list(range(64, 1600, 128))
    models = {str(width): networks.convolution(width)[1] for width in widths}
    found = profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)["latency_ms"]
    costs = np.array([[1.0, width * 3 * 3 * 32, width * 32 * 4] for width in widths])
    predictor = CostPredictor.fit(costs, np.array([found[str(width)] for width in widths]))
    assert predictor.spearman > 0.8


def test_memory_is_measured_where_it_is_asked_for_and_grows_with_the_weights(
    networks: Any, device: DeviceConfig, tmp_path: Path
) -> None:
    widths = [*range(2000, 40_000, 1500)]
    models = {f"width{width}": networks.convolution(width)[1] for width in widths}
    asked = ["latency_ms", "peak_memory_mb"]
    found = profile(models, device, CONFIG, tmp_path / "raw", costs=asked, **SHAPE)
    assert list(found) == asked
    assert set(found["peak_memory_mb"]) == set(models)
    costs = np.array([[1.0, width * 9, width * 32] for width in widths], float)
    predictor = CostPredictor.fit(costs, np.array([found["peak_memory_mb"][f"width{width}"] for width in widths]))
    assert predictor.spearman > 0.97
    assert predictor.median_abs_error < 0.05
    assert profile(models, device, CONFIG, tmp_path / "raw", costs=asked, worker=NO_WORKER, **SHAPE) == found
    assert len(list((tmp_path / "raw").glob("profile-memory-*.json"))) == 2


def test_where_no_peak_can_be_told_a_sentence_says_so(networks: Any, device: DeviceConfig, tmp_path: Path) -> None:
    """A stand-in for a system on which a process cannot set its peak back: all show none."""
    silent = (
        "import json, sys; job = json.load(open(sys.argv[1])); "
        "found = {'peak_memory_mb': {m['digest']: 0.0 for m in job['models'][1:]}, 'allocated_mb': {}, 'refused': {}}; "
        "json.dump(found, open(sys.argv[2], 'w'))"
    )
    models = {f"width{width}": networks.convolution(width)[1] for width in (4, 8)}
    with pytest.raises(EvernasError, match=r"2 of 2 subnets show no memory of their own on here.*set its peak back"):
        profile(
            models, device, CONFIG, tmp_path / "raw", costs=["peak_memory_mb"], worker=(sys.executable, "-c", silent),
            **SHAPE,
        )  # fmt: skip


def test_energy_is_measured_where_it_is_asked_for_and_grows_with_the_work(networks: Any, tmp_path: Path) -> None:
    widths = [16, 400, 10_000]
    models = {f"width{width}": networks.convolution(width)[1] for width in widths}
    device = DeviceConfig(name="here", powercap=str(tmp_path / "powercap"))
    config = CONFIG.model_copy(update={"energy_seconds": 0.4})
    with Busy(tmp_path / "powercap"):
        found = profile(models, device, config, tmp_path / "raw", costs=["latency_ms", "energy_mj"], **SHAPE)
    energy = [found["energy_mj"][f"width{width}"] for width in widths]
    assert energy == sorted(energy)
    # Hundreds of times the work; what a call costs beside it is in all of them.
    assert energy[2] > 5 * energy[0] > 0


def test_without_a_sensor_nothing_is_searched_by_energy(networks: Any, device: DeviceConfig, tmp_path: Path) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in (4, 8)}
    with pytest.raises(EvernasError, match=r"search\.objectives has energy_mj, and here cannot be profiled for it\."):
        profile(models, device, CONFIG, tmp_path / "raw", costs=["energy_mj"], **SHAPE)


def test_a_sensor_that_does_not_move_ends_the_profile(networks: Any, tmp_path: Path) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in (4, 8)}
    device = DeviceConfig(name="here", powercap=str(tmp_path / "powercap"))
    Busy(tmp_path / "powercap")
    config = CONFIG.model_copy(update={"energy_seconds": 0.1})
    with pytest.raises(EvernasError, match=r"cannot be profiled for it\. .*stale"):
        profile(models, device, config, tmp_path / "raw", costs=["energy_mj"], **SHAPE)


def test_a_recorded_profile_may_hold_more_than_latency(networks: Any, tmp_path: Path) -> None:
    (_, first), (_, second) = (networks.convolution(width) for width in (4, 8))
    file = tmp_path / "recorded.json"
    file.write_text(json.dumps({"profile": {"first": {"latency_ms": 0.5, "energy_mj": 2}, "second": 0.25}}))
    device = DeviceConfig(name="elsewhere", recorded=str(file))
    models = {"first": first, "second": second}
    found = profile(models, device, CONFIG, tmp_path / "raw", costs=["latency_ms", "energy_mj"], **SHAPE)
    assert found == {"latency_ms": {"first": 0.5, "second": 0.25}, "energy_mj": {"first": 2.0}}
    with pytest.raises(UsageError, match="holds peak_memory_mb of none of the 2 networks"):
        profile(models, device, CONFIG, tmp_path / "raw", costs=["peak_memory_mb"], **SHAPE)
