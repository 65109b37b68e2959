"""What a run may still spend: asked at checkpoints, answered from the book of costs and what this step spends now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from evernas.budget import BudgetSpentError, CostBook, Spent, month_of, over
from evernas.config import parse_budget
from evernas.config_budget import BudgetConfig
from evernas.state import Home
from evernas.state.files import read_json, write_json
from evernas.state.sharing import fetched, share, storage_of

# What others spend meanwhile is asked again after so long.
LOOK_AGAIN_S = 30.0
BUDGET = "budget.json"


def book_of(home: Home, project: str) -> CostBook:
    """The book of costs of a project."""
    return CostBook(storage_of(home, home.project(project) / "costs", kept=False))


def pin_budget(home: Home, run: str, budget: BudgetConfig | None) -> None:
    """Let the budget of this start of the run hold for all of its steps: another start may bring another."""
    document = None if budget is None else budget.model_dump(mode="json")
    path = home.run(run) / BUDGET
    if document is None and not fetched(home, path).exists():
        return
    write_json(path, {"version": 1, "budget": document})
    share(home, path)


def pinned_budget(home: Home, run: str) -> BudgetConfig | None:
    """The budget that holds for a run; None if there is none."""
    path = fetched(home, home.run(run) / BUDGET)
    document = read_json(path)["budget"] if path.exists() else None
    return None if document is None else parse_budget(document)


def month_spent(budget: BudgetConfig | None, book: CostBook) -> str | None:
    """Why no run may start this month, as a sentence; None if one may."""
    if budget is None or not budget.month.limited:
        return None
    month = month_of(datetime.now(UTC))
    reached = over(book.of_month(month), budget.month, budget)
    return None if reached is None else f"The budget of {month} is spent: {reached}."


def _all(spent: Spent) -> Spent:
    return spent


@dataclass
class Allowance:
    """The allowance of a step at work.

    `spent` tells what this attempt has spent, whose entry in the book has the key `key`, and `this_month` how much of
    that falls into the calendar month.
    """

    budget: BudgetConfig | None = None
    book: CostBook | None = None
    run: str = ""
    key: str = ""
    spent: Callable[[], Spent] = Spent
    this_month: Callable[[Spent], Spent] = _all
    _looked_at: float | None = None
    _looked_in: str = ""
    _run_before: Spent = field(default_factory=Spent)
    _month_before: Spent = field(default_factory=Spent)

    def check(self) -> None:
        """BudgetSpentError if the run, or all runs of this month, have spent what they may."""
        budget = self.budget
        if budget is None or self.book is None or not (budget.run.limited or budget.month.limited):
            return
        month = month_of(datetime.now(UTC))
        if self._looked_at is None or time.monotonic() - self._looked_at > LOOK_AGAIN_S or month != self._looked_in:
            self._look(budget, self.book, month)
        now = self.spent()
        for whose, spent, ceiling in (
            (f"of run {self.run}", self._run_before + now, budget.run),
            (f"of {month}", self._month_before + self.this_month(now), budget.month),
        ):
            reached = over(spent, ceiling, budget)
            if reached is not None:
                raise BudgetSpentError(f"The budget {whose} is spent: {reached}.", ceiling is budget.month)

    def _look(self, budget: BudgetConfig, book: CostBook, month: str) -> None:
        self._looked_at, self._looked_in = time.monotonic(), month
        if budget.run.limited:
            self._run_before = book.of_run(self.run, self.key)
        if budget.month.limited:
            self._month_before = book.of_month(month, self.key)
