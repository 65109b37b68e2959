"""The hardware benchmark: pairs, neighbours and tables are what it says, and the quick run has its figures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import hardware  # noqa: E402
from hardware import (  # noqa: E402
    BAND,
    Networks,
    additive_table,
    below,
    chosen_pairs,
    drawn,
    least_squares,
    neighbours,
    profiled,
    widened,
)

from evernas.config import DeviceConfig, ProfileConfig, SpaceConfig  # noqa: E402
from evernas.hardware.predictor import CostPredictor  # noqa: E402
from evernas.spaces import SignalSpace  # noqa: E402


@pytest.fixture
def space() -> SignalSpace:
    return SignalSpace(3, 64, 4, SpaceConfig())


def test_pairs_span_the_ratios_that_there_are_each_once() -> None:
    latency = {name: 1.3**n for n, name in enumerate("abcdefghij")}
    pairs = chosen_pairs(latency, 8)
    ratios = sorted(latency[a] / latency[b] for a, b in pairs)
    assert len(set(pairs)) == 8
    assert ratios[0] < 1.35
    assert 8 < ratios[-1] < 11


def test_neighbours_lie_within_the_band_and_are_new(space: SignalSpace) -> None:
    rng = np.random.default_rng(0)
    known = {space.largest()}
    archs = drawn(space, 30, rng, known)
    x = np.stack([space.features(arch) for arch in archs])
    macs = np.array([float(space.macs(arch)) for arch in archs])
    predictor = CostPredictor.fit(x, macs / 1e6)
    before = set(known)
    found = neighbours(space, archs[0], predictor, 8, rng, known)
    middle = float(predictor.predict(space.features(archs[0])))
    predicted = predictor.predict(np.stack([space.features(arch) for arch in found]))
    assert (np.abs(predicted / middle - 1) <= BAND / 2).all()
    assert len(set(found)) == 8
    assert not set(found) & before


def test_an_additive_table_finds_additive_costs(space: SignalSpace) -> None:
    rng = np.random.default_rng(1)
    archs = drawn(space, 300, rng, set())
    x = additive_table(space, archs)
    y = 1 + x @ rng.uniform(0, 1, x.shape[1])
    np.testing.assert_allclose(least_squares(x[:250], y[:250], x[250:]), y[250:], rtol=0.05)


def test_a_better_ranking_is_told_from_chance() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(30.0)
    assert below(truth, rng.permutation(truth), truth, rng, 1000) < 0.001
    assert below(rng.permutation(truth), truth, truth, rng, 1000) > 0.999
    assert below(truth, truth, truth, rng, 1000) == 1.0, "no higher is not above"


def test_the_seconds_of_a_profile_are_those_of_all_runs_that_measured_it(
    space: SignalSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        """As the process that measures would be."""

    networks = Networks(space, tmp_path / "onnx")
    files = {arch.id: networks.file(arch) for arch in drawn(space, 22, np.random.default_rng(0), set())}
    device, folder = DeviceConfig(name="here"), tmp_path / "profile"
    run = partial(profiled, files, device, ProfileConfig(subnets=22, seconds=0.5), folder, space.shape)
    real, left = hardware.profile, 3

    def killed_in_the_middle(*arguments: Any, on_progress: Any, **options: Any) -> Any:
        def tell(done: int, total: int, text: str) -> None:
            on_progress(done, total, text)
            if done == left:
                raise Killed

        return real(*arguments, on_progress=tell, **options)

    monkeypatch.setattr(hardware, "profile", killed_in_the_middle)
    began = time.monotonic()
    with pytest.raises(Killed):
        run()
    first = time.monotonic() - began
    monkeypatch.setattr(hardware, "profile", real)
    earlier = json.loads((folder / "seconds.json").read_text())
    assert sorted(earlier) == ["profile-0-0.json", "profile-0-1.json", "profile-1-0.json"]
    assert min(earlier.values()) > 0.05, "a process was started in each"
    assert sum(earlier.values()) < first
    began = time.monotonic()
    latency, took = run()
    assert sum(earlier.values()) < took < sum(earlier.values()) + time.monotonic() - began
    assert run() == (latency, took), "what is read back takes nothing"
    (folder / "seconds.json").unlink()
    assert run() == (latency, None), "what was not kept is not guessed"


def test_a_widened_space_holds_networks_that_are_several_times_as_large() -> None:
    document = yaml.safe_load((ROOT / "examples/watch/evernas.yaml").read_text())
    narrow, wide = widened(document, 1), widened(document, 3)
    assert wide.shape == narrow.shape, "one session measures both"
    assert wide.macs(wide.largest()) > 6 * narrow.macs(narrow.largest())


@pytest.mark.parametrize(
    ("space", "precision", "name"),
    [("signal", "fp32", "signal"), ("text", "fp32", "text"), ("image", "int8", "image-int8")],
)
def test_the_quick_run_has_its_figures(space: str, precision: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/hardware.py"), "--quick", "--json", str(file)]
    command += ["--part", "prediction,memory", "--space", space, "--precision", precision]
    command += ["--runtime", "onnxruntime-cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert all(not isinstance(value, dict | list) for value in figures.values()), "a flat object"
    assert figures[f"{name}.onnxruntime-cpu.random_networks"] == 4
    assert figures[f"{name}.onnxruntime-cpu.near_networks"] == 3
    assert figures[f"{name}.onnxruntime-cpu.random_median_error"] > 0
    assert figures[f"memory.{name}.onnxruntime-cpu.random_networks"] == 4
    assert 0 < figures[f"memory.{name}.onnxruntime-cpu.peak_median_error"] < 1
