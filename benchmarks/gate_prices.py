"""A year of nights by declared prices: candidates whose speed pays for exactly what they lose, before two gates."""

from __future__ import annotations

import numpy as np
from gate_adversaries import Histories
from gate_gates import TOLERANCE, Gate, Ours, Screen, factor_of, mean_and_error
from gate_world import PER_DOMAIN, Bits, Floats, Night, draw, night, restarts

from evernas.config import GateConfig

ADVERSARY = "no gain in worth"
# The champion takes a millisecond: a hundredth of it is worth a fifth of a point of error.
POINT, MILLISECOND, EFFECT = 1.0, 20.0, 0.5
POLICY = GateConfig.model_validate(
    {"trade_off": {"prices": {"error": POINT, "latency_ms": MILLISECOND}, "effect": EFFECT}}
)
TRADED_POINTS = 1.5


def loss_of_worth(tonight: Night) -> Floats:
    """By the measured figures, per history."""
    latency_ms = np.exp(tonight.ratio).mean(axis=1) - 1
    return 100 * POINT * tonight.worse.mean(axis=1) + MILLISECOND * latency_ms


def by_prices(tonight: Night, levels: Floats) -> Screen:
    """A night as the rule of worth sees it."""
    at = np.maximum(levels, 1e-300) / 2
    error, spread = mean_and_error(tonight.worse, 1 / PER_DOMAIN)
    latency, jitter = mean_and_error(np.exp(tonight.ratio) - 1, 0.0)
    of_error = np.array([factor_of(level, tonight.worse.shape[1] - 1) for level in at])
    of_latency = np.array([factor_of(level, tonight.ratio.shape[1] - 1) for level in at])
    upper = 100 * POINT * (error + of_error * spread) + MILLISECOND * (latency + of_latency * jitter)
    near = loss_of_worth(tonight) <= -EFFECT + TOLERANCE
    shown = {"utility": upper <= -EFFECT + TOLERANCE}
    return Screen(levels > 0, near, shown, {"utility": np.zeros(len(near), dtype=bool)})


class OursByPrices(Ours):
    """evernas.gate with a declared trade-off."""

    name = "evernas by prices"

    def __init__(self, histories: int, seed: int) -> None:
        super().__init__(histories, seed, POLICY)

    def screen(self, tonight: Night) -> Screen:
        return by_prices(tonight, self.levels())


class MeasuredWorth(Gate):
    """Worth more by the measured figures, by however little."""

    name = "measured worth greater"

    def promotes(self, tonight: Night) -> Bits:
        return loss_of_worth(tonight) < 0


def no_gain_in_worth(gate: Gate, nights: int, rng: np.random.Generator) -> Histories:
    """Candidates worth exactly as much as the champion: equal; worse and as much faster; better and as much slower.

    Whatever is promoted is promoted falsely.
    """
    count = gate.histories
    worse = np.choose(np.arange(count) % 3, [0.0, TRADED_POINTS, -TRADED_POINTS])
    false = np.zeros(count, dtype=bool)
    for _ in range(nights):
        won, lost = draw(rng, count, -worse / 100)
        false |= gate.night(night(won, lost, restarts(rng, count, -POINT * worse / MILLISECOND)))
    return Histories(false, gate.promotions.astype(float))


GATES = (OursByPrices, MeasuredWorth)
