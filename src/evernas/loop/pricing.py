"""Foreseeing how the supernet will be trained, and what that should cost by the last training of the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evernas.result import Result, StepRecord
from evernas.steps.context import Setting
from evernas.steps.drift import work_of
from evernas.steps.supernet import cold_because, last_of, stays

Way = Literal["cold", "warm", "both", "stays"]
"""From nothing; from the last weights; the one after the other, since the warm one was given up; or not at all."""


@dataclass(frozen=True)
class Training:
    """A training that a completed run did."""

    way: Way
    run: str
    cost: StepRecord
    steps: int


@dataclass(frozen=True)
class Priced:
    """What the next training is likely to cost, by one that is known, times `factor`; a sentence says all of it."""

    sentence: str
    by: Training | None = None
    factor: float = 1.0


def training_in(result: Result, last: str | None) -> Training | None:
    """How a run trained its supernet; None if it took an earlier one. `last` is the digest of the one before it."""
    supernet = result.supernet
    cost = next((step for step in result.steps if step.step == "supernet" and not step.reused), None)
    if supernet is None or cost is None or result.outcome == "stopped":
        return None
    given_up = supernet.diverged is not None or (supernet.lost is not None and supernet.lost.fell_back)
    way: Way = "cold" if supernet.parent is None else "warm"
    if given_up:
        way = "both"
    if supernet.digest == last:
        way = "stays"
    return Training(way, result.run, cost, supernet.steps)


def priced(run: Setting, known: dict[Way, Training]) -> Priced:
    """How the next training is likely to go, and the known one that says what it costs.

    Whether a warm one will be given up cannot be known, nor whether drift will let the weights stay.
    """
    last = last_of(run)
    if last is not None and work_of(run) == "finetune" and stays(run, last):
        return Priced("The supernet stays as it is, as drift has decided.", known.get("stays"))
    why = cold_because(run, last)
    steps = run.config.supernet
    if why is not None:
        return _by("cold", steps.steps, f"The supernet is trained cold: {why}", known)
    said = "The supernet's training goes on from the last one's weights"
    if last is not None and not stays(run, last):
        # How many steps make up for what is missing of the weights is known when they are carried over.
        most = max(steps.steps, steps.warm_steps)
        return _by("warm", most, f"{said}, in at most {most:,} steps, since space or classes have changed", known)
    return _by("warm", steps.warm_steps, said, known)


def _by(way: Literal["cold", "warm"], steps: int, said: str, known: dict[Way, Training]) -> Priced:
    """The last training of this way, else a cold one that followed a warm one, else another; with steps made equal.

    How many steps a cold one and the warm one before it took together nobody knows.
    """
    found = known.get(way)
    if found is not None:
        told = f"Estimated by the last training that was {way}, of run {found.run}"
        return _in_proportion(f"{said}. {told}", found, steps)
    both = known.get("both")
    if way == "cold" and both is not None:
        told = f"Estimated by run {both.run}, which trained cold after a warm start that it gave up: by both together."
        return Priced(f"{said}. {told}", both)
    other = known.get("warm" if way == "cold" else "cold")
    if other is None:
        return Priced(f"{said}.")
    told = f"No {way} training is known: estimated by run {other.run}'s {other.way} one"
    return _in_proportion(f"{said}. {told}", other, steps)


def _in_proportion(said: str, by: Training, steps: int) -> Priced:
    """By a training that had perhaps another number of steps."""
    if by.steps == steps:
        return Priced(f"{said}.", by)
    return Priced(f"{said}, for {steps:,} steps in place of {by.steps:,}.", by, steps / max(1, by.steps))
