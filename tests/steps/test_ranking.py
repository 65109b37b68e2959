"""Finalists' errors before and after fine-tuning are kept over runs, each once, and compared within their group."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3

from evernas.config import load_config
from evernas.errors import IntegrityError
from evernas.result import RankingRecord
from evernas.state import Done, Guard, Home, RunManifest
from evernas.state.files import read_json, write_json
from evernas.state.opening import seen_from
from evernas.steps import ranking
from evernas.steps.accounting import Account
from evernas.steps.context import Context, space_of
from evernas.steps.progress import Progress
from evernas.steps.ranking import NEEDED, ranking_record
from place import EXAMPLE

CONFIG = load_config(EXAMPLE)
SPACE = space_of(CONFIG)
ARCHS = [SPACE.random(np.random.default_rng(seed)) for seed in range(40)]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run begins a second after the one before it."""
    moments = (f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}+00:00" for n in count())
    monkeypatch.setattr("evernas.state.runs.now", moments.__next__)


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with s3() as port:
        yield port


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, home: Home, tmp_path: Path) -> Home:
    """The state in a folder, and in a bucket that nothing here has been read from."""
    if request.param == "folder":
        return home
    port = request.getfixturevalue("server")
    address = f"s3://{BUCKET}/{tmp_path.name}?endpoint=http://127.0.0.1:{port}&region=us-east-1"
    return seen_from(home, address)


@contextmanager
def at_work(place: Home, guard: Guard, run: str) -> Iterator[Context]:
    manifest = RunManifest.open(place, run, CONFIG, "source", {})
    account = Account(place.run(run), "report", None, guard)
    try:
        progress = Progress(place.run(run) / "progress.jsonl", "report", None)
        yield Context(place, manifest, None, guard, account, progress, "report")
    finally:
        account.close()


def supernet(run: str, parent: str | None = None, *, fell_back: bool = False, space: str = "space") -> Done:
    """A supernet of a run; `parent` is the run whose weights it began with, or was tried from."""
    ref = None if parent is None else f"supernet/{parent}"
    facts = {"lost": {"fell_back": True}} if fell_back else {}
    return Done(f"supernet/{run}", Path(), facts, {"last": ref, "parent": ref, "space": space}, run)


def finalists(
    run: str, archs: Sequence[int], *, rows: str = "rows", precisions: Sequence[str] = ("fp32",), shift: float = 0.0
) -> Done:
    """What a device's finalists step left: the higher an architecture's number, the worse it is in both."""
    found = [
        {
            "architecture": ARCHS[number].to_json(),
            "precision": precision,
            "error_inherited": 0.2 + number / 100,
            "error": 0.1 + number / 200 + shift + (0.5 if precision == "int8" else 0.0),
        }
        for number in archs
        for precision in precisions
    ]
    inputs = {"supernet": f"supernet/{run}", "train": "train", "search_split": rows}
    return Done(f"finalists/{run}", Path(), {"finalists": found}, inputs, run)


def add(
    place: Home, guard: Guard, run: str, archs: Sequence[int], parent: str | None = None, **more: Any
) -> RankingRecord:
    """What a run of one device adds and then says."""
    with at_work(place, guard, run) as context:
        return ranking_record(context, supernet(run, parent), [finalists(run, archs, **more)])


def files(place: Home) -> list[Path]:
    return sorted(place.rankings(CONFIG.project).rglob("*.json"))


def test_pairs_go_along_with_warm_starts_and_tau_is_there_from_twenty_on(place: Home, guard: Guard) -> None:
    said = [add(place, guard, "r1", range(4))]
    said += [add(place, guard, f"r{n}", range(4 * n, 4 * n + 4), f"r{n - 1}") for n in range(2, 7)]
    assert [each.compared for each in said] == [4, 8, 12, 16, 20, 24]
    assert [each.tau is None for each in said] == [True] * 4 + [False] * 2
    last = said[-1]
    assert (last.tau, last.alike, last.otherwise, last.needed) == (1.0, 6 * 6, 0, NEEDED)
    assert last.low is not None
    assert 0 < last.low < 1
    assert [pair.run for pair in last.pairs if pair.new] == ["r6"] * 4
    assert len({pair.group for pair in last.pairs}) == 6


def test_a_cold_start_after_a_warm_one_that_forgot_begins_a_new_line(place: Home, guard: Guard) -> None:
    add(place, guard, "r1", range(4))
    with at_work(place, guard, "r2") as context:
        said = ranking_record(context, supernet("r2", "r1", fell_back=True), [finalists("r2", range(4, 8))])
    assert said.compared == 4


def test_a_cold_start_after_a_warm_one_that_diverged_begins_a_new_line(place: Home, guard: Guard) -> None:
    add(place, guard, "r1", range(4))
    found = supernet("r2", "r1")
    found.facts["diverged"] = {"step": 3, "steps": 9, "learning_rate": 0.1}
    with at_work(place, guard, "r2") as context:
        said = ranking_record(context, found, [finalists("r2", range(4, 8))])
    assert said.compared == 4


def test_weights_that_went_on_into_another_space_begin_a_new_line(home: Home, guard: Guard) -> None:
    add(home, guard, "r1", range(4))
    with at_work(home, guard, "r2") as context:
        first = supernet("r1")
        context.store.finish(
            Done(first.ref, context.store.workspace(first.ref), first.facts, first.inputs, "r1"), [], guard
        )
        same = ranking_record(context, supernet("r2", "r1"), [finalists("r2", range(4, 8))])
        other = ranking_record(context, supernet("r3", "r1", space="another"), [finalists("r3", range(8, 12))])
    assert (same.compared, other.compared) == (8, 4)


def test_finalists_that_are_taken_again_by_the_next_supernet_are_no_more_to_tell_by(home: Home, guard: Guard) -> None:
    for n in range(1, 8):
        last = add(home, guard, f"r{n}", range(4), None if n == 1 else f"r{n - 1}")
    assert len(last.pairs) == 28
    assert (last.compared, last.alike, last.tau) == (4, 7 * 6, None)


def test_a_run_that_is_repeated_or_gone_on_with_adds_nothing(place: Home, guard: Guard) -> None:
    once = add(place, guard, "r1", range(3))
    assert add(place, guard, "r1", range(3)) == once
    # Another run takes the same finalists: nothing was trained, another device's config changed.
    with at_work(place, guard, "r2") as context:
        again = ranking_record(context, supernet("r1"), [finalists("r1", range(3))])
    assert again == once


def test_runs_of_one_supernet_with_other_finalists_are_of_one_group(place: Home, guard: Guard) -> None:
    add(place, guard, "r1", range(2))
    with at_work(place, guard, "r2") as context:
        more = ranking_record(context, supernet("r1"), [finalists("r1", [0, 1, 2])])
    assert {pair.group for pair in more.pairs} == {1}
    assert [(pair.run, pair.new) for pair in more.pairs] == [("r1", True), ("r1", True), ("r2", True)]
    assert more.alike == 3


def test_devices_that_fine_tuned_the_same_count_it_once_and_a_number_format_not_again(home: Home, guard: Guard) -> None:
    with at_work(home, guard, "r1") as context:
        devices = [finalists("r1", [0, 1], precisions=("int8", "fp32")), finalists("r1", [1, 2])]
        found = ranking_record(context, supernet("r1"), devices)
    assert sorted(pair.arch for pair in found.pairs) == sorted(ARCHS[n].id for n in range(3))
    assert {pair.group for pair in found.pairs} == {1}
    assert max(pair.tuned for pair in found.pairs) < 0.5


def test_errors_on_other_rows_are_never_compared(home: Home, guard: Guard) -> None:
    """The second run's rows are harder after fine-tuning: pooled, its easy networks would seem ranked wrong."""
    add(home, guard, "r1", [2, 3])
    found = add(home, guard, "r2", [0, 1], "r1", rows="others", shift=0.5)
    assert (found.alike, found.otherwise) == (2, 0)


def test_a_cold_start_begins_anew(home: Home, guard: Guard) -> None:
    add(home, guard, "r1", range(4))
    assert [pair.run for pair in add(home, guard, "cold", range(4)).pairs] == ["cold"] * 4
    assert {pair.run for pair in add(home, guard, "warm", range(4, 8), "r1").pairs} == {"r1", "warm"}


def test_two_at_once_lose_nothing(place: Home, guard: Guard) -> None:
    add(place, guard, "r1", [0, 1])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: add(place, guard, f"s{n}", [2 * n, 2 * n + 1], "r1"), range(1, 5)))
    last = add(place, guard, "t", [10, 11], "r1")
    assert {pair.run for pair in last.pairs} == {"r1", "s1", "s2", "s3", "s4", "t"}
    assert last.compared == 12


def test_a_single_finalist_tells_nothing_and_none_leaves_no_file(home: Home, guard: Guard) -> None:
    assert add(home, guard, "r1", [0]).compared == 0
    assert add(home, guard, "r2", [], "r1").pairs == add(home, guard, "r2", [], "r1").pairs
    assert len(files(home)) == 1


def test_only_the_newest_runs_count_and_this_one_always(
    home: Home, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "NEWEST", 2)
    for n in range(1, 5):
        last = add(home, guard, f"r{n}", [2 * n, 2 * n + 1], None if n == 1 else f"r{n - 1}")
    assert [pair.run for pair in last.pairs] == ["r3", "r3", "r4", "r4"]
    with at_work(home, guard, "r1") as context:
        again = ranking_record(context, supernet("r1"), [finalists("r1", [2, 3])])
    assert [pair.arch for pair in again.pairs if pair.new] == [ARCHS[2].id, ARCHS[3].id]


def test_a_file_of_a_newer_version_is_refused_with_a_sentence(home: Home, guard: Guard) -> None:
    add(home, guard, "r1", [0, 1])
    (path,) = files(home)
    write_json(path, {**read_json(path), "version": 2})
    with pytest.raises(IntegrityError, match="newer evernas"):
        add(home, guard, "r2", [2, 3], "r1")
