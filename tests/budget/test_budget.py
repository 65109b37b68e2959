"""A budget ends a run at a checkpoint, the champions stay, and what is spent is counted through kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evernas.budget import Attempt, BudgetSpentError, CostBook, Spent, month_of, over
from evernas.config import Config, document_of_run, load_config, parse_config
from evernas.config_budget import BudgetConfig
from evernas.errors import IntegrityError, UsageError
from evernas.loop.outlook import outlook_of
from evernas.loop.receiving import held_up
from evernas.state import Home
from evernas.state.ownership import claim
from evernas.steps.accounting import Account
from evernas.steps.allowance import Allowance, book_of, month_spent
from evernas.storage import FileStorage
from tiny_project import write

MONTH = month_of(datetime.now(UTC))


def budget(**sections: Any) -> BudgetConfig:
    return BudgetConfig.model_validate(sections)


def test_each_amount_is_held_against_its_own_limit() -> None:
    prices = {"cpu_hour": 0.5, "gpu_hour": 2.0}
    spent = Spent(10, 7200.0, 1800.0)
    assert spent.money(budget(prices=prices).prices) == pytest.approx(2.0)
    for limit, reached in (
        ({"evaluations": 10}, "10 of 10 evaluations"),
        ({"evaluations": 11}, None),
        ({"cpu_hours": 2.0}, "2 of 2 CPU hours"),
        ({"gpu_hours": 0.5}, "0.5 of 0.5 GPU hours"),
        ({"gpu_hours": 0.51}, None),
        ({"money": 2.0}, "2 of 2 EUR"),
        ({"money": 2.01}, None),
        ({}, None),
    ):
        found = budget(run=limit, prices=prices)
        assert over(spent, found.run, found) == reached


def test_money_without_prices_is_refused_since_it_could_never_be_reached(tmp_path: Path) -> None:
    path = write(tmp_path / "evernas.yaml", "tiny", "nowhere", budget={"month": {"money": 20}})
    with pytest.raises(UsageError, match=r"month\.money is 20, and prices has none above 0"):
        load_config(path)


def test_a_budget_is_no_part_of_what_a_run_computes_but_reaches_each_step(tmp_path: Path) -> None:
    plain = load_config(write(tmp_path / "one.yaml", "tiny", "nowhere"))
    limited = load_config(write(tmp_path / "two.yaml", "tiny", "nowhere", budget={"run": {"evaluations": 5}}))
    assert plain.model_dump(mode="json") == limited.model_dump(mode="json")
    assert document_of_run(plain) == plain.model_dump(mode="json")
    assert parse_config(json.loads(json.dumps(document_of_run(limited)))).budget == limited.budget


def test_the_book_adds_up_attempts_by_run_and_month_and_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    book = CostBook(FileStorage(tmp_path))
    book.write("2026-10", "r-1", "search@laptop.1", Spent(3, 10.0, 0.0))
    mine = book.write("2026-11", "r-1", "search@laptop.2", Spent(4, 5.0, 1.0))
    book.write("2026-11", "r-10", "ingest.1", Spent(0, 1.0, 0.0))
    assert book.of_run("r-1") == Spent(7, 15.0, 1.0)
    assert book.of_month("2026-11") == Spent(4, 6.0, 1.0)
    assert book.of_month("2026-11", but=mine) == Spent(0, 1.0, 0.0)
    assert book.months() == ["2026-10", "2026-11"]
    (tmp_path / "2026-11" / "torn.json").write_text("{")
    with pytest.raises(IntegrityError, match="cannot be read"):
        book.of_month("2026-11")
    (tmp_path / "2026-11" / "torn.json").write_text('{"version": 2}')
    with pytest.raises(IntegrityError, match="newer evernas"):
        book.of_month("2026-11")


def test_two_that_work_at_once_are_both_counted_and_each_sees_the_other(tmp_path: Path) -> None:
    book = CostBook(FileStorage(tmp_path))
    found = budget(month={"evaluations": 100})

    def work(run: str) -> None:
        for count in range(1, 51):
            book.write(MONTH, run, "search.1", Spent(count, 0.0, 0.0))

    threads = [threading.Thread(target=work, args=(f"r-{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.of_month(MONTH) == Spent(100, 0.0, 0.0)
    assert month_spent(found, book) == f"The budget of {MONTH} is spent: 100 of 100 evaluations."
    own = Allowance(found, book, "r-0", f"{MONTH}/r-0.search.1.json", lambda: Spent(50))
    with pytest.raises(BudgetSpentError, match="100 of 100 evaluations") as reached:
        own.check()
    assert reached.value.of_month


def test_what_is_spent_is_not_counted_twice_by_the_one_who_spends_it(tmp_path: Path) -> None:
    book = CostBook(FileStorage(tmp_path))
    key = book.write(MONTH, "r", "search.1", Spent(60))
    Allowance(budget(run={"evaluations": 100}), book, "r", key, lambda: Spent(61)).check()


class Counted(FileStorage):
    """A storage that notes what is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []

    def read(self, key: str) -> bytes:
        self.reads.append(key)
        return super().read(key)


def test_what_ended_attempts_have_cost_is_read_once_however_often_a_month_is_asked_for(tmp_path: Path) -> None:
    storage = Counted(tmp_path)
    book, writer = CostBook(storage), CostBook(FileStorage(tmp_path))
    for number in range(20):
        Attempt(writer, f"r-{number}", "search.1").write(Spent(1), ended=True)
    works = Attempt(writer, "r-20", "search.1")
    works.write(Spent(5))
    assert book.of_month(MONTH) == Spent(25)
    assert len(storage.reads) == 21
    works.write(Spent(6))
    assert (book.of_month(MONTH), book.of_run("r-20"), book.of_run("r-3")) == (Spent(26), Spent(6), Spent(1))
    assert storage.reads[21:] == [works.key] * 2, "the one that works, once for each question about it"
    works.write(Spent(7), ended=True)
    assert [book.of_month(MONTH) for _ in range(3)] == [Spent(27)] * 3
    assert storage.reads[23:] == [works.key]


def test_an_account_ends_its_entry_when_it_is_closed(tmp_path: Path) -> None:
    home, book = Home(tmp_path / "home"), CostBook(FileStorage(tmp_path / "book"))
    with claim(home, 0.0, lambda sentence: None) as owner:
        account = Account(home.run("r"), "search", "laptop", owner.guard)
        account.keep_book(Attempt(book, "r", "search@laptop.1"), 0.1)
        account.close()
    (path,) = (tmp_path / "book" / MONTH).iterdir()
    assert json.loads(path.read_text())["ended"] is True


OCTOBER, NOVEMBER = datetime(2026, 10, 31, 23, 59, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


def test_an_attempt_over_the_turn_of_a_month_costs_each_month_what_it_spent_in_it(tmp_path: Path) -> None:
    clock = [OCTOBER]
    book = CostBook(FileStorage(tmp_path))
    attempt = Attempt(book, "r", "supernet.1", lambda: clock[0])
    attempt.write(Spent(0, 100.0, 0.0))
    clock[0] = NOVEMBER
    assert attempt.this_month(Spent(0, 130.0, 0.0)) == Spent()
    attempt.write(Spent(0, 150.0, 0.0))
    attempt.write(Spent(0, 200.0, 0.0), ended=True)
    assert book.of_month("2026-10") == Spent(0, 130.0, 0.0)
    assert book.of_month("2026-11") == Spent(0, 70.0, 0.0)
    assert book.of_run("r") == Spent(0, 200.0, 0.0)
    assert book.of_run("r", but=attempt.key) == Spent(), "both entries are its own"


def test_a_thread_that_was_late_at_the_turn_of_a_month_costs_nothing_less_than_nothing(tmp_path: Path) -> None:
    clock = [OCTOBER]
    book = CostBook(FileStorage(tmp_path))
    attempt = Attempt(book, "r", "supernet.1", lambda: clock[0])
    clock[0] = NOVEMBER
    assert attempt.this_month(Spent(5, 130.0, 2.0)) == Spent()
    attempt.write(Spent(4, 130.0, 1.0))
    assert book.of_month("2026-11") == Spent()


def test_what_was_spent_last_month_does_not_end_a_step_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [OCTOBER]
    monkeypatch.setattr("evernas.steps.allowance.datetime", SimpleNamespace(now=lambda zone: clock[0]))
    book = CostBook(FileStorage(tmp_path))
    book.write("2026-10", "before", "search.1", Spent(50))
    attempt = Attempt(book, "r", "search.1", lambda: clock[0])
    spent = [Spent(40)]
    found = budget(month={"evaluations": 100}, run={"evaluations": 200})
    allowance = Allowance(found, book, "r", attempt.key, lambda: spent[0], attempt.this_month)
    allowance.check()
    clock[0], spent[0] = NOVEMBER, Spent(120)
    allowance.check()
    attempt.write(spent[0])
    spent[0] = Spent(199)
    allowance.check()
    spent[0] = Spent(220)
    with pytest.raises(BudgetSpentError, match="of run r is spent: 220 of 200"):
        allowance.check()


WORKER = """
import sys, time
from pathlib import Path
from evernas.budget import Attempt, CostBook
from evernas.state import Home
from evernas.state.ownership import claim
from evernas.steps.accounting import Account
from evernas.storage import FileStorage
home = Home(Path(sys.argv[1]))
owner = claim(home, 0.0, print)
account = Account(home.run("r"), "search", "laptop", owner.guard)
book = CostBook(FileStorage(Path(sys.argv[2])))
account.keep_book(Attempt(book, "r", "search@laptop.1"), 0.1)
print("working", flush=True)
while True:
    account.evaluated()
    sum(range(20000))
    time.sleep(0.01)
"""


def test_what_a_killed_step_has_spent_is_in_the_book(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path / "home"), str(tmp_path / "book")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    deadline = time.monotonic() + 30
    book = CostBook(FileStorage(tmp_path / "book"))
    while book.of_month(MONTH).evaluations < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    spent = book.of_run("r")
    assert spent.evaluations >= 5
    assert spent.cpu_seconds > 0
    attempt = json.loads((tmp_path / "home" / "runs" / "r" / "steps" / "search@laptop.json").read_text())["attempts"][0]
    assert attempt["cpu_seconds"] > 0


def test_a_receiver_is_told_when_the_month_is_spent_and_by_the_budget_that_the_file_has_then(tmp_path: Path) -> None:
    home, path = Home(tmp_path / "home"), tmp_path / "evernas.yaml"
    config = load_config(write(path, "tiny", "nowhere", budget={"month": {"cpu_hours": 1}}))
    why = held_up(config, path, home)
    assert why() is None
    book_of(home, "tiny").write(MONTH, "r", "supernet.1", Spent(0, 3600.0, 0.0))
    assert why() == f"The budget of {MONTH} is spent: 1 of 1 CPU hours."
    write(path, "tiny", "nowhere", budget={"month": {"cpu_hours": 20}})
    assert why() is None
    other = load_config(write(tmp_path / "other.yaml", "other", "nowhere", budget={"month": {"cpu_hours": 1}}))
    write(path, "tiny", "nowhere", budget={"month": {"cpu_hours": 1}})
    assert why() is not None
    (home.project("tiny") / "costs" / MONTH / "torn.json").write_text("{")
    assert why() is not None, "what is spent is not asked again"
    assert held_up(other, tmp_path / "other.yaml", home)() is None, "another project has a budget of its own"


def test_the_outlook_says_which_limit_a_run_would_reach(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    limits = {"prices": {"cpu_hour": 1.0}, "run": {"cpu_hours": 2}, "month": {"money": 3.0}}
    config: Config = load_config(write(tmp_path / "evernas.yaml", "tiny", "nowhere", budget=limits))
    book_of(home, "tiny").write(MONTH, "r", "supernet.1", Spent(0, 2 * 3600.0, 0.0))
    outlook = outlook_of(config, home, Spent(0, 1.5 * 3600.0, 0.0))
    assert outlook is not None
    assert outlook.lines() == [
        "Budget of the run: 1.5 of 2 CPU hours.",
        f"Budget of {MONTH}: 2 of 3 EUR spent; this run takes about 1.5 EUR.",
        f"The run would reach the budget of the month {MONTH} in EUR, and stop there with the champions as they are.",
    ]
