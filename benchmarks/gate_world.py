"""A gate split in simulation: 50 domains of 400 samples, on which models differ by luck or by a true gain.

A fifth of the samples is hard: on them any model answers right with the chance 1/2, whatever it does, so answers there
are pure luck, and what an adversary learns of them is worth nothing on new data. Two models that answer them
independently differ in correctness on a tenth of all samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evernas.config import BenchmarkConfig
from evernas.gate import Evidence, Measured

DOMAINS, RECORDINGS, PER_RECORDING, HARD_PER_RECORDING = 50, 8, 50, 10
PER_DOMAIN = RECORDINGS * PER_RECORDING
HARD = RECORDINGS * HARD_PER_RECORDING
EASY = PER_DOMAIN - HARD
DOMAIN_SD = 0.005
RESTARTS = BenchmarkConfig().restarts
LATENCY_SD = 0.01

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

# An answer is 1 where it is right.
LABELS = np.ones(DOMAINS * PER_DOMAIN, dtype=np.int64)
NAMES = np.repeat(np.array([f"d{i:02d}" for i in range(DOMAINS)]), PER_DOMAIN)
GROUPS = np.tile(np.repeat(np.array([f"r{i}" for i in range(RECORDINGS)]), PER_RECORDING), DOMAINS)


@dataclass(frozen=True)
class Night:
    """What every history sends to its gate: domain means of the difference to the champion (and the anchor), restarts.

    `worse` is (histories, domains); `ratio` is (histories, restarts), the log of the latency ratio. `won` and `lost`
    are (histories, domains): on how many samples only the candidate, only the champion is right.
    """

    worse: Floats
    ratio: Floats
    won: NDArray[np.int64]
    lost: NDArray[np.int64]
    worse_than_anchor: Floats | None = None
    won_of_anchor: NDArray[np.int64] | None = None
    lost_to_anchor: NDArray[np.int64] | None = None

    def evidence(self, history: int) -> Evidence:
        """What the real gate is given of one history: outcomes of single samples, restarts, sizes."""
        ratio = self.ratio[history]
        base = np.zeros(RESTARTS)
        wrong = self.lost[history]
        if self.lost_to_anchor is not None:
            wrong = np.maximum(wrong, self.lost_to_anchor[history])
        candidate = _right(np.arange(PER_DOMAIN) >= wrong[:, None])
        anchor = None
        if self.won_of_anchor is not None and self.lost_to_anchor is not None:
            anchor = Measured("anchor", rival(wrong, self.won_of_anchor[history], self.lost_to_anchor[history]))
        return Evidence(
            Measured("candidate", candidate, np.exp(base + ratio), size_kb=100.0),
            Measured("champion", rival(wrong, self.won[history], self.lost[history]), np.exp(base), size_kb=100.0),
            LABELS,
            NAMES,
            GROUPS,
            anchor=anchor,
        )


def night(won: NDArray[np.int64], lost: NDArray[np.int64], ratio: Floats) -> Night:
    """A night from the counts of samples on which exactly one of the two models is right."""
    return Night((lost - won) / PER_DOMAIN, ratio, won, lost)


def with_anchor(of: Night, won: NDArray[np.int64], lost: NDArray[np.int64]) -> Night:
    """The same night beside an anchor, by the counts of samples on which exactly one of the two is right."""
    return Night(of.worse, of.ratio, of.won, of.lost, (lost - won) / PER_DOMAIN, won, lost)


def rival(wrong: NDArray[np.int64], won: NDArray[np.int64], lost: NDArray[np.int64]) -> Bits:
    """Outcomes of a model beside a candidate that is wrong on the first `wrong` samples of each domain.

    The candidate alone is right on `won` of them a domain, the rival alone on `lost`.
    """
    place = np.arange(PER_DOMAIN)
    first = wrong[:, None]
    alone = place < lost[:, None]
    return _right(alone | (place >= first + won[:, None]))


def _right(by_place: Bits) -> Bits:
    """Outcomes of samples, whose places take turns over the recordings."""
    turns = np.arange(PER_DOMAIN).reshape(RECORDINGS, PER_RECORDING).T.ravel()
    placed = np.empty((DOMAINS, PER_DOMAIN), dtype=bool)
    placed[:, turns] = by_place
    return placed.ravel()


def draw(
    rng: np.random.Generator, histories: int, gain: Floats | float, discordant: float = 0.1
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts won and lost of candidates with this true gain (a share), which varies between domains."""
    of_domain = np.asarray(gain)[..., None] + rng.normal(0, DOMAIN_SD, (histories, DOMAINS))
    either = rng.binomial(PER_DOMAIN, np.clip(np.maximum(discordant, np.abs(of_domain)), 0, 1), (histories, DOMAINS))
    share = np.clip((1 + of_domain / np.maximum(discordant, np.abs(of_domain))) / 2, 0, 1)
    won = rng.binomial(either, share)
    return won, either - won


def restarts(rng: np.random.Generator, histories: int, change: Floats | float = 0.0) -> Floats:
    """Logs of latency ratios per restart with this true change."""
    return np.log1p(np.asarray(change))[..., None] + rng.normal(0, LATENCY_SD, (histories, RESTARTS))
