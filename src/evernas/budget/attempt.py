"""What one attempt at a step writes into the book of costs: an entry for each calendar month that it works in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, datetime

from evernas.budget.book import CostBook, key_of
from evernas.budget.spending import Spent, month_of


def _now() -> datetime:
    return datetime.now(UTC)


class Attempt:
    """An attempt's entries, named by `part` within its run; it is asked and written to by several threads."""

    def __init__(self, book: CostBook, run: str, part: str, clock: Callable[[], datetime] = _now) -> None:
        self._book, self._run, self._part, self._clock = book, run, part, clock
        self._month = month_of(clock())
        # What was spent before this month, and what is still to be written of months that are over.
        self._before = Spent()
        self._over: dict[str, Spent] = {}
        self._counting, self._writing = threading.Lock(), threading.Lock()

    @property
    def key(self) -> str:
        """The key of its entry of this month."""
        return key_of(self._month, self._run, self._part)

    def this_month(self, spent: Spent) -> Spent:
        """How much of what it has spent up to now falls into this month."""
        return self._split(spent)[1]

    def write(self, spent: Spent, ended: bool = False) -> None:
        """Write what it has spent up to now; `ended` when it spends no more."""
        with self._writing:
            month, amount = self._split(spent)
            for over, all_of_it in list(self._over.items()):
                self._book.write(over, self._run, self._part, all_of_it, ended=True)
                del self._over[over]
            self._book.write(month, self._run, self._part, amount, ended)

    def _split(self, spent: Spent) -> tuple[str, Spent]:
        """This month, and what falls into it; at its first look the month before is over."""
        with self._counting:
            month = month_of(self._clock())
            if month != self._month:
                self._over[self._month] = spent - self._before
                self._month, self._before = month, spent
            # A thread may tell what it read before another turned the month.
            since = spent - self._before
            return month, Spent(*(max(amount, type(amount)()) for amount in astuple(since)))
