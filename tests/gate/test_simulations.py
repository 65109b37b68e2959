"""The bounds keep their word by simulation: false passes no more often than nominal, power as stated."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.gate.estimate import Clusters, clustered_mean
from evernas.gate.planning import Design, detectable


def clusters_of(recordings: np.ndarray, windows: float = 26) -> Clusters:
    names = tuple(f"d{i}" for i in range(len(recordings)))
    return Clusters(names, tuple(recordings), (windows,) * len(recordings))


def draw(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Differences per recording whose true mean is zero."""
    if kind == "normal":
        return rng.normal(0, 0.1, shape)
    if kind == "two models":
        base = rng.normal(-2, 1.5, shape)
        wrong = [rng.binomial(26, 1 / (1 + np.exp(-base - rng.normal(0, 1, shape)))) / 26 for _ in range(2)]
        return wrong[0] - wrong[1]
    if kind == "whole recordings flip":
        return rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=shape)
    assert kind == "mostly small wins, some large losses"
    return rng.beta(0.2, 1, shape) - 0.2 / 1.2


@pytest.mark.parametrize(
    "kind", ["normal", "two models", "whole recordings flip", "mostly small wins, some large losses"]
)
def test_a_true_zero_passes_no_more_often_than_nominal_with_three_domains(kind: str) -> None:
    rng = np.random.default_rng(11)
    histories = 400
    passes = {0.05: 0, 0.01: 0}
    for history in range(histories):
        estimate = clustered_mean(clusters_of(draw(kind, rng, (3, 14))), 5, 1000, history)
        for level in passes:
            passes[level] += estimate.upper(level) < 0
    for level, count in passes.items():  # within three standard errors of the nominal share
        assert count / histories <= level + 3 * np.sqrt(level * (1 - level) / histories)


@pytest.mark.parametrize("domains", [5, 10, 20])
def test_a_true_zero_over_domains_passes_no_more_often_than_nominal(domains: int) -> None:
    rng = np.random.default_rng(domains)
    histories = 300
    estimates = [
        clustered_mean(clusters_of(rng.normal(0, 0.05, (domains, 1)) + rng.normal(0, 0.05, (domains, 8))), 5, 1000, h)
        for h in range(histories)
    ]
    assert {e.unit for e in estimates} == {"domains"}
    for level in (0.05, 0.01):
        share = np.mean([e.upper(level) < 0 for e in estimates])
        assert share <= level + 3 * np.sqrt(level * (1 - level) / histories)


def test_the_stated_detectable_gain_is_detected_four_times_in_five() -> None:
    rng = np.random.default_rng(3)
    level, effect, histories = 0.025, 0.005, 400
    gain = detectable(Design(42, 3, 0.1), level, effect)
    hits = sum(
        clustered_mean(clusters_of(rng.normal(-gain, 0.1, (3, 14))), 5, 1000, h).upper(level) <= -effect
        for h in range(histories)
    )
    assert 0.72 <= hits / histories <= 0.88
