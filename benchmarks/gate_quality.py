"""How often the gate's bound passes a true zero of macro-F1 and AUROC, which are figures of whole domains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evernas.config import GateConfig
from evernas.config_gate import QualityConfig
from evernas.gate.estimate import cluster, clustered_mean, grouping
from evernas.gate.quality import losses, weight_of_one

# Of a domain's 60 samples a tenth are of the rarest class.
COUNTS = (30, 24, 6)
RECORDINGS = 4
SHARPNESS, DOMAIN_SD = 1.5, 0.3


def shares(metric: str, domains: int, levels: Sequence[float], times: int, seed: int) -> dict[float, float]:
    """The share of simulations, by level, in which two networks that are equally good are told apart.

    Which of the two is the better one in a domain, and by how much, is chance: their mean difference is zero.
    """
    rng = np.random.default_rng([seed, domains])
    quality, policy, size = QualityConfig.model_validate({"metric": metric}), GateConfig(), sum(COUNTS)
    labels = np.tile(np.repeat(np.arange(len(COUNTS)), COUNTS), domains)
    names = np.repeat([f"d{n:02d}" for n in range(domains)], size)
    groups = np.tile(np.repeat([f"r{n}" for n in range(RECORDINGS)], size // RECORDINGS), domains)
    grouped = grouping(names, groups)
    of_one = weight_of_one(quality, labels, grouped, len(COUNTS))

    def loss() -> NDArray[np.float64]:
        sharpness = np.repeat(rng.normal(SHARPNESS, DOMAIN_SD, domains), size)[:, None]
        scores = sharpness * np.eye(len(COUNTS))[labels] + rng.normal(0, 1, (len(labels), len(COUNTS)))
        return losses(quality, scores.argmax(1), scores, labels, grouped, len(COUNTS))

    passed = dict.fromkeys(levels, 0)
    for time in range(times):
        clusters = cluster(loss() - loss(), names, groups)
        estimate = clustered_mean(clusters, policy.min_domains, 1000, time, of_one)
        for level in levels:
            passed[level] += estimate.upper(level) < 0
    return {level: count / times for level, count in passed.items()}
