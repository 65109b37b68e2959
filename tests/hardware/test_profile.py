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
from evernas.hardware.predictor import LatencyPredictor
from evernas.hardware.profile import profile

NO_WORKER = (sys.executable, "-c", "raise SystemExit('nothing may be measured here')")
SHAPE = {"shape": (3, 32)}
CONFIG = ProfileConfig(subnets=12, seconds=2.0)


def test_wider_networks_take_longer_and_a_second_call_reads_back(
    networks: Any, device: DeviceConfig, tmp_path: Path
) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in range(16, 900, 40)}
    models["twin"] = models["width16"]
    found = profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)
    assert set(found) == set(models)
    assert found["width856"] > found["width16"] > 0
    assert found["twin"] == found["width16"]
    assert len(list((tmp_path / "raw").glob("profile-*.json"))) == 4
    assert profile(models, device, CONFIG, tmp_path / "raw", worker=NO_WORKER, **SHAPE) == found


def test_networks_that_do_not_run_are_left_out_until_they_are_too_many(
    networks: Any, device: DeviceConfig, tmp_path: Path
) -> None:
    models = {f"width{width}": networks.convolution(width)[1] for width in (4, 8, 16)}
    models["bad"] = networks.write(b"no network")[1]
    found = profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)
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
    assert profile(models, device, CONFIG, tmp_path / "raw", **SHAPE) == {"first": 0.5, "second": 1.0}
    with pytest.raises(UsageError, match="holds none of the 1 networks"):
        profile({"third": third}, device, CONFIG, tmp_path / "raw", **SHAPE)
    file.write_text(json.dumps({"profile": {digest: -1}}))
    with pytest.raises(UsageError, match="says -1 ms: give a positive number"):
        profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)


def test_a_profile_is_what_a_predictor_is_fitted_on(networks: Any, device: DeviceConfig, tmp_path: Path) -> None:
    widths = list(range(64, 1600, 128))
    models = {str(width): networks.convolution(width)[1] for width in widths}
    found = profile(models, device, CONFIG, tmp_path / "raw", **SHAPE)
    costs = np.array([[1.0, width * 3 * 3 * 32, width * 32 * 4] for width in widths])
    predictor = LatencyPredictor.fit(costs, np.array([found[str(width)] for width in widths]))
    assert predictor.spearman > 0.8
