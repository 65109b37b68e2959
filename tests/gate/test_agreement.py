"""The gate's answers beside the device's: counted, bounded, and exactly equal where the scores are."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.gate import Agreement, agreement


@pytest.mark.parametrize(
    ("compared", "differing", "level", "expected"),
    # scipy.stats.beta.isf(level, differing + 1, compared - differing)
    [(1000, 3, 0.01, 0.0100098), (1000, 0, 0.01, 0.0045946), (50, 49, 0.05, 0.99897), (20, 10, 0.1, 0.66183)],
)
def test_the_bound_is_clopper_and_pearson_s(compared: int, differing: int, level: float, expected: float) -> None:
    assert Agreement(compared, differing).upper(level) == pytest.approx(expected, rel=1e-4)


def test_all_differing_or_nothing_compared_bounds_nothing() -> None:
    assert Agreement(5, 5).upper(0.01) == 1
    assert Agreement(0, 0).upper(0.01) == 1


def test_equal_scores_need_no_bound() -> None:
    assert Agreement(5, 0, same_scores=True).upper(1e-9) == 0


def test_answers_are_compared_one_by_one() -> None:
    here, there = np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])
    assert agreement(here, there, "a", "b") == Agreement(4, 2, False)
    assert agreement(here, here, "a", "b") == Agreement(4, 0, False)
    assert agreement(here, here, "a", "a") == Agreement(4, 0, True)
    assert agreement(here, here) == Agreement(4, 0, False)
    with pytest.raises(ValueError, match="4 answers here and 3 of the device"):
        agreement(here, there[:3])
