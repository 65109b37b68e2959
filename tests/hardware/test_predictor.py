"""The latency model: what it learns from few networks, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.errors import IntegrityError, UsageError
from evernas.hardware.predictor import CostPredictor, predictors_from_json, predictors_to_json
from evernas.hardware.regression import spearman


def costs_and_latency(networks: int = 40, noise: float = 0.02, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Layers, MACs and bytes of random networks, one cost being constant, and an additive latency with noise."""
    rng = np.random.default_rng(seed)
    layers = rng.integers(8, 30, networks)
    macs = rng.uniform(2e5, 4e6, networks)
    moved = rng.uniform(1e4, 4e5, networks)
    x = np.column_stack([layers, macs, moved, np.full(networks, 96.0), macs + moved, rng.integers(0, 3, networks)])
    y = (0.01 + 2e-3 * layers + 3e-8 * macs + 1e-7 * moved) * np.exp(noise * rng.standard_normal(networks))
    return x.astype(np.float64), y


def test_forty_networks_predict_networks_never_seen() -> None:
    x, y = costs_and_latency()
    predictor = CostPredictor.fit(x, y)
    unseen, truth = costs_and_latency(networks=200, noise=0.0, seed=1)
    error = np.abs(predictor.predict(unseen) / truth - 1)
    assert np.median(error) < 0.03
    assert spearman(predictor.predict(unseen), truth) > 0.98
    assert predictor.median_abs_error == pytest.approx(0.02, abs=0.015)
    assert predictor.spearman > 0.97


def test_a_latency_that_is_a_product_of_costs_is_learned_too() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(10, 1000, (40, 2))
    predictor = CostPredictor.fit(x, 1e-3 * x[:, 0] ** 0.7 * x[:, 1] ** 0.5)
    assert predictor.form == "power"
    assert predictor.median_abs_error < 0.01


def test_the_stated_error_is_of_networks_left_out_so_noise_is_not_learned() -> None:
    rng = np.random.default_rng(0)
    predictor = CostPredictor.fit(rng.uniform(0, 1, (20, 26)), rng.uniform(0.1, 1.0, 20))
    assert predictor.median_abs_error > 0.2
    assert predictor.spearman < 0.7


def test_json_keeps_every_bit_and_the_fit_is_repeatable() -> None:
    x, y = costs_and_latency()
    predictor = CostPredictor.fit(x, y)
    document = json.loads(json.dumps(predictors_to_json({"latency_ms": predictor, "energy_mj": predictor})))
    found = predictors_from_json(document)
    again = found["energy_mj"]
    assert list(found) == ["latency_ms", "energy_mj"]
    assert again == found["latency_ms"] == predictor == CostPredictor.fit(x, y)
    np.testing.assert_array_equal(again.predict(x), predictor.predict(x))
    assert predictor.predict(x[0]).shape == ()


@pytest.mark.parametrize("change", [{"version": 9}, {"version": 1}, {"form": "cubic"}, {"weights": None}])
def test_json_of_another_form_is_refused(change: dict[str, object]) -> None:
    document = predictors_to_json({"latency_ms": CostPredictor.fit(*costs_and_latency())})
    changed = {
        "version": change.get("version", document["version"]),
        "costs": {"latency_ms": {**document["costs"]["latency_ms"], **change}},
    }
    with pytest.raises(IntegrityError, match="no predictors of version 2"):
        predictors_from_json(changed if change != {"version": 1} else document["costs"]["latency_ms"])


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1e12), st.integers(0, 5))
def test_no_costs_give_a_latency_that_is_not_positive(cost: float, column: int) -> None:
    x, y = costs_and_latency(12)
    predictor = CostPredictor.fit(x, y)
    odd = x[:1].copy()
    odd[0, column] = cost
    assert np.isfinite(predictor.predict(odd)).all()
    assert (predictor.predict(odd) >= 0.1 * y.min()).all()


def test_too_few_or_impossible_values_are_refused_with_a_sentence() -> None:
    x, y = costs_and_latency()
    with pytest.raises(UsageError, match="has 7 networks, a predictor needs 8"):
        CostPredictor.fit(x[:7], y[:7])
    with pytest.raises(UsageError, match="not positive and finite"):
        CostPredictor.fit(x, np.where(y == y[0], np.nan, y))
    with pytest.raises(UsageError, match="negative or not finite"):
        CostPredictor.fit(-x, y)
    with pytest.raises(UsageError, match="do not belong together"):
        CostPredictor.fit(x, y[:-1])
    with pytest.raises(UsageError, match="give 6 finite numbers"):
        CostPredictor.fit(x, y).predict(x[:, :5])


def test_equal_networks_do_not_stop_the_fit() -> None:
    predictor = CostPredictor.fit(np.ones((8, 3)), np.full(8, 0.25))
    assert predictor.predict(np.ones(3)) == pytest.approx(0.25)
    assert predictor.spearman == 0.0
