"""How the chance of a false promotion is spent over the decisions that read one gate split; no state lives here."""

from __future__ import annotations

from evernas.errors import UsageError


def spent_alpha(alpha: float, decision: int) -> float:
    """The level of decision k = 1, 2, ...: alpha / (k (k + 1)). All together, however many, spend alpha at most.

    A union bound over decisions: it holds for candidates that were chosen knowing every earlier outcome.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}: give a chance between 0 and 1, such as 0.05.")
    if isinstance(decision, bool) or not isinstance(decision, int) or decision < 1:
        raise UsageError(f"The number of the decision is {decision!r}: count from 1.")
    return alpha / (decision * (decision + 1))
