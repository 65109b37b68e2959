"""How the chance of a false promotion is spent over the decisions that read one gate split; no state lives here.

Every candidate may depend on all that earlier decisions said of the split. So the union bound runs over every
decision *and* every record of what could have been said before it (the description length of Dwork, Feldman, Hardt,
Pitassi, Reingold & Roth 2015, 'Generalization in Adaptive Data Analysis and Holdout Reuse', section 3; the argument of
Blum & Hardt 2015, 'The Ladder', and of ease.ml/ci, Renggli et al. 2019, section 4.1). A hold that tells nothing leaves
one record only, and is free; whatever tells something divides the level of all decisions after it by how many other
things it might have told, and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evernas.errors import UsageError

# What a decision can tell of the split, that it promoted or which one rule kept it from it, and how likely each is
# taken to be beforehand: what is likely costs less. The union bound holds for any such numbers that sum to 1 over what
# one decision can tell: that is `better` by margins and `utility` by prices, never both, and which of the two is
# settled by what was told before.
KINDS = {
    "promotion": 1 / 2,
    "better": 1 / 4,
    "utility": 1 / 4,
    "no_worse:error": 1 / 24,
    "anchor": 1 / 24,
    "constraint:error": 1 / 24,
    "floor:error": 1 / 24,
    "floor:classes": 1 / 24,
    "domains": 1 / 24,
}
# A device's first decision without a champion is expected to promote; anything else is the surprise.
FIRST = "first:"
_FIRST_PROMOTES = 0.75
# The part of alpha that is kept for decisions before which exactly m things were told: 2/3, 2/9, 2/27, ...
_KEPT = 2 / 3


@dataclass(frozen=True)
class Claim:
    """The right to one decision: its number from 1, the chance of a false promotion it may take, how many are left."""

    decision: int
    level: float
    left: int

    @property
    def spent(self) -> bool:
        """Whether there is nothing left to decide with."""
        return self.level <= 0


def claim(alpha: float, decisions: int, told: Sequence[str | None] = (), spent: float = 0.0) -> Claim:
    """The next decision on a split whose earlier ones told `told` (None: a hold that told nothing), oldest first.

    `decisions` is how many the split is good for; the one after has level 0. `spent` is the sum of the levels of the
    earlier ones: what is left of alpha bounds the level however often alpha or `decisions` were changed meanwhile.
    An entry of a device's first decision without a champion is `telling(kind, first=True)`.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"gate.alpha is {alpha}: give a chance between 0 and 1, such as 0.05.")
    if isinstance(decisions, bool) or not isinstance(decisions, int) or decisions < 1:
        raise UsageError(f"gate.decisions is {decisions!r}: give how many decisions a gate split is good for.")
    number = len(told) + 1
    if number > decisions:
        return Claim(number, 0.0, 0)
    weight, since = _KEPT, 0
    for entry in told:
        since += 1
        kind, factor = _decoded(entry)
        weight *= factor
        if kind is not None:
            weight *= (1 - _KEPT) * share(since, decisions) * KINDS[kind]
            since = 0
    level = alpha * weight * share(since + 1, decisions)
    return Claim(number, max(min(level, alpha - spent), 0.0), decisions - number)


def telling(kind: str | None, first: bool) -> str | None:
    """The entry of a decision for `claim`: what it told, and whether it was a device's first without a champion."""
    return f"{FIRST}{kind or 'hold'}" if first else kind


def _decoded(entry: str | None) -> tuple[str | None, float]:
    """What was told beyond what was expected, and the likelihood of the expectation that it met or broke."""
    if entry is None:
        return None, 1.0
    kind, factor = entry, 1.0
    if entry.startswith(FIRST):
        kind = entry.removeprefix(FIRST)
        if kind == "promotion":
            return None, _FIRST_PROMOTES
        factor = 1 - _FIRST_PROMOTES
        if kind == "hold":
            return None, factor
    if kind not in KINDS:
        raise UsageError(f"A decision cannot have told {entry!r}: it tells one of {', '.join(KINDS)}.")
    return kind, factor


def share(gap: int, decisions: int) -> float:
    """The part of a weight that decision `gap` = 1, 2, ..., `decisions` after the last news has: together below 1.

    Half falls as 1 / (g (g + 1)), for projects that are young; half is even, so that the last has no less than the
    hundredth.
    """
    return 0.5 / (gap * (gap + 1)) + 0.5 / decisions
