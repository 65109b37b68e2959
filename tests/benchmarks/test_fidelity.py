"""The benchmark of ranking: its figures tell a good ranking from a bad one, and an interrupted run goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fidelity  # noqa: E402
from fidelity import bench, keep, kept  # noqa: E402
from fidelity_figures import Sample, page, table  # noqa: E402

COUNT = 80


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Architectures whose inherited errors rank them well when trained cold, and not at all when warm."""
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.1, 0.3, COUNT)

    def noisy(size: float, *shape: int) -> np.ndarray:
        return truth + size * rng.standard_normal((*shape, COUNT))

    return Sample(
        name="planted",
        alone=noisy(0.01, 3).T,
        macs=-noisy(0.1),
        parameters=truth,
        inherited={"cold": noisy(0.02, 3, 2), "warm": rng.uniform(size=(3, 2, COUNT))},
        trained_on=[2, 3],
        steps=600,
        rate=0.004,
        domains=2,
    )


def test_a_good_ranking_is_ahead_and_none_is_not(sample: Sample) -> None:
    _, low, _ = sample.ahead("inherited, cold", "multiply-accumulates")
    assert low > 0
    _, _, high = sample.ahead("inherited, warm", "multiply-accumulates")
    assert high < 0
    tau, low, high = sample.tau("inherited, warm")
    assert low < 0 < high
    assert low <= tau <= high
    assert sample.tau("inherited, cold")[0] > 0.7
    assert sample.between_seeds > sample.tau("inherited, cold")[0]


def test_what_seeds_add_is_no_difference_between_architectures(sample: Sample) -> None:
    architectures, seeds = sample.spread
    assert seeds == pytest.approx(1.0, rel=0.15), "as planted"
    assert architectures == pytest.approx(100 * sample.truth.std(ddof=1), rel=0.05)
    noise = replace(sample, alone=0.2 + 0.01 * np.random.default_rng(2).standard_normal((COUNT, 3)))
    assert noise.spread[0] < 0.3
    assert "between seeds 1.0 points, between architectures 0" in table(noise)
    assert "not known of one seed" in table(replace(sample, alone=sample.alone[:, :1]))


def test_another_rate_is_another_measurement() -> None:
    given = bench("digits", 0.03).config.supernet
    assert given.learning_rate == 0.03 != bench("digits").config.supernet.learning_rate
    assert bench("digits", 0.03).alone(None).learning_rate == 0.03
    assert len({fidelity.file_of("digits", 2, rate) for rate in (None, 0.03, 0.05)}) == 3
    same = bench("digits").config.supernet.learning_rate
    assert fidelity.file_of("digits", 2, same) == fidelity.file_of("digits", 2)


@pytest.mark.parametrize(("second", "seeds"), [(2, 2), (1, 1)])
def test_an_unfinished_measurement_is_of_the_seeds_that_half_of_the_architectures_have(second: int, seeds: int) -> None:
    def entry(arch: str, seed: int) -> tuple[str, dict[str, Any]]:
        return json.dumps(["alone", arch, seed]), {"errors": {"s": 0.1 + 0.1 * seed}}

    archs = ["a", "b", "c", "d"]
    found = dict([*(entry(arch, 0) for arch in archs), *(entry(arch, 1) for arch in archs[:second])])
    known = fidelity._of_most_seeds(found, [*archs, "not trained"], 3)
    assert len(known) == (second if seeds == 2 else 4)
    assert {len(errors) for errors in known.values()} == {seeds}


def test_more_parameters_count_as_better(sample: Sample) -> None:
    assert sample.tau("parameters")[0] < -0.8, "the worse, the more parameters they were given here"
    assert sample.tau("multiply-accumulates")[0] > 0.1


def test_regret_is_in_points_of_error(sample: Sample) -> None:
    worst = np.sort(sample.truth)[-5:].min()
    assert sample.regret("parameters") == pytest.approx(100 * (worst - sample.truth.min()), abs=3)
    assert 0 <= sample.regret("inherited, cold") < 2


def test_within_the_best_fifth_the_interval_is_wider(sample: Sample) -> None:
    best, every = sample.within_best("inherited, cold"), sample.tau("inherited, cold")
    assert best[2] - best[1] > every[2] - every[1]
    assert best[1] <= best[0] <= best[2]


def test_figures_are_flat_and_the_page_holds_the_table(sample: Sample, tmp_path: Path) -> None:
    figures = sample.figures()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["cold_ahead_of_parameters_low"] > 1
    path = tmp_path / "fidelity.md"
    path.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    page(path, [sample])
    shown = "![Error by inherited weights against error trained alone](fidelity.svg)"
    assert path.read_text() == f"before\n<!-- measured -->\n\n{table(sample)}\n{shown}\n\n<!-- /measured -->\nafter\n"
    page(path, [sample])
    assert path.read_text().count("<!-- measured -->") == 1
    assert path.with_suffix(".svg").read_text().startswith("<svg")


def test_any_number_of_architectures_is_spread_over_the_space() -> None:
    of = bench("watch")
    few, many = of.architectures(16), of.architectures(200)
    assert many[:16] == few
    assert len(set(many)) == 200
    macs = np.log([of.space.macs(arch) for arch in many])
    inside = np.sort(np.searchsorted(np.sort(macs), np.log([of.space.macs(arch) for arch in few])))
    assert np.all(np.diff(inside) < 40)
    assert not set(of.train.domains) & set(of.judges.domains)
    assert not (set(of.train.domains) | set(of.judges.domains)) & set(of.config.data.splits.gate)


def test_a_torn_line_is_done_again(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    keep(file, {"key": ["alone", "a", 0], "errors": {}})
    with file.open("a") as torn:
        torn.write('{"key": ["alone", "b"')
    keep(file, {"key": ["alone", "c", 0], "errors": {}})
    assert sorted(kept(file)) == ['["alone", "a", 0]', '["alone", "c", 0]']


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "QUICK_FOLDER", tmp_path)
    size = fidelity.Size(2, 1, 1, 2, 2)
    todo = list(fidelity.tasks(["watch"], size))
    assert [task.way for task in todo] == [*fidelity.WAYS, None, None]
    assert fidelity.measured("watch", size) is None
    fidelity.perform(todo[0])
    fidelity.perform(todo[-1])
    assert list(fidelity.tasks(["watch"], size)) == todo[1:-1]
    for task in todo[1:-1]:
        fidelity.perform(task)
    sample = fidelity.measured("watch", size)
    assert sample is not None
    assert sample.alone.shape == (2, 1)
    assert sample.inherited["warm"].shape == (1, len(bench("watch").increments), 2)
    again = {key: entry for key, entry in kept(fidelity.file_of("watch", 2)).items() if "alone" in key}
    fidelity.perform(todo[-1])
    assert {key: entry for key, entry in kept(fidelity.file_of("watch", 2)).items() if "alone" in key} == again


def test_nothing_measured_is_said() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/fidelity.py"), "--networks", "1", "--workers", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "--networks: from 2 to 200" in done.stderr
