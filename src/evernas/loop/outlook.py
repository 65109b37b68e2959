"""A run's estimate beside its budget: what of it would be left, and which limit would stop it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from evernas.budget import Spent, month_of
from evernas.budget.spending import NAMES, told
from evernas.config import Config
from evernas.config_budget import CeilingConfig
from evernas.state import Home
from evernas.steps.allowance import book_of


@dataclass(frozen=True)
class Outlook:
    """Amounts by the limits' names. `stops_at` has the limits that the estimate reaches: `run` or `month`, and name."""

    currency: str
    month: str
    estimate: dict[str, float]
    run_limits: dict[str, float]
    month_spent: dict[str, float]
    month_limits: dict[str, float]
    stops_at: list[tuple[str, str]]

    def lines(self) -> list[str]:
        """For a person."""
        found = [f"Budget of the run: {self._told(self.estimate, self.run_limits)}."] if self.run_limits else []
        if self.month_limits:
            spent = self._told(self.month_spent, self.month_limits)
            more = self._told({name: self.estimate[name] for name in self.month_limits}, {})
            found.append(f"Budget of {self.month}: {spent} spent; this run takes about {more}.")
        for whose, name in self.stops_at:
            of = "run" if whose == "run" else f"month {self.month}"
            unit = self.currency if name == "money" else NAMES[name]
            found.append(
                f"The run would reach the budget of the {of} in {unit}, and stop there with the champions as they are."
            )
        return found

    def _told(self, amounts: dict[str, float], limits: dict[str, float]) -> str:
        names = limits or amounts
        return ", ".join(told(name, amounts[name], limits.get(name), self.currency) for name in names)


def outlook_of(config: Config, home: Home, estimate: Spent) -> Outlook | None:
    """The outlook of a run that should cost so much; None where there is no budget."""
    budget = config.budget
    if budget is None:
        return None
    month = month_of(datetime.now(UTC))
    planned = estimate.amounts(budget.prices)
    spent = book_of(home, config.project).of_month(month).amounts(budget.prices)
    after = {name: spent[name] + planned[name] for name in planned}
    stops = [
        (whose, name)
        for whose, amounts, ceiling in (("run", planned, budget.run), ("month", after, budget.month))
        for name in _reached(amounts, ceiling)
    ]
    return Outlook(budget.currency, month, planned, budget.run.limited, spent, budget.month.limited, stops)


def _reached(amounts: dict[str, float], ceiling: CeilingConfig) -> list[str]:
    return [name for name, limit in ceiling.limited.items() if amounts[name] >= limit]
