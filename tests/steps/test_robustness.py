"""Networks as they ship, on the search split under corruptions: the same rows for all, little memory, limits kept."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from evernas.bundle import Bundle, Contract, write_bundle
from evernas.bundle import Samples as BundleSamples
from evernas.config import RobustnessConfig
from evernas.data import Samples
from evernas.hardware.runtime import runtime_named
from evernas.registry.entries import Entry
from evernas.robustness import corrupted
from evernas.state import Guard, Home
from evernas.state.runs import now
from evernas.steps import conclude, robustness
from evernas.steps.context import Setting
from evernas.steps.robustness import beside_under, figures_beside, robust_error, robust_metrics, robustness_of
from evernas.supernet.vocabulary import learn
from evernas.tokeniser import codes_of
from small_project import LABELS, PEOPLE, Place, judge, people_of, project_in

TEXTS = ["how is the weather today", "what does the train to the sea cost", "play some music", "wake me up at seven"]
MEASURED = {
    "refused": None,
    "latency": {"per_restart_median_ms": [1.0, 1.01], "per_restart_p95_ms": [1.1, 1.1]},
    "size_kb": 1.0,
    "peak_memory_mb": 3.0,
}


@pytest.fixture
def place(home: Home, tmp_path: Path) -> Place:
    return project_in(home, tmp_path)


def setting(place: Place, **changes: Any) -> Setting:
    """A step's setting where the config's section has these changes."""

    class Changed(Setting):
        config = place.config.model_copy(update={"robustness": RobustnessConfig(**changes)})
        device = config.devices[0]

    return Changed(place.home, None, "laptop")  # type: ignore[arg-type]


def rows(count: int, of: Bundle) -> Samples:
    """Windows whose labels are what a network answers."""
    found = people_of(of.model_path.read_bytes())
    chosen = np.arange(count) % len(found)
    x = found.x[chosen] + np.arange(count, dtype=np.float32)[:, None, None] * 1e-6
    names = tuple("p" for _ in range(count))
    return Samples(x, found.y[chosen], names, names, names)


def test_candidate_and_champion_answer_the_same_corrupted_rows_of_known_classes(place: Place) -> None:
    one, other = place.bundle(1), place.bundle(2)
    gate = rows(700, one)
    gate.y[::7] = 5  # of a class that the champion does not know
    where = setting(place, rows=300, corruptions={"noise": 2.0, "gain": None})
    found = beside_under(where, gate, 2, one, other)
    assert found is not None
    assert found.champion is not None
    assert len(found.rows) == 300
    assert (gate.y[found.rows] < 2).all()
    known = Samples(gate.x[found.rows], gate.y[found.rows], *[tuple("p" * 300)] * 3)
    alone = robustness_of(setting(place, rows=None, corruptions={"noise": 2.0, "gain": None}), known, [one, other])
    figures = figures_beside(where, found)
    for number, corruption in enumerate(figures["corruptions"]):
        for who, bundle in (("candidate", one), ("champion", other)):
            assert corruption[who] == alone[bundle.digest]["corruptions"][number]["error"]
    worse = found.worse()
    assert worse.keys() == {"noise", "gain"}
    assert worse["noise"].mean() == pytest.approx(
        figures["corruptions"][0]["candidate"] - figures["corruptions"][0]["champion"]
    )
    assert beside_under(setting(place, enabled=False), gate, 2, one, other) is None
    assert beside_under(where, gate, 0, one, None) is None
    first = beside_under(where, gate, 2, one, None)
    assert first is not None
    assert {c["champion"] for c in figures_beside(where, first, 0.1)["corruptions"]} == {None}


def of_people(sizes: dict[str, list[int]], of: Bundle) -> Samples:
    """Windows of people with so many in each of their recordings, whose names begin anew with each person."""
    names = [(person, f"r{n}") for person, each in sizes.items() for n, size in enumerate(each) for _ in range(size)]
    found = rows(len(names), of)
    return replace(found, domains=tuple(p for p, _ in names), recordings=tuple(r for _, r in names))


def test_no_person_and_no_recording_is_lost_among_many_that_have_more_rows(place: Place) -> None:
    network = place.bundle(1)
    sizes = {f"p{n}": [200] * 10 for n in range(4)} | {"p4": [5, 9, 1], "p5": [1] * 400}
    gate = of_people(sizes, network)
    gate.y[:3] = 5
    found = beside_under(setting(place, rows=600, corruptions={"gain": None}), gate, 2, network, place.bundle(2))
    assert found is not None
    taken = Counter((gate.domains[row], gate.recordings[row]) for row in found.rows)
    assert {key for key in taken if key[0] == "p4"} == {("p4", "r0"), ("p4", "r1"), ("p4", "r2")}
    assert [taken["p4", f"r{n}"] for n in range(3)] == [5, 9, 1], "who has few rows gives all"
    assert {taken[f"p{n}", f"r{r}"] for n in range(4) for r in range(10)} <= {11, 12}
    assert sum(count for (person, _), count in taken.items() if person == "p5") == 400, "one of each recording"
    assert len(set(found.rows.tolist())) == len(found.rows)
    assert (np.diff(found.rows) > 0).all()
    assert not {0, 1, 2} & set(found.rows.tolist())


@pytest.mark.parametrize(
    ("counts", "most", "shared"),
    [
        ([9, 9, 9], 9, [3, 3, 3]),
        ([9, 9, 9], 10, [4, 3, 3]),
        ([1, 9, 9], 10, [1, 5, 4]),
        ([2, 2, 50], 10, [2, 2, 6]),
        ([3, 1], 9, [3, 1]),
        ([3, 1, 1, 7], 2, [1, 1, 1, 1]),
    ],
)
def test_rows_are_shared_alike_and_nobody_gives_none(counts: list[int], most: int, shared: list[int]) -> None:
    assert robustness._shared(np.array(counts), most).tolist() == shared


def test_all_networks_answer_the_same_rows_in_batches_of_any_size(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = place.bundle(1), place.bundle(2)
    search, tried = rows(700, one), setting(place)
    together = robustness_of(tried, search, [one, other])
    assert together[one.digest]["error"] <= 0.01 < together[other.digest]["error"]
    monkeypatch.setattr(robustness, "BATCH", 37)
    assert robustness_of(tried, search, [other]) == {other.digest: together[other.digest]}
    assert robustness_of(tried, search, [one]) == {one.digest: together[one.digest]}


def test_an_error_is_the_share_of_wrong_answers_on_the_corrupted_rows(place: Place) -> None:
    network = place.bundle(1)
    search = rows(500, network)
    found = robustness_of(setting(place, corruptions={"gain": 0.9, "noise": 2.0}), search, [network])[network.digest]
    assert (found["rows"], [c["name"] for c in found["corruptions"]]) == (500, ["gain", "noise"])
    for corruption in found["corruptions"]:
        x = corrupted("signal", corruption["name"], corruption["severity"], search.x, seed=0)
        answers = robustness._answering(setting(place), network)(x)
        assert corruption["error"] == (answers != search.y).mean()
    assert found["worst"] == "noise"
    assert robust_error(found) == max(c["error"] for c in found["corruptions"]) > found["error"]
    assert set(robust_metrics(found)) == {"robust_error", "error_under_gain", "error_under_noise"}


def test_of_a_large_split_so_many_rows_are_tried_spread_over_all_people(place: Place) -> None:
    search = rows(1000, place.bundle(1))
    chosen = robustness._spread(len(search), 300)
    assert (len(set(chosen.tolist())), chosen[0], chosen[-1]) == (300, 0, 996)
    assert set(np.diff(chosen)) == {3, 4}
    network = place.bundle(2)
    assert robustness_of(setting(place, rows=300), search, [network])[network.digest]["rows"] == 300
    assert robustness_of(setting(place, rows=None), search, [network])[network.digest]["rows"] == 1000


def test_nothing_is_tried_where_it_is_off_or_there_is_no_network(place: Place) -> None:
    network = place.bundle(1)
    assert robustness_of(setting(place, enabled=False), rows(50, network), [network]) == {}
    assert robustness_of(setting(place), rows(50, network), []) == {}
    assert robustness_of(setting(place), rows(0, network), [network]) == {}
    assert (robust_error(None), robust_metrics(None)) == (None, {})


def test_an_answer_that_is_no_number_is_wrong(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    network = place.bundle(1)
    search = rows(100, network)
    search = replace(search, x=np.full_like(search.x, 1e38), y=np.zeros_like(search.y))
    found = robustness_of(setting(place, corruptions={"noise": 0.3}), search, [network])[network.digest]
    assert found["corruptions"][0]["error"] == found["error"] == 1.0


def test_memory_does_not_grow_with_the_rows(place: Place) -> None:
    network = place.bundle(1)
    peaks = []
    for count in (1_000, 20_000):
        search = rows(count, network)
        tracemalloc.start()
        robustness_of(setting(place, rows=None, corruptions={"noise": None}), search, [network])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The numbers of the rows are kept, eight bytes each.
    assert peaks[1] < peaks[0] + 8 * 2 * 20_000 + 100_000


def text_bundle(place: Place, lowercase: bool) -> Bundle:
    """A network that sums up a number of each sub-word, so that every character counts."""
    tokeniser = learn(TEXTS, 280, lowercase, 16)
    weights = np.random.default_rng(0).normal(size=(len(tokeniser), 2)).astype(np.float32)
    weights[0] = 0
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["weights", "input"], ["each"]),
            helper.make_node("ReduceSum", ["each", "axes"], ["scores"], keepdims=0),
        ],
        "of a test",
        [info("input", TensorProto.INT64, ["n", 16])],
        [info("scores", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    inputs = tokeniser.batch(TEXTS, 16)
    scores = runtime_named("onnxruntime-cpu").load(model, 1).run(inputs)
    contract = Contract((), (16,), dtype="int64", normalisation_inside=False, characters=80)
    known = BundleSamples(inputs, scores)
    return write_bundle(place.home.bundles(place.project), model, ["a", "b"], contract, known, {}, tokeniser)


@pytest.mark.parametrize("lowercase", [True, False])
def test_texts_are_corrupted_before_each_network_s_own_tokeniser(place: Place, lowercase: bool) -> None:
    network = text_bundle(place, lowercase)
    place.change(
        data={
            "source": "texts",
            "kind": "text",
            "text": {"characters": 80, "tokens": 16},
            "labels": ["a", "b"],
            "splits": {"gate": ["g"], "search": ["s"]},
        },
        space={},
        supernet={},
    )
    x = np.stack([codes_of(f"{text} {number}", 80)[None] for number in range(40) for text in TEXTS])
    names = ("p",) * len(x)
    y = robustness._answering(setting(place), network)(x)
    search = Samples(x, y, names, names, names)
    found = robustness_of(setting(place), search, [network])[network.digest]
    errors = {corruption["name"]: corruption["error"] for corruption in found["corruptions"]}
    assert found["error"] == 0
    assert (errors["case"] == 0) is lowercase, "capitals are nothing where the network's tokeniser reads them as small"
    assert min(errors["typos"], errors["truncation"]) > 0


def decided(place: Place, guard: Guard, run: str, robust: float | None) -> dict[str, Any]:
    """The gate step's decision on a candidate that is right, with so large an error under its worst corruption."""
    right = place.bundle(1)
    under = [{"name": "noise", "severity": 0.3, "meaning": "", "error": robust}]
    tried = None if robust is None else {"rows": 9, "error": 0.0, "worst": "noise", "corruptions": under}
    return judge(place, run, right, people_of(right.model_path.read_bytes()), guard, MEASURED, tried)


def test_the_gate_step_holds_what_breaks_the_limit_and_promotes_what_keeps_it(place: Place, guard: Guard) -> None:
    place.change(constraints=[{"metric": "robust_error", "max": 0.3}])
    held = decided(place, guard, "run-1", 0.31)
    assert held["verdict"]["outcome"] == "hold"
    (failed,) = (reason for reason in held["verdict"]["reasons"] if not reason["passed"])
    assert (failed["rule"], failed["value"], failed["limit"]) == ("constraint:robust_error", 0.31, 0.3)
    assert held["verdict"]["left"] is None, "no decision was claimed"
    assert decided(place, guard, "run-2", None)["verdict"]["outcome"] == "hold"
    assert decided(place, guard, "run-3", 0.3)["verdict"]["outcome"] == "promote"


def test_the_gate_step_tries_the_champion_on_the_search_split_with_the_same_corruptions(
    place: Place, guard: Guard
) -> None:
    champion = place.bundle(2)
    place.journal.claim(Entry(1, "laptop", champion.digest, None, "run-0", "v", "models:/m/1", now(), "token"))
    found = decided(place, guard, "run-2", 0.1)
    split = people_of(place.bundle(1).model_path.read_bytes())
    assert found["champion_search"]["robustness"] == robustness_of(setting(place), split, [champion])[champion.digest]
    assert found["incidents"] == []
    place.change(constraints=[{"metric": "robust_error", "max": 0.001}])
    (said,) = decided(place, guard, "run-3", 0.0)["incidents"]
    assert "its error under the worst corruption of the search split is" in said


def of_a_new_class(place: Place, champion: Bundle) -> Samples:
    """What the champion answers, but that one person's rows, and half of another's, are now of a class that is new."""
    document = yaml.safe_load(place.path.read_text())
    bounds = [{"metric": name, "max": 0.05} for name in ("error", "robust_error", "worst_domain_error")]
    gate, robust = {"conditions_margin": 0.05}, {"corruptions": {"gain": 0.2}}
    data = document["data"] | {"labels": [*LABELS, "jump"]}
    place.change(data=data, constraints=bounds, gate=gate, robustness=robust)
    split = people_of(champion.model_path.read_bytes())
    people = np.asarray(split.domains)
    split.y[people == PEOPLE[0]] = 2
    split.y[np.flatnonzero(people == PEOPLE[1])[::2]] = 2
    return split


def test_a_class_that_was_added_is_no_incident_of_a_champion_that_does_not_know_it(place: Place, guard: Guard) -> None:
    champion, other = place.bundle(1), place.bundle(2)
    place.journal.claim(Entry(1, "laptop", champion.digest, None, "run-0", "v", "models:/m/1", now(), "token"))
    split = of_a_new_class(place, champion)
    found = judge(place, "run-2", other, split, guard, MEASURED)
    assert found["incidents"] == []
    assert found["champion_search"]["robustness"]["rows"] == (split.y < 2).sum() < len(split)
    split.y[split.y < 2] = 1 - split.y[split.y < 2]
    said = judge(place, "run-3", other, split, guard, MEASURED)["incidents"]
    assert [sentence.split(" is 100.0 %")[0].split("its ")[1] for sentence in said] == [
        "error",
        "error under the worst corruption of the search split",
        "error in the worst domain of the search split",
    ]


def test_neither_is_it_one_in_a_night_with_nothing_new(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    champion = place.bundle(1)
    split = of_a_new_class(place, champion)
    monkeypatch.setattr(conclude, "samples", lambda here, validated, name: split)
    here: Any = SimpleNamespace(
        manifest=SimpleNamespace(head=SimpleNamespace(validated="validate/x")),
        store=SimpleNamespace(find=lambda ref: ref),
        config=place.config,
        constraints=place.config.constraints,
        device=place.config.devices[0],
    )
    none = {"error": 0.0, "robust_error": 0.0, "worst_domain_error": 0.0}
    assert conclude._searched(here, champion) == none
    split.y[-1] = 1 - split.y[-1]
    worse = conclude._searched(here, champion)
    assert worse["error"] == pytest.approx(1 / (split.y < 2).sum())
    assert worse["worst_domain_error"] == pytest.approx(1 / (split.domains.count(PEOPLE[-1])))
    split.y[:] = 2
    assert conclude._searched(here, champion) == dict.fromkeys(none), "of none that it knows nothing is known"
