"""What runs cost, what they may cost, and what of it is left; machine time is told by others."""

from evernas.budget.attempt import Attempt
from evernas.budget.book import CostBook
from evernas.budget.spending import BudgetSpentError, Spent, month_of, over

__all__ = ["Attempt", "BudgetSpentError", "CostBook", "Spent", "month_of", "over"]
