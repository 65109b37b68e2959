"""Searches at the same time: what each finds is what it finds alone, and one that fails stops the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from evernas.config import SearchConfig
from evernas.search import Strategy, create
from evernas.spaces import Categorical
from evernas.spaces.api import Architecture
from evernas.state import Guard, Home
from evernas.state.files import read_json
from evernas.state.ownership import claim
from evernas.steps.searches import search_beside

SPACE = Categorical([4, 4, 4, 4])
EVALUATIONS = 30


class Evaluator:
    """Two objectives of the genes; `fails_at` is the number of the evaluation that raises."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.count = 0
        self._lock = threading.Lock()

    def values(self, arch: Architecture) -> dict[str, float]:
        with self._lock:
            self.count += 1
            if self.count == self.fails_at:
                raise RuntimeError("the network cannot be evaluated")
        first, *rest = arch.genes
        return {"error": first + 0.1 * sum(rest), "latency_ms": 3.0 - first + 0.2 * rest[0]}


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with claim(Home(tmp_path / "home"), 0, lambda text: None) as ownership:
        yield ownership.guard


CONFIG = SearchConfig(evaluations=EVALUATIONS, batch=4, objectives=["error", "latency_ms"])


def strategies() -> dict[str, Strategy]:
    return {name: create(name, SPACE, ["error", "latency_ms"], 7) for name in ("nsga2", "random")}


def run(
    folder: Path, names: list[str], evaluator: Evaluator, guard: Guard
) -> tuple[dict[str, Strategy], list[tuple[int, int, str]]]:
    said: list[tuple[int, int, str]] = []
    made = {name: strategy for name, strategy in strategies().items() if name in names}
    searches = {folder / f"{name}.json": made[name] for name in names}
    search_beside(searches, evaluator.values, CONFIG, 2, guard, lambda *event: said.append(event))
    return made, said


def test_searches_beside_one_another_ask_what_each_asks_alone(tmp_path: Path, guard: Guard) -> None:
    both, said = run(tmp_path, ["nsga2", "random"], Evaluator(), guard)
    (tmp_path / "alone").mkdir()
    for name, strategy in both.items():
        alone, _ = run(tmp_path / "alone", [name], Evaluator(), guard)
        assert strategy.evaluations() == alone[name].evaluations()
        assert len(strategy.evaluations()) == EVALUATIONS
    assert max(done for done, _, _ in said) == 2 * EVALUATIONS
    assert {(total, text) for _, total, text in said} == {(2 * EVALUATIONS, "nsga2 and random")}


def test_a_search_goes_on_from_its_state_without_evaluating_again(tmp_path: Path, guard: Guard) -> None:
    undisturbed, _ = run(tmp_path, ["nsga2", "random"], Evaluator(), guard)
    evaluator = Evaluator()
    resumed, _ = run(tmp_path, ["nsga2", "random"], evaluator, guard)
    assert evaluator.count == 0
    assert all(resumed[name].evaluations() == undisturbed[name].evaluations() for name in resumed)


def test_a_search_that_fails_stops_the_others(tmp_path: Path, guard: Guard) -> None:
    evaluator = Evaluator(fails_at=9)
    with pytest.raises(RuntimeError, match="cannot be evaluated"):
        run(tmp_path, ["nsga2", "random"], evaluator, guard)
    assert evaluator.count < 2 * EVALUATIONS
    # What was told before is kept, and the next run goes on from it.
    resumed, _ = run(tmp_path, ["nsga2", "random"], Evaluator(), guard)
    assert all(len(strategy.evaluations()) == EVALUATIONS for strategy in resumed.values())
    assert read_json(tmp_path / "random.json")
