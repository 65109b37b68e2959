"""Measurements that were taken elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evernas.config import BenchmarkConfig, DeviceConfig
from evernas.errors import UsageError
from evernas.hardware.measure import measure
from evernas.hardware.measurement import Measurement, latency_over_restarts

NO_WORKER = (sys.executable, "-c", "raise SystemExit('nothing may be measured here')")
KNOWN, UNKNOWN, ODD, SWAPPED = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)


def recorded(tmp_path: Path, document: Any) -> DeviceConfig:
    file = tmp_path / "recorded.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return DeviceConfig(name="phone", threads=64, recorded=str(file))


def read(device: DeviceConfig, digests: list[str]) -> dict[str, Measurement]:
    models = {digest: Path("no-such-file.onnx") for digest in digests}
    return measure(models, device, BenchmarkConfig(), Path("unused"), champion=None, shape=(3, 32), worker=NO_WORKER)


def test_a_recorded_figure_is_read_and_says_so_and_what_is_missing_is_refused(tmp_path: Path) -> None:
    rows = [{"median_ms": m, "p95_ms": m, "p99_ms": m, "mad_ms": 0.0} for m in (1.0, 1.1)]
    taken = Measurement(KNOWN, "lab", "onnxruntime-cpu", latency_over_restarts(rows), (1.0, 0.9), size_kb=3.5)
    table = {KNOWN: taken.to_json(), ODD: {"version": 1, "latency": "fast"}, SWAPPED: taken.to_json()}
    found = read(recorded(tmp_path, {"measurements": table}), [KNOWN, UNKNOWN, ODD, SWAPPED])
    assert found[KNOWN].recorded
    assert found[KNOWN].refused is None
    assert found[KNOWN].device == "phone"
    assert (found[KNOWN].latency, found[KNOWN].size_kb) == (taken.latency, 3.5)
    assert "holds no measurement of this network: record it" in str(found[UNKNOWN].refused)
    assert "holds no readable measurement" in str(found[ODD].refused)
    assert "its digest is 1111" in str(found[SWAPPED].refused)
    assert all(one.recorded for one in found.values())


@pytest.mark.parametrize("document", ["no json", "[1]", '{"measurements": [1]}'])
def test_a_file_of_another_form_is_wrong_usage(tmp_path: Path, document: str) -> None:
    with pytest.raises(UsageError, match=r"devices\.phone\.recorded is "):
        read(recorded(tmp_path, document), [KNOWN])


def test_a_missing_file_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(No such file or directory\)"):
        read(DeviceConfig(name="phone", recorded="/nowhere/recorded.json"), [KNOWN])
