"""The bounds keep their word by simulation: false passes no more often than nominal, power as stated."""

from __future__ import annotations

import numpy as np
import pytest

from evernas.config_gate import GateConfig, PriceConfig, QualityConfig, TradeOffConfig
from evernas.gate import Claim, Evidence, Measured, decide
from evernas.gate.estimate import Clusters, cluster, clustered_mean, grouping, restart_mean
from evernas.gate.planning import Design, detectable
from evernas.gate.quality import losses, weight_of_one
from evernas.gate.trading import Part, worth_more


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
    histories = 250
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
    histories = 200
    estimates = [
        clustered_mean(clusters_of(rng.normal(0, 0.05, (domains, 1)) + rng.normal(0, 0.05, (domains, 8))), 5, 1000, h)
        for h in range(histories)
    ]
    assert {e.unit for e in estimates} == {"domains"}
    for level in (0.05, 0.01):
        share = np.mean([e.upper(level) < 0 for e in estimates])
        assert share <= level + 3 * np.sqrt(level * (1 - level) / histories)


@pytest.mark.parametrize("metric", ["macro_f1", "auroc"])
def test_a_true_zero_of_whole_domains_passes_no_more_often_than_nominal(metric: str) -> None:
    """Five domains with a rare class; which of two networks is the better one in a domain is a coin's toss."""
    rng = np.random.default_rng(2)
    quality, histories, size = QualityConfig(metric=metric), 120, 60
    labels = np.tile(np.repeat([0, 1, 2], [30, 24, 6]), 5)
    domains, groups = np.repeat([f"d{i}" for i in range(5)], size), np.tile(np.repeat(list("abcd"), size // 4), 5)
    grouped = grouping(domains, groups)
    of_one = weight_of_one(quality, labels, grouped, 3)

    def loss() -> np.ndarray:
        sharpness = np.repeat(rng.normal(1.5, 0.3, 5), size)[:, None]
        scores = sharpness * np.eye(3)[labels] + rng.normal(0, 1, (len(labels), 3))
        return losses(quality, scores.argmax(1), scores, labels, grouped, 3)

    estimates = [
        clustered_mean(cluster(loss() - loss(), domains, groups), 5, 1000, history, of_one)
        for history in range(histories)
    ]
    for level in (0.05, 0.01):
        share = np.mean([estimate.upper(level) < 0 for estimate in estimates])
        assert share <= level + 3 * np.sqrt(level * (1 - level) / histories)


def test_the_stated_detectable_gain_is_detected_four_times_in_five() -> None:
    rng = np.random.default_rng(3)
    level, effect, histories = 0.025, 0.005, 250
    gain = detectable(Design(42, 3, 0.1), level, effect)
    hits = sum(
        clustered_mean(clusters_of(rng.normal(-gain, 0.1, (3, 14))), 5, 1000, h).upper(level) <= -effect
        for h in range(histories)
    )
    assert 0.7 <= hits / histories <= 0.88


@pytest.mark.parametrize("kind", ["apart", "one noise in both"])
def test_a_true_zero_in_worth_passes_no_more_often_than_the_level_says(kind: str) -> None:
    """A candidate two points worse whose speed pays for exactly that; also where one disturbance moves both figures."""
    rng, histories = np.random.default_rng(5), 2000
    passes = dict.fromkeys((0.1, 0.05, 0.01), 0)
    for _ in range(histories):
        first = rng.normal(0, 1.0, 8)
        second = first if kind == "one noise in both" else rng.normal(0, 1.0, 8)
        parts = [
            Part("energy_mj", "energy", 2.0, 0.0, restart_mean(2.0 + first)),
            Part("latency_ms", "latency", 0.5, 0.0, restart_mean(-8.0 + 4 * second)),
        ]
        for level in passes:
            passes[level] += worth_more(parts, level, 0.0).passed
    for level, count in passes.items():  # within three standard errors of the level
        assert count / histories <= level + 3 * np.sqrt(level * (1 - level) / histories)
    assert passes[0.1] > 0.004 * histories, "and it is no bound that nothing passes"


def test_a_true_gain_of_just_the_minimum_effect_is_promoted_no_more_often_than_the_level_says() -> None:
    """The decision itself: error and latency drawn so that the worth is above the champion's by the effect exactly."""
    rng, histories, level, effect = np.random.default_rng(9), 250, 0.05, 1.0
    trade = TradeOffConfig(prices=PriceConfig(error=1.0, latency_ms=1.0), effect=effect)
    prices, labels = GateConfig(trade_off=trade, resamples=1000), np.ones(8 * 60, dtype=int)
    names = np.repeat([f"d{i}" for i in range(8)], 60)
    promoted = 0
    for history in range(histories):
        ours, theirs = ((rng.random(480) < rate).astype(int) for rate in (0.78, 0.80))
        latency = 10 + rng.normal(0, 0.5, 6)
        faster = latency - 3.0 + rng.normal(0, 0.5, 6)
        evidence = Evidence(
            Measured("new", ours, faster, None, 100.0),
            Measured("old", theirs, latency, None, 100.0),
            labels, names, np.tile(np.repeat(list("abcdef"), 10), 8),
        )  # fmt: skip
        verdict = decide(evidence, prices, claimed=Claim(1, level, 1), seed=history)
        promoted += next(reason for reason in verdict.reasons if reason.rule == "utility").passed
    assert promoted / histories <= level + 3 * np.sqrt(level * (1 - level) / histories)
