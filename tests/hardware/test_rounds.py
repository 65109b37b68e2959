"""Taking turns on a machine whose speed is not always the same; the networks are stand-ins that take a known time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from evernas.hardware.rounds import Canary, Loaded, Round, cpu_share, take_rounds

JOB = {"seconds": 0.06, "seed": 0, "wait_factor": 80.0, "threads": 1, "allowed_cores": []}
X = np.zeros((1, 1, 1), np.float32)


class Machine:
    """Slowed down threefold until a moment."""

    def __init__(self, slow_s: float) -> None:
        self.slow_until = time.monotonic() + slow_s

    def network(self, seconds: float) -> Loaded:
        machine = self

        class Session:
            input_shape = (1, 1)

            def run(self, x: Any) -> Any:
                time.sleep(seconds * (3 if time.monotonic() < machine.slow_until else 1))
                return x

        return Loaded(Session(), X)


def test_what_is_timed_while_the_reference_is_slow_is_set_aside() -> None:
    machine = Machine(slow_s=0.3)
    job = {**JOB, "fastest_reference_ms": 10.2}
    canary = Canary(machine.network(0.010), job)
    rounds, quiet = take_rounds({"a": machine.network(0.008)}, canary, "ref", job, lambda digest: None)
    assert quiet
    assert max(np.median(r.call_ns["a"]) for r in rounds) < 16e6
    assert all(canary.undisturbed(r.slowest_reference_ns) for r in rounds)


@pytest.mark.parametrize(("at_work", "least", "most"), [(True, 0.0, 1.01), (False, 0.0, 0.2)])
def test_the_share_is_of_the_time_in_which_networks_ran(at_work: bool, least: float, most: float) -> None:
    """A thread that does not get a processor and one that sleeps look the same: neither uses CPU time."""

    class Session:
        input_shape = (1, 1)

        def run(self, x: Any) -> Any:
            end = time.thread_time() + 0.004
            while at_work and time.thread_time() < end:
                pass
            time.sleep(0 if at_work else 0.004)
            return x

    network = Loaded(Session(), X)
    rounds, _ = take_rounds({"a": network}, Canary(network, JOB), "ref", JOB, lambda digest: None)
    assert all(r.cpu_ns <= 1.01 * r.wall_ns for r in rounds)
    assert least < cpu_share(rounds) <= most


def test_the_share_of_rounds_is_by_their_length() -> None:
    rounds = [Round({}, 1.0, cpu_ns=10, wall_ns=10), Round({}, 1.0, cpu_ns=15, wall_ns=40)]
    assert cpu_share(rounds) == 0.5


def test_a_machine_that_never_comes_to_its_known_speed_gives_figures_that_are_not_quiet() -> None:
    machine = Machine(slow_s=60)
    job = {**JOB, "wait_factor": 1.0, "fastest_reference_ms": 4.0}
    canary = Canary(machine.network(0.004), job)
    rounds, quiet = take_rounds({"a": machine.network(0.008)}, canary, "ref", job, lambda digest: None)
    assert not quiet
    assert len(rounds) == 3


def test_networks_take_turns_in_another_order_each_round_and_the_same_order_each_time() -> None:
    machine = Machine(slow_s=0)

    def order() -> list[str]:
        said: list[str] = []
        networks = {name: machine.network(0.001) for name in "abcd"}
        take_rounds(networks, Canary(machine.network(0.004), JOB), "ref", JOB, said.append)
        turns = "".join(name if name != "ref" else " " for name in said).split()
        return turns[:3]

    first = order()
    assert all(sorted(turn) == list("abcd") for turn in first)
    assert len(set(first)) > 1
    assert order() == first


def test_a_call_longer_than_a_block_is_not_repeated_to_warm_the_caches() -> None:
    slow = Machine(slow_s=0).network(0.05)
    slow.call()
    assert len(slow.block(0.01)) == 1
    assert len(list(slow.warm_up(0.02))) >= 2
