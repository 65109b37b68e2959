"""How calls are timed inside a worker: blocks, rounds in which networks take turns, and a canary; no files here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evernas.hardware.load import window
from evernas.hardware.measurement import DISTURBED
from evernas.hardware.runtime import Inputs, Session

BLOCK_S, SHORTEST_BLOCK_S, ROUND_S = 0.05, 0.01, 0.3
FEWEST_ROUNDS = 3
WAIT_S = 0.05
STABLE = 0.03
LONGEST_WARM_UP = 10


class Loaded:
    """A network ready to be called, with its input."""

    def __init__(self, session: Session, x: Inputs) -> None:
        self._session = session
        self._x = x
        self._last_ns = 0

    def call(self) -> int:
        """The time of one call in ns."""
        start = time.perf_counter_ns()
        self._session.run(self._x)
        self._last_ns = time.perf_counter_ns() - start
        return self._last_ns

    def under_load(self, clients: int, seconds: float) -> dict[str, float]:
        """Throughput and p95_ms while so many clients call at once."""
        return window(self._session, self._x, clients, seconds)

    def warm_up(self, seconds: float) -> Iterator[float]:
        """Call in stretches until the medians of two successive ones agree within STABLE, at most ten."""
        stretch_ns = int(seconds * 1e9 / 2)
        last = float("inf")
        for _ in range(LONGEST_WARM_UP):
            this = float(np.median(self._calls(stretch_ns)))
            yield this
            if abs(this - last) <= STABLE * last < float("inf"):
                return
            last = this

    def block(self, seconds: float) -> list[int]:
        """The times of calls for so long, after some that only bring the network back into the caches."""
        if self._last_ns < seconds * 1e9:
            self._calls(int(seconds * 1e8))
        return self._calls(int(seconds * 1e9))

    def _calls(self, for_ns: int) -> list[int]:
        end = time.perf_counter_ns() + for_ns
        times = [self.call()]
        while time.perf_counter_ns() < end:
            times.append(self.call())
        return times


def settle(
    call: Callable[[], object], seconds: float, watched: Callable[[Callable[[], object]], Callable[[], None]]
) -> None:
    """Let the device work for so long, until it runs as fast as under work: an idle GPU takes its clocks down.

    `watched` makes of a call one that is watched over.
    """
    if seconds > 0:
        work, end = watched(call), time.monotonic() + seconds
        while time.monotonic() < end:
            work()


@dataclass(frozen=True)
class Round:
    """The times of one turn of all networks, and the slower of the reference's medians before and after it.

    `wall_ns` is what the turn lasted, and `cpu_ns` for how much of it the thread that calls had a processor.
    """

    call_ns: dict[str, list[int]]
    slowest_reference_ns: float
    cpu_ns: int
    wall_ns: int


def cpu_share(rounds: Sequence[Round]) -> float:
    """For which share of these rounds the thread that calls had a processor: near 1 unless other programs hold it.

    It computes or spins in every call, however many threads help it. The sum over all of them would hide that each
    has half a processor.
    """
    return sum(r.cpu_ns for r in rounds) / sum(r.wall_ns for r in rounds)


class Canary:
    """The reference network as a gauge of the machine's speed at the moment."""

    def __init__(self, network: Loaded, job: dict[str, Any]) -> None:
        self._network = network
        self._cores = job["allowed_cores"] if job["threads"] == 1 else []
        self.fastest_ns = job.get("fastest_reference_ms", float("inf")) * 1e6

    def sing(self, seconds: float) -> list[int]:
        """The times of the reference's calls just now."""
        calls = self._network.block(seconds)
        self.fastest_ns = min(self.fastest_ns, float(np.median(calls)))
        return calls

    def undisturbed(self, ns: float) -> bool:
        """Whether such a median of the reference shows the machine at its usual speed."""
        return bool(ns <= DISTURBED * self.fastest_ns)

    def move(self) -> None:
        """Wait, on another core if there is one: the neighbour may be on this one only."""
        if self._cores and hasattr(os, "sched_setaffinity"):
            self._cores = self._cores[1:] + self._cores[:1]
            os.sched_setaffinity(0, self._cores[:1])
        time.sleep(WAIT_S)


def take_rounds(
    networks: dict[str, Loaded], canary: Canary, reference: str, job: dict[str, Any], on: Callable[[str], None]
) -> tuple[list[Round], bool]:
    """Rounds taken while the machine was at its usual speed, and True; or, after long waiting, those there are."""
    block_s = min(BLOCK_S, max(SHORTEST_BLOCK_S, ROUND_S / (len(networks) + 1)), job["seconds"] / FEWEST_ROUNDS)
    wanted = round(job["seconds"] / block_s)
    end = time.monotonic() + job["wait_factor"] * job["seconds"] * (len(networks) + 1)
    order = np.random.default_rng(job["seed"])
    digests = sorted(networks)
    rounds: list[Round] = []

    def good() -> list[Round]:
        return [r for r in rounds if canary.undisturbed(r.slowest_reference_ns)]

    def sing() -> list[int]:
        on(reference)
        return canary.sing(block_s)

    before = sing()
    while (len(good()) < wanted and time.monotonic() < end) or len(rounds) < FEWEST_ROUNDS:
        if time.monotonic() < end and not canary.undisturbed(float(np.median(before))):
            canary.move()
            before = sing()
            continue
        wall, cpu, taken = time.perf_counter_ns(), time.thread_time_ns(), {}
        for index in order.permutation(len(digests)):
            on(digests[index])
            taken[digests[index]] = networks[digests[index]].block(block_s)
        after = sing()
        slowest = max(float(np.median(before)), float(np.median(after)))
        spent = (time.thread_time_ns() - cpu, time.perf_counter_ns() - wall)
        rounds.append(Round({**taken, reference: before}, slowest, *spent))
        before = after
    return (good(), True) if len(good()) >= FEWEST_ROUNDS else (rounds, False)
