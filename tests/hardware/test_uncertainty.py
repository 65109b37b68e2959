"""Which architectures are worth a measurement: those that a predictor knows least about, no two for the same reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.hardware.predictor import CostPredictor
from evernas.hardware.regression import FORMS
from evernas.hardware.uncertainty import Known, least_certain

FORM_NAMES = [form.name for form in FORMS]


def known(x: np.ndarray, y: np.ndarray, form: str, strength: float = 1e-3) -> Known:
    fitted = next(f for f in FORMS if f.name == form)
    weights = tuple(fitted.fit(x, y, strength).tolist())
    return Known(CostPredictor(form, strength, weights, float(y.min()), float(y.max()), len(y), 0.02, 0.03, 0.9), x, y)


def flat(rng: np.random.Generator, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Networks that hardly differ in their third feature."""
    x = np.column_stack([rng.uniform(1, 5, n), rng.uniform(1, 5, n), rng.uniform(1.0, 1.1, n)])
    return x, 1 + x.sum(axis=1)


@pytest.mark.parametrize("form", FORM_NAMES)
def test_what_is_beyond_all_that_was_measured_is_least_certain(form: str) -> None:
    x, y = flat(np.random.default_rng(0))
    candidates = np.array([[3, 3, 1.05], [2, 4, 1.05], [3, 3, 3.0], [4, 2, 1.06]])
    assert least_certain([known(x, y, form)], candidates, 1) == [2]


@pytest.mark.parametrize(("form", "elsewhere"), [("power", [90, 3, 1.05]), ("linear", [0, 0, 1.05])])
def test_after_one_was_chosen_its_neighbours_are_known(form: str, elsewhere: list[float]) -> None:
    x, y = flat(np.random.default_rng(0))
    candidates = np.array([[3, 3, 3.0], [3, 3, 2.99], [3, 3, 2.98], elsewhere])
    assert set(least_certain([known(x, y, form)], candidates, 2)) == {0, 3}


def test_candidates_that_are_alike_in_all_features_are_one() -> None:
    x, y = flat(np.random.default_rng(0))
    candidates = np.array([[3, 3, 2.0]] * 3 + [[2, 2, 1.0]])
    assert sorted(least_certain([known(x, y, "linear")], candidates, 9)) == [0, 3]
    assert least_certain([known(x, y, "linear")], np.empty((0, 3)), 3) == []


def test_where_the_front_hardly_differs_in_a_cost_a_little_of_it_is_much() -> None:
    """Two predictors of the same relative error, each of a feature of its own."""
    x = np.random.default_rng(0).uniform(0, 5, (30, 2))
    candidates = np.array([[40.0, 3], [2, 0.1], [3, 9], [0.1, 3]])
    wide, narrow = (
        known(x * of, (1 + (x * of).sum(1)) ** power, "power") for of, power in (([1, 0], 1), ([0, 1], 0.02))
    )
    assert least_certain([wide], candidates, 1) == [0]
    assert least_certain([narrow], candidates, 1) == [2]
    assert least_certain([wide, narrow], candidates, 1) == [2], "the first tells the candidates apart all the same"
    as_wide = known(x * [0, 1], 1 + x[:, 1], "power")
    assert least_certain([wide, as_wide], candidates, 1) == [0]


def test_without_a_predictor_nothing_is_uncertain() -> None:
    assert least_certain([], np.ones((3, 2)), 2) == []


def test_the_predictor_that_knows_least_decides() -> None:
    rng = np.random.default_rng(0)
    x, y = flat(rng)
    other = np.column_stack([x[:, 2], x[:, 1], x[:, 0]])
    candidates = np.array([[9, 3, 1.05], [3, 3, 1.05], [1.05, 3, 3]])
    first, second = known(x, y, "linear"), known(other, y, "linear")
    assert least_certain([first], candidates, 1) == [2]
    assert least_certain([second], candidates, 1) == [0]
    assert set(least_certain([first, second], candidates, 2)) == {0, 2}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(FORM_NAMES), st.integers(1, 6))
def test_the_choice_is_that_of_posterior_variances_computed_anew(seed: int, form: str, count: int) -> None:
    """The update in steps gives what the whole matrix gives, with the chosen ones as rows of it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 5, (20, 4))
    y = 1 + x @ rng.uniform(0.1, 1, 4)
    candidates = rng.uniform(0.5, 9, (8, 4))
    each = known(x, y, form)
    assert least_certain([each], candidates, count) == _plainly(each, candidates, count)


def _plainly(each: Known, candidates: np.ndarray, count: int) -> list[int]:
    logarithmic = each.predictor.form == "power"
    w = np.ones_like(each.values) if logarithmic else each.values.mean() / each.values
    made = np.log1p if logarithmic else np.asarray
    centre, scale = np.average(made(each.features), axis=0, weights=w**2), made(each.features).std(axis=0)
    a = (made(each.features) - centre) / scale * w[:, None]
    ridge = each.predictor.strength * np.trace(a.T @ a) / a.shape[1] * np.eye(a.shape[1])
    rows = (made(candidates) - centre) / scale
    v = np.ones(len(rows)) if logarithmic else each.values.mean() / each.predictor.predict(candidates)
    chosen: list[int] = []
    while len(chosen) < count:
        of = rows[chosen] * v[chosen, None]
        inverse = np.linalg.inv(a.T @ a + ridge + of.T @ of)
        constant = 1 / ((w**2).sum() + (v[chosen] ** 2).sum())
        spread = v**2 * (np.einsum("ij,jk,ik->i", rows, inverse, rows) + constant)
        spread[chosen] = -1
        chosen.append(int(np.argmax(spread)))
    return chosen
