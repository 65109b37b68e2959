"""The journal: one winner per entry, no gaps, and a claim whose answer was lost is still a success."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from evernas.errors import HoldError
from evernas.registry import journal

ENTRY = journal.Entry(1, "laptop", "b" * 64, {}, "run", "v", "models:/m/1", "2026-01-01T00:00:00+00:00", "token")
SPAWN = multiprocessing.get_context("spawn")


def _race(folder: Path, number: int, rounds: int, barrier: object, wins: object) -> None:
    for n in range(1, rounds + 1):
        barrier.wait()  # type: ignore[attr-defined]
        try:
            journal.claim(folder, replace(ENTRY, number=n, token=f"{number}-{n}"))
            wins.put((n, number))  # type: ignore[attr-defined]
        except HoldError:
            pass


def test_head_is_the_newest_entry(tmp_path: Path) -> None:
    assert journal.head(tmp_path, "laptop") is None
    journal.claim(tmp_path, ENTRY)
    journal.claim(tmp_path, replace(ENTRY, number=2, token="other"))
    assert journal.head_number(tmp_path, "laptop") == 2
    assert journal.head_number(tmp_path, "phone") == 0


def test_a_number_that_is_taken_is_refused_with_the_run_that_took_it(tmp_path: Path) -> None:
    journal.claim(tmp_path, ENTRY)
    with pytest.raises(HoldError, match="run run promoted"):
        journal.claim(tmp_path, replace(ENTRY, token="late"))


def test_a_gap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HoldError, match="shorter"):
        journal.claim(tmp_path, replace(ENTRY, number=2))


def test_a_claim_repeated_after_a_lost_answer_succeeds_once(tmp_path: Path) -> None:
    journal.claim(tmp_path, ENTRY)
    assert journal.claim(tmp_path, replace(ENTRY, promoted_at="later")) == ENTRY
    assert journal.head_number(tmp_path, "laptop") == 1


def test_eight_promoters_at_once_have_one_winner_an_entry_and_leave_no_gap(tmp_path: Path) -> None:
    rounds, promoters = 20, 8
    barrier, wins = SPAWN.Barrier(promoters), SPAWN.Queue()
    processes = [SPAWN.Process(target=_race, args=(tmp_path, i, rounds, barrier, wins)) for i in range(promoters)]
    for process in processes:
        process.start()
    won = [wins.get(timeout=120) for _ in range(rounds)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(n for n, _ in won) == list(range(1, rounds + 1))
    assert wins.empty()
    for n, winner in won:
        assert journal.read(tmp_path, "laptop", n).token == f"{winner}-{n}"
