"""Searched beside designed: what is compared with what, what its bound says, and the quick run has its figures."""

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

from human import QUICK, Task, best_settings  # noqa: E402
from human_figures import Compared, Ours, Theirs, table  # noqa: E402
from human_sets import bench  # noqa: E402

PEOPLE = np.repeat(["a", "b", "c", "d"], 100)
SMALL, LARGE = (0, 0), (1, 1)


def missed(*shares: float) -> list[int]:
    """So large a share of each person's hundred rows."""
    return [100 * person + n for person, share in enumerate(shares) for n in range(round(100 * share))]


def compared(theirs: Theirs, ours: dict[Any, list[Ours]], **latency: float) -> Compared:
    known = {"nothing": 0.005, str(list(SMALL)): 0.02, str(list(LARGE)): 0.04, **latency}
    return Compared("made-up", "people", ours, [theirs], known, {0: PEOPLE, 1: PEOPLE})


def ours(small: list[int], large: list[int], small_search: float = 0.2, large_search: float = 0.1) -> list[Ours]:
    return [Ours(SMALL, small_search, small), Ours(LARGE, large_search, large)]


def test_the_best_on_the_search_split_of_those_that_are_fast_enough_is_compared() -> None:
    theirs = Theirs("designed", {(0, 0): missed(0.1, 0.1, 0.1, 0.1)}, 0.001, 600, taught=False)
    found = {(0, 0): ours(missed(0.2, 0.2, 0.2, 0.2), missed(0.1, 0.1, 0.1, 0.1))}
    (row,) = compared(theirs, found, designed=0.121).rows()
    assert (row.our_latency_ms, row.excess, row.bound) == (0.04, 0.0, 0.0)
    assert row.reached
    (row,) = compared(theirs, found, designed=0.119).rows()
    assert row.our_latency_ms == 0.02, "the large one is not three times as fast"
    assert row.excess == pytest.approx(10)
    assert not row.reached
    (row,) = compared(theirs, found, designed=0.0249).rows()
    assert row.at_equal_latency, "less than five times an empty call"
    assert row.our_latency_ms == 0.02
    alone = compared(theirs, found, designed=0.03)
    assert alone.rows() == []
    assert "None of ours is fast enough" in table(alone)


def test_the_choice_never_looks_at_the_unseen_rows() -> None:
    theirs = Theirs("designed", {(0, 0): missed(0.1, 0.1, 0.1, 0.1)}, 0.001, 600, taught=False)
    worse_unseen = {(0, 0): ours(missed(0, 0, 0, 0), missed(0.3, 0.3, 0.3, 0.3))}
    (row,) = compared(theirs, worse_unseen, designed=1.0).rows()
    assert row.our_error == pytest.approx(30), "the large one is better on the search split"


def test_the_bound_is_students_over_domains_and_grows_with_their_spread() -> None:
    theirs = Theirs("designed", {(0, 0): missed(0.1, 0.1, 0.1, 0.1)}, 0.001, 600, taught=False)
    found = {(0, 0): ours([], missed(0.08, 0.12, 0.10, 0.10))}
    (row,) = compared(theirs, found, designed=1.0).rows()
    assert (row.excess, row.units) == (pytest.approx(0), 4)
    # -2, 2, 0, 0 points: a standard deviation of 1.633 over the root of 4, times 2.353 of three degrees of freedom.
    assert row.bound == pytest.approx(2.353 * 1.633 / 2, rel=1e-3)
    assert not row.reached


def test_seeds_are_averaged_and_other_choices_bring_other_domains() -> None:
    theirs = Theirs(
        "designed",
        {(choice, seed): missed(0.1, 0.1, 0.1, 0.1) for choice in (0, 1) for seed in (0, 1)},
        0.001,
        600,
        taught=True,
    )
    found = {
        (choice, seed): ours([], missed(*[0.1 + 0.02 * (1 if seed else -1)] * 4))
        for choice in (0, 1)
        for seed in (0, 1)
    }
    (row,) = compared(theirs, found, designed=1.0).rows()
    assert (row.units, row.seeds) == (8, 2)
    assert row.excess == pytest.approx(0)
    assert row.bound == pytest.approx(0, abs=1e-9)
    assert "for 600 steps, taught as ours are" in table(compared(theirs, found, designed=1.0))


def test_settings_are_those_that_are_best_on_the_search_split_and_longer_only_while_it_helps() -> None:
    size = replace(QUICK, longest=8)

    def task(rate: float, times: int = 1, taught: bool = False) -> Task:
        return Task("watch", size, 0, 0, "FCN", rate, times, taught)

    held: dict[str, Any] = {}

    def told(one: Task, error: float) -> None:
        held[json.dumps(one.key)] = {"search": error}

    asked = best_settings("watch", size, "FCN", held)
    assert asked == [task(0.001), task(0.003), task(0.01)]
    for one, error in zip(asked, (0.3, 0.2, 0.4), strict=True):
        told(one, error)
    assert best_settings("watch", size, "FCN", held) == [task(0.003, 2)]
    told(task(0.003, 2), 0.15)
    assert best_settings("watch", size, "FCN", held) == [task(0.003, 4)]
    told(task(0.003, 4), 0.15)
    assert best_settings("watch", size, "FCN", held) == [task(0.003, 2, taught=True)], "no longer once it does not fall"
    told(task(0.003, 2, taught=True), 0.16)
    assert best_settings("watch", size, "FCN", held) == task(0.003, 2)
    told(task(0.003, 2, taught=True), 0.14)
    assert best_settings("watch", size, "FCN", held) == task(0.003, 2, taught=True)


def test_everybody_is_unseen_once_and_nobody_is_in_two_splits() -> None:
    of = bench("watch", 40)
    seen = []
    for choice in range(of.most_choices):
        unseen, search = of.domains(choice)
        assert not set(unseen) & set(search)
        train, searched, judges = of.split(choice)
        assert set(judges.domains) == set(unseen)
        assert set(searched.domains) == set(search)
        assert not set(train.domains) & {*unseen, *search}
        seen += unseen
    assert len(seen) == len(set(seen)) == 9


def test_the_quick_run_has_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/human.py"), "--quick", "--json", str(file)]
    command += ["--sets", "languages", "--only", "fastText", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(file.read_text())
    assert figures["quick"]
    assert figures["languages_fastText_units"] == 8
    assert figures["languages_fastText_our_latency_ms"] > 0
    assert "| fastText |" in done.stdout
