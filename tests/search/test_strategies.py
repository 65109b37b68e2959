"""How every strategy behaves: no duplicates, exact resume, honest refusals, constraints, and better than chance."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evernas.digest import canonical_json
from evernas.errors import UsageError
from evernas.search import Objective, Strategy, create, hypervolume_curve, nondominated
from evernas.spaces import Architecture, Categorical

NAMES = ("surrogate", "nsga2", "reinforce", "local", "random")
WAYS = st.one_of(
    st.just([2]), st.just([1, 2]), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.just([10] * 20)
).filter(lambda ways: math.prod(ways) > 1)
KINDS = st.sampled_from(["smooth", "constant", "tied", "infinite"])


def value_of(arch: Architecture, column: int, kind: str) -> float:
    total = sum((gene + 1) * (i + column + 1) for i, gene in enumerate(arch.genes))
    if kind == "constant":
        return 1.0
    if kind == "tied":
        return float(total % 2)
    if kind == "infinite" and total % 3 == 0:
        return math.inf
    return float(total % (7 + column))


def values_of(arch: Architecture, names: list[str], kind: str) -> dict[str, float]:
    return {name: value_of(arch, column, kind) for column, name in enumerate(names)}


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), ways=WAYS, count=st.integers(1, 4), kind=KINDS, batches=st.lists(st.integers(0, 9)))
def test_never_asks_what_was_asked_and_the_front_is_nondominated(
    name: str, ways: list[int], count: int, kind: str, batches: list[int]
) -> None:
    space = Categorical(ways)
    names = [f"f{i}" for i in range(count)]
    strategy = create(name, space, names, seed=3, **({"population": 4} if name == "nsga2" else {}))
    seen: set[Architecture] = set()
    for size in batches:
        asked = strategy.ask(size)
        assert len(asked) == min(size, space.size() - len(seen))
        assert len(set(asked)) == len(asked)
        assert not set(asked) & seen
        seen |= set(asked)
        for arch in asked[::-1]:
            strategy.tell(arch, values_of(arch, names, kind))
    told = strategy.evaluations()
    points = np.array([[e.values[n] for n in names] for e in told]).reshape(-1, count)
    front = {e.architecture for e in strategy.front()}
    for i, evaluation in enumerate(told):
        beaten = any((p <= points[i]).all() and (p < points[i]).any() for p in points)
        assert (evaluation.architecture in front) != beaten


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(NAMES), ways=WAYS, kind=KINDS, stop=st.integers(0, 30), seed=st.integers(0, 5))
def test_resumes_exactly_from_any_point(name: str, ways: list[int], kind: str, stop: int, seed: int) -> None:
    names = ["error", "size"]

    def make() -> Strategy:
        return create(
            name, Categorical(ways), names, seed=seed, initial=[Categorical(ways).architecture([0] * len(ways))]
        )

    def play(strategy: Strategy, first: int, last: int) -> list[Any]:
        trace: list[Any] = []
        for step in range(first, last):
            if step % 3 == 0:
                trace.append(strategy.ask(3))
            elif strategy.pending():
                arch = strategy.pending()[-1]
                strategy.tell(arch, values_of(arch, names, kind))
        return trace

    undisturbed = make()
    play(undisturbed, 0, stop)
    state = json.loads(canonical_json(undisturbed.state_dict()))
    resumed = make()
    resumed.load_state_dict(state)
    assert resumed.pending() == undisturbed.pending()
    assert play(resumed, stop, stop + 30) == play(undisturbed, stop, stop + 30)
    assert resumed.state_dict() == undisturbed.state_dict()
    assert resumed.front() == undisturbed.front()


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_space_is_asked_once_and_then_nothing(name: str) -> None:
    space = Categorical([3, 1, 4, 2])
    strategy = create(name, space, ["error"])
    asked = []
    while batch := strategy.ask(5):
        asked += batch
        for arch in batch:
            strategy.tell(arch, {"error": float(arch.genes[0])})
    assert len(asked) == len(set(asked)) == 24
    assert strategy.ask(1) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_space_is_exhausted_even_if_nothing_is_ever_told(name: str) -> None:
    strategy = create(name, Categorical([2, 3]), ["error"])
    assert len(strategy.ask(100)) == 6
    assert strategy.ask(100) == []


def test_what_is_asked_does_not_depend_on_the_order_of_answers() -> None:
    asks = []
    for order in (1, -1):
        strategy = create("nsga2", Categorical([4] * 8), ["error", "size"], population=8)
        for _ in range(6):
            batch = strategy.ask(8)
            for arch in batch[::order]:
                strategy.tell(arch, values_of(arch, ["error", "size"], "smooth"))
        asks.append(strategy.ask(8))
    assert asks[0] == asks[1]


@pytest.mark.parametrize("name", NAMES)
def test_initial_architectures_are_asked_first_and_once(name: str) -> None:
    space = Categorical([5] * 4)
    initial = [space.architecture([1, 2, 3, 4]), space.architecture([0, 0, 0, 0]), space.architecture([1, 2, 3, 4])]
    strategy = create(name, space, ["error"], initial=initial)
    assert strategy.ask(3)[:2] == initial[:2]
    assert not set(strategy.ask(50)) & set(initial)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_told_without_asking_is_on_the_front_and_never_asked(name: str) -> None:
    space = Categorical([2, 2])
    strategy = create(name, space, ["error"])
    told = space.architecture([1, 1])
    strategy.tell(told, {"error": -1.0})
    assert [e.architecture for e in strategy.front()] == [told]
    assert told not in strategy.ask(10)
    assert len(strategy.pending()) == 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"error": math.nan, "size": 1.0}, "error = nan"),
        ({"error": 1.0}, "without 'size'"),
        ({"error": 1.0, "size": 1.0, "speed": 1.0}, "speed"),
        ({"error": "low", "size": 1.0}, "no number"),
        ({"error": None, "size": 1.0}, "no number"),
    ],
)
def test_values_that_cannot_be_used_are_refused_and_the_architecture_stays_pending(
    values: dict[str, Any], said: str
) -> None:
    strategy = create("nsga2", Categorical([3, 3]), ["error", "size"])
    (arch,) = strategy.ask(1)
    with pytest.raises(UsageError, match=said):
        strategy.tell(arch, values)
    assert strategy.pending() == [arch]


def test_telling_the_same_twice_changes_nothing_and_other_values_are_refused() -> None:
    strategy = create("random", Categorical([3, 3]), ["error"])
    (arch,) = strategy.ask(1)
    strategy.tell(arch, {"error": 1.0})
    before = strategy.state_dict()
    strategy.tell(arch, {"error": 1.0})
    assert strategy.state_dict() == before
    with pytest.raises(UsageError, match="tell each once"):
        strategy.tell(arch, {"error": 2.0})


def test_an_architecture_of_another_space_is_refused() -> None:
    strategy = create("random", Categorical([3, 3]), ["error"])
    with pytest.raises(UsageError, match="space"):
        strategy.tell(Categorical([4, 4]).architecture([1, 1]), {"error": 1.0})


def test_infinite_values_are_worst_in_either_direction() -> None:
    strategy = create("nsga2", Categorical([3]), [Objective("accuracy", "max")])
    space = Categorical([3])
    for gene, value in enumerate([math.inf, -math.inf, 0.1]):
        strategy.tell(space.architecture([gene]), {"accuracy": value})
    assert [e.architecture.genes for e in strategy.front()] == [(2,)]


def test_an_objective_with_a_formula_need_not_be_told() -> None:
    objectives = [Objective("error"), Objective("size", formula=lambda arch: float(sum(arch.genes)))]
    strategy = create("nsga2", Categorical([3, 3]), objectives)
    (arch,) = strategy.ask(1)
    strategy.tell(arch, {"error": 0.5})
    assert strategy.front()[0].values == {"error": 0.5, "size": float(sum(arch.genes))}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), limit=st.floats(3, 25))
def test_the_front_holds_only_what_meets_the_constraints(seed: int, limit: float) -> None:
    space = Categorical([4] * 6)
    strategy = create("nsga2", space, ["error", "size"], seed, constraints={"size": limit}, population=6)
    for _ in range(5):
        for arch in strategy.ask(6):
            strategy.tell(arch, {"error": -float(sum(arch.genes)), "size": float(2 * sum(arch.genes))})
    front = strategy.front()
    assert all(e.values["size"] <= limit for e in front)
    feasible = [e for e in strategy.evaluations() if e.values["size"] <= limit]
    assert bool(front) == bool(feasible)


def test_infeasible_points_guide_the_search_to_a_rare_feasible_region() -> None:
    space = Categorical([5] * 10)  # a random architecture meets this limit with a chance of about 1e-4

    def found(name: str, seed: int) -> bool:
        strategy = create(name, space, ["error", "size"], seed, constraints={"size": 6})
        for _ in range(15):
            for arch in strategy.ask(20):
                strategy.tell(arch, {"error": -float(arch.genes[0]), "size": float(sum(arch.genes))})
        return bool(strategy.front())

    assert all(found("nsga2", seed) for seed in range(5))
    assert sum(found("random", seed) for seed in range(5)) <= 1


def test_a_constraint_on_an_objective_to_be_made_large_is_its_smallest_value() -> None:
    strategy = create("random", Categorical([3]), [Objective("accuracy", "max"), "size"], constraints={"accuracy": 0.5})
    for arch, accuracy in zip(strategy.ask(3), [0.4, 0.5, 0.6], strict=True):
        strategy.tell(arch, {"accuracy": accuracy, "size": accuracy})
    assert sorted(e.values["accuracy"] for e in strategy.front()) == [0.5, 0.6]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "magic"}, "no strategy 'magic'"),
        ({"name": "random", "population": 5}, "no option population"),
        ({"population": 1}, "population is 1"),
        ({"objectives": []}, "at least one"),
        ({"objectives": ["a", "a"]}, "each once"),
        ({"constraints": {"b": 1.0}}, "no objective"),
        ({"constraints": {"a": math.nan}}, "finite"),
        ({"initial": [Architecture("other", (0, 0))]}, "space"),
    ],
)
def test_impossible_arguments_are_refused_with_a_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        create(**{"name": "nsga2", "space": Categorical([2, 2]), "objectives": ["a"], **arguments})


def test_asking_for_less_than_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="0 or more"):
        create("random", Categorical([2]), ["a"]).ask(-1)


def test_a_state_made_with_other_arguments_is_refused() -> None:
    state = create("nsga2", Categorical([3, 3]), ["error"], seed=1).state_dict()
    for other in (
        create("nsga2", Categorical([3, 3]), ["error"], seed=2),
        create("nsga2", Categorical([3, 4]), ["error"], seed=1),
        create("nsga2", Categorical([3, 3]), ["loss"], seed=1),
        create("random", Categorical([3, 3]), ["error"], seed=1),
        create("nsga2", Categorical([3, 3]), ["error"], seed=1, population=7),
    ):
        with pytest.raises(UsageError, match="same arguments"):
            other.load_state_dict(state)
    with pytest.raises(UsageError, match="version"):
        create("nsga2", Categorical([3, 3]), ["error"], seed=1).load_state_dict({**state, "version": 0})


def test_nsga2_beats_random_search_on_a_table_like_nas_bench_macro() -> None:
    space = Categorical([3] * 8)
    rng = np.random.default_rng(123)
    gain = rng.uniform(0.5, 1.5, 8)[:, None] * np.array([0, 1, 1.25])
    pairs = rng.normal(0, 0.15, (8, 3, 3))
    macs = np.linspace(1, 2, 8)[:, None] * np.array([0.05, 1, 2.1])
    weights = np.linspace(0.3, 3, 8)[:, None] * np.array([0.02, 1, 1.9])

    def values(arch: Architecture) -> dict[str, float]:
        genes = arch.genes
        quality = sum(gain[i, g] for i, g in enumerate(genes)) + sum(pairs[i, genes[i], genes[i + 1]] for i in range(7))
        return {
            "error": float(np.exp(-quality / 6)),
            "macs": float(sum(macs[i, g] for i, g in enumerate(genes))),
            "weights": float(sum(weights[i, g] for i, g in enumerate(genes))),
        }

    def last(name: str, seed: int) -> float:
        strategy = create(name, space, ["error", "macs", "weights"], seed)
        for _ in range(10):
            for arch in strategy.ask(20):
                strategy.tell(arch, values(arch))
        points = [list(e.values.values()) for e in strategy.evaluations()]
        return hypervolume_curve(points, [1.1, 26.0, 27.0])[-1]

    wins = [last("nsga2", seed) > last("random", seed) for seed in range(10)]
    assert sum(wins) >= 9


def test_ten_thousand_evaluations_have_a_front_in_seconds() -> None:
    points = np.random.default_rng(0).random((10_000, 3))
    mask = nondominated(points)
    assert 20 < mask.sum() < 1000


@pytest.mark.parametrize("name", NAMES)
def test_a_constraint_on_a_known_cost_that_nothing_meets_is_refused_before_anything_is_evaluated(name: str) -> None:
    space = Categorical([4] * 12)
    size = Objective("size", unit="kB", formula=lambda arch: 10.0 + float(sum(arch.genes)))
    with pytest.raises(UsageError, match=r"'size' is at most 9 kB, and the least .* is 10 kB: allow more"):
        create(name, space, ["error", size], constraints={"size": 9.0})
    assert create(name, space, ["error", size], constraints={"size": 10.0}).ask(1)


def test_a_constraint_on_a_known_gain_is_refused_alike() -> None:
    speed = Objective("speed", "max", formula=lambda arch: float(sum(arch.genes)))
    with pytest.raises(UsageError, match=r"'speed' is at least 9, and the largest .* is 6: ask for less"):
        create("surrogate", Categorical([3, 3, 3]), ["error", speed], constraints={"speed": 9.0})


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_cost_that_nothing_meets_ends_with_the_space_and_an_empty_front(name: str) -> None:
    space = Categorical([3, 3, 2])
    strategy = create(name, space, ["error", "size"], constraints={"size": -1.0})
    while batch := strategy.ask(4):
        for arch in batch:
            strategy.tell(arch, {"error": float(arch.genes[0]), "size": float(sum(arch.genes))})
    assert len(strategy.evaluations()) == 18
    assert strategy.front() == []
