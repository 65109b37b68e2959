"""Amounts of work, their price, and whether they reach a limit; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from evernas.config_budget import BudgetConfig, CeilingConfig, PriceListConfig
from evernas.errors import EvernasError

HOUR_S = 3600.0
NAMES = {"evaluations": "evaluations", "cpu_hours": "CPU hours", "gpu_hours": "GPU hours"}


class BudgetSpentError(EvernasError):
    """A limit of the budget is reached: the run stops here. `of_month` where it is the month's."""

    def __init__(self, sentence: str, of_month: bool) -> None:
        super().__init__(sentence)
        self.of_month = of_month


@dataclass(frozen=True)
class Spent:
    """An amount of work: evaluations, and seconds of processors and of accelerators."""

    evaluations: int = 0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.evaluations + other.evaluations,
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
        )

    def __sub__(self, other: Spent) -> Spent:
        return Spent(
            self.evaluations - other.evaluations,
            round(self.cpu_seconds - other.cpu_seconds, 3),
            round(self.gpu_seconds - other.gpu_seconds, 3),
        )

    def money(self, prices: PriceListConfig) -> float:
        """What it costs."""
        return (self.cpu_seconds * prices.cpu_hour + self.gpu_seconds * prices.gpu_hour) / HOUR_S

    def amounts(self, prices: PriceListConfig) -> dict[str, float]:
        """The amounts by the names of the limits."""
        return {
            "evaluations": float(self.evaluations),
            "cpu_hours": self.cpu_seconds / HOUR_S,
            "gpu_hours": self.gpu_seconds / HOUR_S,
            "money": self.money(prices),
        }


def month_of(moment: datetime) -> str:
    """The calendar month of a moment, as 2026-11."""
    return f"{moment:%Y-%m}"


def over(spent: Spent, ceiling: CeilingConfig, budget: BudgetConfig) -> str | None:
    """Which limit an amount has reached, in words; None if it has reached none."""
    amounts = spent.amounts(budget.prices)
    for name, limit in ceiling.limited.items():
        if amounts[name] >= limit:
            return told(name, amounts[name], limit, budget.currency)
    return None


def told(name: str, amount: float, limit: float | None, currency: str) -> str:
    """An amount beside its limit, in words."""
    unit = currency if name == "money" else NAMES[name]
    of = "" if limit is None else f" of {limit:g}"
    return f"{amount:.4g}{of} {unit}"
