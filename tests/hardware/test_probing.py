"""What later measurements say of a predictor: another day is not an error of it, and a wrong one is found."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.hardware.predictor import CostPredictor, Networks
from evernas.hardware.probing import anchors_of, compare, fit_again

X = np.random.default_rng(0).uniform(1, 5, (30, 3))
Y = 0.2 + X.sum(axis=1)
EARLIER = {f"n{number}": float(y) for number, y in enumerate(Y)}
PREDICTOR = CostPredictor.fit(X, Y)
PROBES = {f"p{number}": row for number, row in enumerate(np.random.default_rng(1).uniform(1, 5, (5, 3)))}
TRUE = {name: 0.2 + float(row.sum()) for name, row in PROBES.items()}


def networks(x: np.ndarray, y: np.ndarray) -> Networks:
    return Networks(x, y, np.eye(len(x), 30), 1)


def today(times: float, **others: float) -> dict[str, float]:
    anchors = {name: EARLIER[name] * times for name in anchors_of(EARLIER)}
    return {**anchors, **{name: times * ms for name, ms in TRUE.items()}, **others}


def test_anchors_are_spread_over_the_range() -> None:
    figures = {f"n{number}": float(number) for number in range(10)}
    assert anchors_of(figures) == ["n0", "n3", "n6", "n9"]
    assert anchors_of({"a": 1.0, "b": 2.0}) == ["a", "b"]


@pytest.mark.parametrize("times", [0.7, 1.0, 1.2, 3.0])
def test_a_device_that_is_uniformly_slower_today_leaves_no_band(times: float) -> None:
    found = compare("latency_ms", PREDICTOR, PROBES, EARLIER, today(times))
    assert found is not None
    assert found.drift == pytest.approx(times)
    assert found.outside == []
    again = fit_again(networks(X, Y), networks(np.stack([*PROBES.values()]), times * np.array([*TRUE.values()])), found)
    assert again.networks == 35
    assert again.predict(X) == pytest.approx(times * Y, rel=0.02)


def test_memory_does_not_follow_the_speed_of_the_machine() -> None:
    slower = compare("peak_memory_mb", PREDICTOR, PROBES, EARLIER, today(1.5))
    assert slower is not None
    assert slower.drift == 1.0
    assert slower.anchors == pytest.approx([1.5] * 4)
    assert set(slower.outside) == set(PROBES)


def test_one_probe_beyond_the_band_is_found_to_either_side() -> None:
    for times in (1.3, 1 / 1.3):
        found = compare("latency_ms", PREDICTOR, PROBES, EARLIER, today(1.1, p3=1.1 * times * TRUE["p3"]))
        assert found is not None
        assert found.outside == ["p3"]
        assert found.to_json()["ratios"]["p3"] == pytest.approx(times, rel=0.05)


def test_without_an_anchor_or_without_a_probe_nothing_is_compared() -> None:
    assert compare("latency_ms", PREDICTOR, PROBES, EARLIER, TRUE) is None
    assert compare("latency_ms", PREDICTOR, PROBES, EARLIER, {"n0": 1.0}) is None
