"""The benchmark of warm starts: its figures tell a good one from a bad one, and an interrupted run goes on."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import trainings  # noqa: E402
from trainings import each_done, kept  # noqa: E402
from warm_figures import Lengths, Measured, Pair, Reading, page, smoothed, table  # noqa: E402

# The name is that of a support module too.
SPEC = importlib.util.spec_from_file_location("benchmark_of_warm_starts", ROOT / "benchmarks" / "warm.py")
assert SPEC is not None
assert SPEC.loader is not None
warm = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = warm
SPEC.loader.exec_module(warm)


def readings(errors: Sequence[float], cpu_s: float) -> list[Reading]:
    """At even spaces, over so much time in all."""
    count = len(errors)
    return [Reading(10 * (n + 1), cpu_s * (n + 1) / count, error) for n, error in enumerate(errors)]


def pair(warm_errors: Sequence[float], choice: int = 0, seed: int = 0, people: int = 4) -> Pair:
    """Beside a cold run of 90 s that ends at 10 %."""
    return Pair(choice, seed, people, readings([30, 20, 10, 10, 10], 90), readings(warm_errors, 27))


LENGTHS = Lengths({100: [3.0, 2.0], 300: [0.9, 0.0]})


def test_quality_is_smoothed_over_three_and_half_a_point_is_the_same() -> None:
    assert [one.error for one in smoothed(readings([12, 9, 9, 12, 15], 1))] == [10, 10, 12]
    soon = pair([14, 12, 10, 9.5, 9.4, 9.3, 9.2, 9.1, 9.0])
    assert soon.share == pytest.approx(27 * 4 / 9 / 90), "the mean of 12, 10 and 9.5 is the first within half a point"
    assert soon.excess == pytest.approx(-0.9)
    assert soon.whole == pytest.approx(0.3)
    assert pair([11, 11, 10.5, 10.6, 10.6]).share == math.inf
    assert pair([11, 11, 10.4, 10.4, 10.5]).share == pytest.approx(0.3)


def test_the_cold_length_is_the_shortest_that_is_enough() -> None:
    assert LENGTHS.shortest == 300
    assert not LENGTHS.enough(100)
    worse = Lengths({100: [3.0], 300: [0.9]})
    assert worse.shortest == 900, "the longest that was trained"
    assert not worse.found
    text = table(Measured(900, worse, [pair([10] * 3)]))
    assert "900 steps, the longest that was trained; whether it is enough is not known" in text


def test_bars_are_met_by_the_good_and_missed_by_the_bad() -> None:
    good = [pair([10.2, 10, 9.9], choice, seed) for choice in range(5) for seed in range(2)]
    met = Measured(300, LENGTHS, good).figures()
    assert met["cpu_share_within_bar"]
    assert met["excess_within_bar"]
    bad = [pair([12, 12, 12], choice, seed) for choice in range(5) for seed in range(5)]
    missed = Measured(300, LENGTHS, bad)
    assert missed.figures()["cpu_share"] is None
    assert not missed.figures()["cpu_share_within_bar"]
    assert not missed.figures()["excess_within_bar"]
    assert missed.arrived == 0
    assert table(missed).count("**missed**") == 2
    assert "so far" not in table(missed)
    few = table(Measured(300, LENGTHS, good))
    assert few.count("**met so far**") == 2
    assert "The bars are for 5 choices and 5 seeds, so this says little yet." in few


def test_seeds_of_one_choice_of_people_bound_nothing() -> None:
    one = Measured(300, LENGTHS, [pair([10, 10, 10], 0, seed) for seed in range(5)])
    assert one.bound is None
    assert not one.figures()["excess_within_bar"]
    assert "of a single choice of people" in table(one)
    more = [pair([10 + choice] * 3, choice, seed) for choice in range(3) for seed in range(50)]
    # Means of 0, 1 and 2 over three choices, whatever the number of seeds: 1 + 2.920 / sqrt(3).
    assert Measured(300, LENGTHS, more).bound == pytest.approx(1 + 2.920 / math.sqrt(3), abs=0.001)


def test_the_page_holds_the_table_and_the_plot(tmp_path: Path) -> None:
    found = Measured(300, LENGTHS, [pair([12, 10, 9], people=people) for people in (4, 5)])
    assert json.loads(json.dumps(found.figures())) == found.figures()
    path = tmp_path / "warm.md"
    path.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    for _ in range(2):
        page(path, found)
    shown = "![Error as training goes on, warm and cold](warm.svg)"
    assert path.read_text() == f"before\n<!-- measured -->\n\n{table(found)}\n\n{shown}\n\n<!-- /measured -->\nafter\n"
    assert path.with_suffix(".svg").read_text().startswith("<svg")


def test_each_choice_has_its_own_people_and_none_judges_what_trains() -> None:
    of, judging = warm.bench(12), set()
    for choice in range(5):
        judges, training = of.people(choice)
        judging.add(tuple(sorted(judges)))
        assert sorted(judges + training, key=int) == warm.PEOPLE
        assert len(judges) == 2
        for arrived in range(6):
            rows = of.trained_on(warm.Training(choice, 0, arrived, 1))
            assert set(rows.domains) == set(training[: 3 + arrived])
    assert len(judging) == 5


def test_warm_begins_from_the_one_before_it_as_a_run_would() -> None:
    runs = warm.compared(warm.Size(), 900, 1, 2)
    warm_runs = [run for run in runs if run.began]
    assert [run.arrived for run in warm_runs] == [1, 2, 3, 4, 5]
    assert {run.steps for run in warm_runs} == {270}, "no more than a third"
    assert warm_runs[0].parent == runs[0]
    assert [run.parent for run in warm_runs[1:]] == warm_runs[:-1]


def test_all_of_a_warm_start_is_read_and_the_end_of_a_cold_one() -> None:
    cold, following = warm.Training(0, 0, 1, 900), warm.Training(0, 0, 1, 270, 900)
    checkpoints = range(30, 900, 30)
    assert [step for step in checkpoints if warm.is_read(cold, step)] == [150, 300, 450, 600, 750, 840, 870]
    assert all(warm.is_read(following, step) for step in checkpoints if step < 270)


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "SCRATCH", tmp_path / "scratch")
    size = replace(warm.QUICK, folder=tmp_path, one_in=24)
    runs = warm.compared(size, 10, 0, 0)
    warm.perform((size, runs[:3]))
    first = kept(warm.file_of(size))
    assert len(first) == 3
    for state in (tmp_path / "scratch" / "states").iterdir():
        state.unlink()
    warm.perform((size, runs))
    lines = warm.file_of(size).read_text().splitlines()
    assert len(lines) == len(runs), "what is trained again only for its weights is not kept again"
    found = kept(warm.file_of(size))
    assert {key: found[key] for key in first} == first
    measured = warm.measured(replace(size, lengths=(10, 30)), 10)
    assert [one.people for one in measured.pairs] == [4, 5]
    for one in measured.pairs:
        assert np.all(np.diff([reading.cpu_s for reading in one.warm]) > 0)
        assert one.cold[-1].step == 10
        assert one.warm[-1].step == 3
        assert 0 < one.whole < 1


def test_a_process_that_is_killed_ends_the_measurement() -> None:
    with pytest.raises(BrokenProcessPool):
        each_done(os._exit, [3], 1, "trained")


def test_more_trainings_than_a_process_is_given_are_all_done(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainings, "TASKS", 2)
    each_done(print, [f"training {n}" for n in range(5)], 1, "trained")
    told = capfd.readouterr()
    assert sorted(told.out.splitlines()) == [f"training {n}" for n in range(5)]
    assert "trained: 5 of 5" in told.err


def test_nothing_measured_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["warm.py", "--quick", "--workers", "0"])
    monkeypatch.setattr(warm, "QUICK", replace(warm.QUICK, folder=tmp_path))
    with pytest.raises(SystemExit, match="No two cold runs have been trained yet"):
        warm.main()
    monkeypatch.setattr(sys, "argv", ["warm.py", "--choices", "0"])
    with pytest.raises(SystemExit):
        warm.main()
    assert "--choices and --seeds: at least 1" in capsys.readouterr().err
