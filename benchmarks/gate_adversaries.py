"""Four adversaries who send a candidate every night for a year; each returns what became of its histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gate_gates import Gate
from gate_world import DOMAINS, EASY, HARD, PER_DOMAIN, Bits, Floats, draw, night, restarts, with_anchor

MARGIN = 0.02
SLOWER = 0.10
# Real gains that the learning adversaries have in reserve: without any, nothing but the first promotion is ever told.
PROMOTIONS_AT_MOST = 6


@dataclass(frozen=True)
class Histories:
    """Per history: whether a promotion was false, how many there were, and how far the end is below the anchor."""

    false: Bits
    promotions: Floats
    below_anchor: Floats | None = None


def no_true_gain(gate: Gate, nights: int, rng: np.random.Generator) -> Histories:
    """Fresh candidates, each on the very edge of a false promotion: a third of the histories for each of three kinds.

    Equal in everything; faster by 15 % and worse by exactly the margin; better by 3 points and slower by exactly the
    margin of latency.
    """
    count = gate.histories
    kind = np.arange(count) % 3
    gain = np.choose(kind, [0.0, -MARGIN, 0.03])
    change = np.choose(kind, [0.0, -0.15, SLOWER])
    false = np.zeros(count, dtype=bool)
    for _ in range(nights):
        won, lost = draw(rng, count, gain)
        false |= gate.night(night(won, lost, restarts(rng, count, change)))
    return Histories(false, gate.promotions.astype(float))


def boosting(gate: Gate, nights: int, rng: np.random.Generator) -> Histories:
    """Random answers on the hard samples, weighted by past verdicts: promoted counts for them, held against.

    Every other night probes with a real gain for which the verdict is a coin's toss, so that it tells most; the nights
    between send the weighted majority, without any true gain.
    """
    return _Learner(gate, nights, rng, reads_all=False).run()


def everything(gate: Gate, nights: int, rng: np.random.Generator) -> Histories:
    """Candidates built on all that is published: verdicts, news of holds, and a promotion's exact figures per domain.

    It probes where a hold would tell most, weighs each random direction by all that was told of it, and takes back the
    answers of each domain in which the published figures say that an earlier champion had more luck.
    """
    return _Learner(gate, nights, rng, reads_all=True).run()


class _Learner:
    """Both learning adversaries: they keep a weight for the answer to each hard sample."""

    def __init__(self, gate: Gate, nights: int, rng: np.random.Generator, reads_all: bool) -> None:
        self.gate, self.nights, self.rng, self.reads_all = gate, nights, rng, reads_all
        self.shape = (gate.histories, DOMAINS, HARD)
        self.right = self._random()
        self.champion = self._random()
        self.weights = np.zeros(self.shape, dtype=np.float32)
        # What is published of the luck of each champion so far in each domain, and its answers.
        self.luck = [np.zeros((gate.histories, DOMAINS))]
        self.answers = [self.champion.copy()]
        self.false = np.zeros(gate.histories, dtype=bool)
        # A staircase that keeps the probes where a hold tells most, however lucky the champion is.
        self.offset = np.zeros(gate.histories)

    def run(self) -> Histories:
        """All nights."""
        for number in range(self.nights):
            if not self.reads_all:
                self._probe(self.gate.needed()) if number % 2 == 0 else self._exploit(self._majority())
            elif number % 40 == 0:
                # Half of the histories now and then send a real gain that is surely promoted, for the figures that
                # come with it; each promotion raises the bar, so the others do without.
                sure = np.arange(self.gate.histories) % 2 == 0
                self._probe(np.where(sure, self.gate.needed() + 0.003, self._telling()))
            elif number % 8 == 3:
                self._exploit(self._luckiest())
            elif number % 8 == 7:
                self._exploit(self._majority())
            else:
                self._probe(self._telling())
        return Histories(self.false, self.gate.promotions.astype(float))

    def _telling(self) -> Floats:
        return np.maximum(self.gate.aim() + self.offset, 0.0001)

    def _probe(self, gain: Floats) -> None:
        """Fresh random answers and a true gain."""
        answers = self._random()
        gain = np.where(self.gate.promotions < PROMOTIONS_AT_MOST, gain, np.minimum(gain, self.gate.aim()))
        real = self.rng.binomial(EASY, np.clip(gain * PER_DOMAIN / EASY, 0, 1)[:, None], (self.gate.histories, DOMAINS))
        promoted = self._send(answers, real)
        # Where there is no real gain, a promotion of random answers is a false one.
        self.false |= promoted & (gain <= 0)
        self._learn(answers, promoted, gain)

    def _exploit(self, answers: Bits) -> None:
        """No true gain: other answers to the hard samples only."""
        self.false |= self._send(answers, np.zeros((self.gate.histories, DOMAINS), dtype=np.int64))

    def _send(self, answers: Bits, real: np.ndarray) -> Bits:
        ours, theirs = answers == self.right, self.champion == self.right
        won = (ours & ~theirs).sum(axis=2)
        lost = (theirs & ~ours).sum(axis=2)
        tonight = night(won + real, lost, restarts(self.rng, self.gate.histories))
        promoted = self.gate.night(tonight)
        if promoted.any():
            self._promote(answers, tonight.worse + real.mean(axis=1, keepdims=True) / PER_DOMAIN, promoted)
        return promoted

    def _promote(self, answers: Bits, worse: Floats, promoted: Bits) -> None:
        """The new champion; its luck per domain is published, but for the real gain that the adversary knows."""
        luck = self.luck[-1].copy()
        luck[promoted] -= worse[promoted]
        self.champion[promoted] = answers[promoted]
        if self.reads_all and len(self.luck) <= PROMOTIONS_AT_MOST + 1:
            self.luck.append(luck)
            self.answers.append(self.champion.copy())

    def _learn(self, answers: Bits, promoted: Bits, gain: Floats) -> None:
        gate = self.gate
        if self.reads_all:
            known = np.isfinite(gate.shown)
            exact = -(np.nan_to_num(gate.shown) + gain) / 0.00224
            heard = (gate.hears() | gate.near) & ~known & ~promoted
            self.offset += np.where(heard, np.where(gate.near, -1, 1), 0) * 0.0003
            signal = np.where(known, exact, np.where(heard, np.where(gate.near, 0.8, -0.8), 0.0))
        else:
            signal = np.where(promoted, 0.8, -0.8)
        # Only where the answers differ from the champion's does the verdict say anything of them.
        self.weights += signal[:, None, None].astype(np.float32) * (2 * answers.astype(np.float32) - 1)

    def _majority(self) -> Bits:
        return np.where(self.weights == 0, self.champion, self.weights > 0)

    def _luckiest(self) -> Bits:
        """In each domain the answers of the champion, past or present, that the published figures say had most luck."""
        best = np.argmax(np.stack(self.luck), axis=0)
        answers = self.champion.copy()
        for index, kept in enumerate(self.answers):
            answers = np.where((best == index)[:, :, None], kept, answers)
        return answers

    def _random(self) -> Bits:
        size = int(np.prod(self.shape))
        bits = np.unpackbits(np.frombuffer(self.rng.bytes(size // 8), dtype=np.uint8))
        return bits.reshape(self.shape).astype(bool)


def erosion(gate: Gate, nights: int, rng: np.random.Generator) -> Histories:
    """Trades quality inside the margin for speed every night: how far below the anchor does it end?

    A third of the histories goes all in each night, to just below the margin under the anchor; a third walks down in
    small steps, each inside the margin of the champion before; a third walks first, then goes all in.
    """
    count = gate.histories
    kind = np.arange(count) % 3
    below = np.zeros(count)
    won_of_anchor = np.zeros((count, DOMAINS), dtype=np.int64)
    lost_to_anchor = np.zeros((count, DOMAINS), dtype=np.int64)
    for number in range(nights):
        all_in = (kind == 0) | ((kind == 2) & (number > 10))
        target = np.where(all_in, MARGIN * 1.001, below + 0.006)
        step = np.maximum(target - below, 0.001)
        won, lost = draw(rng, count, -step, 0.05)
        of_anchor, to_anchor = won_of_anchor + won, lost_to_anchor + lost
        tonight = with_anchor(night(won, lost, restarts(rng, count, -0.15)), of_anchor, to_anchor)
        promoted = gate.night(tonight)
        below = np.where(promoted, below + step, below)
        won_of_anchor[promoted], lost_to_anchor[promoted] = of_anchor[promoted], to_anchor[promoted]
    return Histories(below > MARGIN, gate.promotions.astype(float), below)


ADVERSARIES: dict[str, Callable[[Gate, int, np.random.Generator], Histories]] = {
    "no true gain": no_true_gain,
    "boosting on verdicts": boosting,
    "everything published": everything,
    "quality for speed": erosion,
}
