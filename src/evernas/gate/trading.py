"""A declared trade-off: what the candidate is worth beside another model, at prices, and the rules by worth; pure.

Worth is linear in each objective's own unit, not in its ratio to tonight's champion: so it is one figure of a model
whoever it is compared with, and a chain of promotions that each gain worth cannot lead in a circle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evernas.gate.estimate import Estimate, restart_mean
from evernas.gate.evidence import PER_RESTART, Measured
from evernas.gate.policy import OBJECTIVES, Prices, TradeOff
from evernas.gate.rules import Comparison
from evernas.gate.verdict import Reason
from evernas.gate.wording import METRIC_NAMES, UNITS, amount, confidence, joined, number, outcome, places

UTILITY = "utility"
POINTS = 100.0
"""In a share: error has a price per point, and is a share everywhere else."""


@dataclass(frozen=True, eq=False)
class Part:
    """What one priced objective adds to the loss of worth: `price` per unit of `change`; below 0 is a gain.

    `change` is the candidate's figure less the other model's, in the objective's unit, of error a share. `estimate` is
    of the change; None where the figure is exact. `allowance` is added to the estimate's bound.
    """

    objective: str
    called: str
    price: float
    change: float
    estimate: Estimate | None = None
    allowance: float = 0.0

    @property
    def loss(self) -> float:
        """The loss of worth by the measured figures."""
        return self.price * self.change

    def upper(self, level: float) -> float:
        """The largest loss of worth that the evidence leaves possible at this level."""
        if self.estimate is None:
            return self.loss
        return self.price * (self.estimate.upper(level) + self.allowance)

    def reach(self, level: float) -> float:
        """How far the bound lies above the measured loss, without the allowance."""
        return 0.0 if self.estimate is None else self.price * self.estimate.reach(level, above=True)


def priced(prices: Prices, objectives: Sequence[str]) -> list[str]:
    """The objectives that have a price, in the gate's order; error is compared always."""
    return [n for n in OBJECTIVES if (n == "error" or n in objectives) and getattr(prices, n) is not None]


def price_gaps(trade_off: TradeOff, objectives: Sequence[str]) -> Iterator[str]:
    """Sentences that say why nothing can be judged by these prices."""
    for name in OBJECTIVES:
        price = getattr(trade_off.prices, name)
        if price is None and name == "error":
            yield "gate.trade_off.prices has no price of error, and would take any: give one."
        if price is not None and not (math.isfinite(price) and price > 0):
            yield f"gate.trade_off.prices.{name} is {price}: give a positive number."
        if price is not None and name != "error" and name not in objectives:
            yield f"gate.trade_off.prices names {name}, which is not compared: add it to gate.objectives."
    if not (math.isfinite(trade_off.effect) and trade_off.effect >= 0):
        yield f"gate.trade_off.effect is {trade_off.effect}: give the least gain of worth that counts."


def part_of_error(comparison: Comparison, prices: Prices) -> Part:
    """The error's part, from its comparison with the champion or the anchor."""
    c = comparison
    return Part("error", c.called, POINTS * prices.error, c.change, c.estimate, c.allowance)


def measured_parts(candidate: Measured, other: Measured, prices: Prices, objectives: Sequence[str]) -> list[Part]:
    """The parts that need no gate split. What was measured with noise is paired process by process."""
    found = []
    for name in priced(prices, objectives):
        if name == "error":
            continue
        price, called = float(getattr(prices, name)), METRIC_NAMES[name]
        change = np.asarray(getattr(candidate, name), np.float64) - np.asarray(getattr(other, name), np.float64)
        if name in PER_RESTART:
            estimate = restart_mean(change)
            found.append(Part(name, called, price, estimate.value, estimate))
        else:
            found.append(Part(name, called, price, float(change)))
    return found


def each_level(parts: Sequence[Part], level: float) -> float:
    """The level of the bound of each part that was measured with noise.

    They share the level, so that the sum of their bounds is exceeded with its probability at most, whatever one part
    has to do with another (Bonferroni): the processes that take longer under load are those that cost more.
    """
    return level / max(sum(part.estimate is not None for part in parts), 1)


def worth_more(parts: Sequence[Part], level: float, effect: float) -> Reason:
    """The candidate is shown to be worth more than the champion by the minimum effect, and by more than nothing."""
    bound = _upper(parts, level)
    passed = bool(bound <= -effect and bound < 0)
    limit = f"the minimum effect is {_amount(effect, bound, -effect)}"
    return _reason(UTILITY, "champion", parts, level, -effect, limit, passed)


def worth_no_less(parts: Sequence[Part], level: float, margin: float) -> Reason:
    """The candidate is shown to be worth no less than the anchor beyond the margin."""
    bound = _upper(parts, level)
    limit = f"the margin is {_amount(margin, bound, margin)} less"
    return _reason("anchor", "anchor", parts, level, margin, limit, bool(bound <= margin))


def margin_of(trade_off: TradeOff) -> float:
    """How much less than the anchor is still no less: the minimum effect, if nothing is said of it."""
    return trade_off.effect if trade_off.margin is None else trade_off.margin


def gain_in_error(parts: Sequence[Part], trade_off: TradeOff, level: float) -> float:
    """The gain in error, a share, that pays for the minimum effect and for what was measured with noise besides.

    For a candidate that is equal in everything but error, as long as the bound of error is left out.
    """
    return (trade_off.effect + _reach_measured(parts, level)) / (POINTS * trade_off.prices.error)


def half_width(parts: Sequence[Part], trade_off: TradeOff, of_error: float, level: float) -> float:
    """The half-width of the interval of worth at this level of each part; `of_error` is the error's, a share."""
    return POINTS * trade_off.prices.error * of_error + _reach_measured(parts, level)


def _reach_measured(parts: Sequence[Part], level: float) -> float:
    return sum(part.reach(level) for part in parts if part.objective != "error")


def _upper(parts: Sequence[Part], level: float) -> float:
    return sum(part.upper(each_level(parts, level)) for part in parts)


def _reason(
    rule: str, against: str, parts: Sequence[Part], level: float, limit: float, said: str, passed: bool
) -> Reason:
    loss, bound = sum(part.loss for part in parts), _upper(parts, level)
    most = "at least" if bound < 0 else "at most"
    sentence = (
        f"At the declared prices the candidate is worth {_compared(loss, bound, limit)} than the {against} ({most} "
        f"{_compared(bound, bound, limit)} with {confidence(level)} confidence; {said}): "
        f"{joined([_told(part, bound, limit) for part in parts])}: {outcome(passed)}."
    )
    return Reason(rule, passed, loss, bound, limit, sentence)


def _told(part: Part, bound: float, limit: float) -> str:
    scale, unit = (POINTS, "points") if part.objective == "error" else (1.0, UNITS[part.objective])
    change = scale * part.change
    way = "higher" if change > 0 else "lower" if change < 0 else "the same"
    size = "" if change == 0 else f"{amount(abs(change))} {unit} "
    return f"{part.called} {size}{way} ({_compared(part.loss, bound, limit)})"


def _compared(loss: float, bound: float, limit: float) -> str:
    """A loss of worth as '1.2 less' or '0.3 more'."""
    return f"{_amount(abs(loss), bound, limit)} {'less' if loss > 0 else 'more'}"


def _amount(worth: float, bound: float, limit: float) -> str:
    """An amount of worth with the decimals that show the limit to two places, and the bound as another figure."""
    decimals = places(limit)
    while decimals < 9 and bound != limit and number(bound, decimals) == number(limit, decimals):
        decimals += 1
    return number(worth, decimals)
