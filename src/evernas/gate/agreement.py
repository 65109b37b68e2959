"""How far the gate's answers may be from the device's for the same bytes: a count of differences and its bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evernas.gate.student import regularised_beta

# The part of a decision's level that bounding the disagreement takes; the rules have the rest.
SHARE = 0.1


@dataclass(frozen=True)
class Agreement:
    """Of `compared` answers on the search split, `differing` were another class on the device than in the gate.

    `same_scores` says that every score was equal bit for bit: then both ran the same computation, and the gate's
    answers are the device's.
    """

    compared: int
    differing: int
    same_scores: bool = False

    def upper(self, level: float) -> float:
        """Upper bound of the share of answers that differ (Clopper & Pearson 1934); 0 for equal scores."""
        if self.same_scores:
            return 0.0
        if self.differing >= self.compared:
            return 1.0
        low, high = self.differing / self.compared, 1.0
        while high - low > 1e-12:
            middle = (low + high) / 2
            # The chance of so few differences or fewer, were the share `middle`.
            few = regularised_beta(1 - middle, self.compared - self.differing, self.differing + 1)
            low, high = (middle, high) if few > level else (low, middle)
        return high


def agreement(
    here: NDArray[Any], there: NDArray[Any], scores_here: str | None = None, scores_there: str | None = None
) -> Agreement:
    """Compare the classes answered here and on the device; digests of the scores say whether these were equal."""
    if len(here) != len(there):
        raise ValueError(f"There are {len(here)} answers here and {len(there)} of the device: answer the same samples.")
    same = scores_here is not None and scores_here == scores_there
    return Agreement(len(here), int(np.sum(np.asarray(here) != np.asarray(there))), same)
