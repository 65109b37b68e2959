"""Two rounds of a search: what the device says between them stands, is corrected, or is searched for again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import Config, load_config
from evernas.hardware.predictor import CostPredictor, predictors_from_json, predictors_to_json
from evernas.hardware.profile import Taken
from evernas.spaces.api import Architecture
from evernas.state import Done, Guard, Home, RunManifest
from evernas.state.files import read_json, write_json
from evernas.state.ownership import claim
from evernas.steps import probe, refine, search
from evernas.steps.accounting import Account
from evernas.steps.context import Context
from evernas.steps.costing import Costing
from evernas.steps.departing import departures_of
from evernas.steps.exporting import network_file
from evernas.steps.profile import _after, profile_inputs
from evernas.steps.progress import Progress
from evernas.steps.rounds import foreseen_by
from evernas.supernet.accelerator import CPU
from place import EXAMPLE

Truth = Callable[[Any, Architecture], float]


def as_profiled(space: Any, arch: Architecture) -> float:
    return 0.02 + 1e-7 * float(space.macs(arch))


def slower_today(space: Any, arch: Architecture) -> float:
    return 1.2 * as_profiled(space, arch)


def weighed(space: Any, arch: Architecture) -> float:
    """Memory in MB: of its weights, whatever it takes."""
    return 0.5 + 4e-6 * float(space.parameters(arch))


def wide_kernels_weigh_more(space: Any, arch: Architecture) -> float:
    """Blocks with kernels of 7, which the profile never saw, need five times as much as their share."""
    blocks = space.blocks(arch)
    return weighed(space, arch) * (1 + 4 * sum(block.kernel == 7 for block in blocks) / len(blocks))


def wide_kernels_cost_more(space: Any, arch: Architecture) -> float:
    """Blocks with kernels of 7, which the profile never saw, take five times as long as their share."""
    blocks = space.blocks(arch)
    wide = sum(block.kernel == 7 for block in blocks) / len(blocks)
    return as_profiled(space, arch) * (1 + 4 * wide)


@dataclass(frozen=True)
class Evaluator:
    """Errors by formula in the place of a supernet: larger networks do better, wide kernels best."""

    costing: Costing
    device: Any = CPU
    on_evaluation: Callable[[], None] = lambda: None

    def values(self, arch: Architecture) -> dict[str, float]:
        space = self.costing.space
        wide = sum(block.kernel == 7 for block in space.blocks(arch))
        error = 1 / (1 + 1e-6 * space.macs(arch)) - 0.02 * wide
        self.on_evaluation()
        return {"error": float(error), **self.costing.costs(arch)}


class Rounds:
    """A device whose profile is known, and the three steps on it; what it takes is a function of the architecture."""

    def __init__(self, home: Home, guard: Guard, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.guard, self.config = home, guard, config
        self.truth: Truth = as_profiled
        self.memory: Truth = weighed
        self.broken = frozenset[str]()
        self.measured: list[list[str]] = []
        self.asked_for: list[list[str]] = []
        self.files = set[str]()
        self.manifest = RunManifest("r0", config, "", "2026-01-01T00:00:00+00:00", None, {}, "")
        monkeypatch.setattr("evernas.hardware.profile.take", self._take)
        for module in ("evernas.steps.search", "evernas.steps.evaluating"):
            monkeypatch.setattr(f"{module}.evaluator_of", lambda *given: Evaluator(given[-1]))
        monkeypatch.setattr("evernas.steps.search.export_untrained", self._export)
        self._prepare()

    def context(self, step: str) -> Context:
        folder = self.home.run("r0")
        account = Account(folder, step, "laptop", self.guard)
        account.close()
        progress = Progress(folder / "progress.jsonl", step, "laptop")
        return Context(self.home, self.manifest, "laptop", self.guard, account, progress, step)

    def done(self, step: str, inputs: dict[str, Any], facts: dict[str, Any], files: dict[str, Any]) -> Done:
        context = self.context(step)
        ref = context.ref(step, inputs)
        folder = context.store.workspace(ref)
        for name, content in files.items():
            write_json(folder / name, content)
        return context.store.finish(Done(ref, folder, facts, inputs, "r0"), list(files), self.guard)

    def _prepare(self) -> None:
        space = self.context("search").space
        rng, archs = np.random.default_rng(0), [space.smallest()]
        while len(archs) < 30:
            arch = space.random(rng)
            if arch not in archs and all(block.kernel != 7 for block in space.blocks(arch)):
                archs.append(arch)
        subnets = [{"id": a.id, "architecture": a.to_json(), "digest": a.id, "int8": f"{a.id}-8"} for a in archs]
        files = {f"profile/{network_file(a.id, of)}": list(a.genes) for a in archs for of in ("fp32", "int8")}
        self.supernet = self.done("supernet", {"it": "is"}, {"profile": subnets}, files)
        figures = {"latency_ms": {a.id: as_profiled(space, a) for a in archs}}
        if "peak_memory_mb" in self.config.search.objectives:
            figures["peak_memory_mb"] = {a.id: weighed(space, a) for a in archs}
        features = np.stack([space.features(a) for a in archs])
        made = {cost: CostPredictor.fit(features, np.array([*of.values()])) for cost, of in figures.items()}
        more = {
            cost: {"measured": of, "residual": made[cost].residual}
            for cost, of in figures.items()
            if cost != "latency_ms"
        }
        facts = {"latency_ms": figures["latency_ms"], "residual": made["latency_ms"].residual, "more": more}
        inputs = profile_inputs(self.context("profile"), self.supernet)
        self.profile = self.done("profile", inputs, facts, {"predictor.json": predictors_to_json(made)})
        self.validated = self.done("validate", {}, {"kept": {"search": "s", "train": "t", "gate": "g"}}, {})

    def _export(
        self, space: Any, archs: list[Architecture], folder: Path, precisions: list[str]
    ) -> list[dict[str, Any]]:
        (precision,) = precisions
        for arch in archs:
            write_json(folder / network_file(arch.id, precision), list(arch.genes))
        name = "digest" if precision == "fp32" else precision
        return [{"id": a.id, "architecture": a.to_json(), name: a.id} for a in archs]

    def _take(self, models: dict[str, Path], *given: Any, **more: Any) -> Iterator[Taken]:
        space = self.context("probe").space
        self.measured.append(sorted(models))
        self.files |= {path.name.removeprefix(name) for name, path in models.items()}
        self.asked_for.append(list(more["costs"]))
        for cost in more["costs"]:
            truth = {"latency_ms": self.truth, "peak_memory_mb": self.memory}[cost]
            taken = {
                name: truth(space, space.architecture(json.loads(path.read_bytes())))
                for name, path in models.items()
                if name not in self.broken
            }
            yield Taken(cost, taken, sorted(set(models) - set(taken)), "The network ended the measuring process.")

    def search(self) -> Done:
        context = self.context("search")
        return context.store.get(search.run(context, self.validated.ref, self.supernet.ref, self.profile.ref))

    def probe(self, searched: Done) -> Done:
        context = self.context("probe")
        return context.store.get(probe.run(context, self.supernet.ref, self.profile.ref, searched.ref))

    def refine(self, searched: Done, probed: Done, **changes: Any) -> Done:
        context = replace(self.context("refine"), **changes)
        return context.store.get(refine.run(context, self.validated.ref, self.supernet.ref, searched.ref, probed.ref))

    def all(self) -> tuple[Done, Done, Done]:
        searched = self.search()
        probed = self.probe(searched)
        return searched, probed, self.refine(searched, probed)


def config(tmp_path: Path, **sections: Any) -> Config:
    document = load_config(EXAMPLE).model_dump(mode="json")
    for name, section in {"search": {}, **sections}.items():
        document[name] = {**document[name], **section} if isinstance(section, dict) else section
    document["search"] = {**document["search"], "evaluations": 40, "batch": 8, **sections.get("search", {})}
    return Config.model_validate(document)


@pytest.fixture
def rounds(home: Home, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    return Rounds(home, guard, config(tmp_path), monkeypatch)


def off_by(rounds: Rounds, facts: dict[str, Any]) -> list[float]:
    """By what factor each latency of a front is off, of those that wide kernels are in."""
    space = rounds.context("search").space
    points = [(space.architecture(point["genes"]), point["latency_ms"]) for point in facts["front"]]
    return [
        abs(float(np.log(ms / rounds.truth(space, arch))))
        for arch, ms in points
        if any(block.kernel == 7 for block in space.blocks(arch))
    ]


def test_a_front_that_costs_what_was_foreseen_stands(rounds: Rounds) -> None:
    searched, probed, refined = rounds.all()
    assert 0 < len(searched.facts["probes"]) <= 6
    profiled = {subnet["id"] for subnet in rounds.supernet.facts["profile"]}
    asked = {each["id"] for each in searched.facts["probes"]}
    assert asked <= {point["arch"] for point in searched.facts["front"]} - profiled
    assert len(set(rounds.measured[0]) - asked) == 4, "anchors are measured beside them"
    assert probed.facts["outside"] == []
    assert refined.facts["round"]["evaluations"] == 0
    assert refined.facts["round"]["sentence"].endswith("the front stands")
    assert [p["arch"] for p in refined.facts["front"]] == [p["arch"] for p in searched.facts["front"]]
    alike = ("space", "evaluations", "champion")
    assert {name: refined.facts[name] for name in alike} == {name: searched.facts[name] for name in alike}
    assert len(refined.facts["hypervolume_random"]) == len(refined.facts["hypervolume"]) == 40


def test_a_device_that_was_busy_for_a_moment_is_asked_once_more_before_it_is_believed(rounds: Rounds) -> None:
    def busy_at_first(space: Any, arch: Architecture) -> float:
        held_up = len(rounds.measured) == 1 and any(block.kernel == 7 for block in space.blocks(arch))
        return as_profiled(space, arch) * (3 if held_up else 1)

    rounds.truth = busy_at_first
    searched, probed, refined = rounds.all()
    assert len(rounds.measured) == 2
    assert rounds.measured[0] == rounds.measured[1]
    assert probed.facts["outside"] == []
    assert refined.facts["evaluations"] == searched.facts["evaluations"]


def test_a_device_that_is_slower_today_needs_no_second_round_and_costs_are_todays(rounds: Rounds) -> None:
    rounds.truth = slower_today
    searched, probed, refined = rounds.all()
    assert probed.facts["costs"]["latency_ms"]["drift"] == pytest.approx(1.2)
    assert refined.facts["round"]["evaluations"] == 0
    assert "1.20 times the latencies of the profile" in refined.facts["round"]["sentence"]
    times = [
        b["latency_ms"] / a["latency_ms"] for a, b in zip(searched.facts["front"], refined.facts["front"], strict=True)
    ]
    assert times == pytest.approx([1.2] * len(times), rel=0.03)


def test_a_predictor_that_is_wrong_for_a_kernel_size_is_mended_and_searched_with_again(rounds: Rounds) -> None:
    rounds.truth = wide_kernels_cost_more
    searched, probed, refined = rounds.all()
    assert probed.facts["outside"]
    assert refined.facts["round"]["evaluations"] == 20
    assert "searched again, 20 more evaluations" in refined.facts["round"]["sentence"]
    assert refined.facts["evaluations"] == 60
    points = read_json(refined.file("points.json"))
    assert [p["arch"] for p in points[:40]] == [p["arch"] for p in read_json(searched.file("points.json"))]
    assert len({p["arch"] for p in points}) == 60
    assert len(refined.facts["hypervolume"]) == len(refined.facts["hypervolume_random"]) == 60
    before, after = off_by(rounds, searched.facts), off_by(rounds, refined.facts)
    assert np.median(before) > np.log(1.5)
    assert np.median(after) < np.median(before) / 3


def test_the_alarm_compares_with_what_the_finalists_were_foreseen_by(rounds: Rounds) -> None:
    rounds.truth = wide_kernels_cost_more
    _, probed, refined = rounds.all()
    finalists = Done("finalists/x", Path(), {"finalists": [], "search": refined.ref}, {}, "r0")
    assert departures_of(rounds.context("report").store, finalists, {}, ["latency_ms"]) == {}
    finalist = {"bundle": "b", "precision": "fp32", "predicted_latency_ms": 1.0}
    finalists = replace(finalists, facts={"finalists": [finalist], "search": refined.ref})
    measurements = {"b": {"refused": None, "latency": {"median_ms": 1.0}}}
    found = departures_of(rounds.context("report").store, finalists, measurements, ["latency_ms"])["latency_ms"]
    assert found.drift == probed.facts["costs"]["latency_ms"]["drift"]
    assert found.band == max(3 * probed.facts["predictors"]["latency_ms"]["residual"], 0.15)
    assert found.band < 0.3, "six that were far off do not make it deaf"
    assert foreseen_by(rounds.context("report").store, refined).ref == probed.ref


def test_a_search_by_no_cost_that_is_measured_asks_the_device_nothing(
    home: Home, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds(home, guard, config(tmp_path, search={"objectives": ["error", "size_kb"]}), monkeypatch)
    rounds.truth = wide_kernels_cost_more
    searched, probed, refined = rounds.all()
    assert rounds.measured == []
    assert searched.facts["probes"] == []
    assert probed.facts["nothing"] == "the search goes by no cost that only a measurement tells"
    assert refined.facts["front"] == searched.facts["front"]


def test_probes_are_chosen_and_measured_by_the_costs_that_the_search_goes_by(
    home: Home, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latency is profiled always: here it is wrong, and nobody searches by it."""
    seen: list[list[str]] = []
    monkeypatch.setattr(
        "evernas.hardware.uncertainty.least_certain",
        lambda known, candidates, count: seen.append([k.predictor for k in known]) or list(range(count)),
    )
    rounds = Rounds(home, guard, config(tmp_path, search={"objectives": ["error", "peak_memory_mb"]}), monkeypatch)
    rounds.truth = wide_kernels_cost_more
    searched, probed, refined = rounds.all()
    assert len(searched.facts["probes"]) == 6
    fitted = predictors_from_json(read_json(rounds.profile.file("predictor.json")))
    assert seen == [[fitted["peak_memory_mb"]]]
    assert rounds.asked_for == [["peak_memory_mb"]]
    assert probed.facts["searched_by"] == ["peak_memory_mb"]
    assert refined.facts["round"]["sentence"].endswith("the front stands")


@pytest.mark.parametrize(
    ("precisions", "files"), [(["fp32"], {".onnx"}), (["fp32", "int8"], {".onnx"}), (["int8"], {".int8.onnx"})]
)
def test_probes_and_anchors_are_of_the_precision_that_the_search_goes_by(
    precisions: list[str],
    files: set[str],
    home: Home,
    guard: Guard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = config(tmp_path, devices=[{"name": "laptop", "precisions": precisions}])
    rounds = Rounds(home, guard, made, monkeypatch)
    searched, probed, _ = rounds.all()
    assert searched.facts["probes"]
    assert rounds.files == files
    assert probed.inputs["probes"] == [probe["id"] for probe in searched.facts["probes"]]


def test_a_search_by_memory_goes_on_where_memory_was_wrong(
    home: Home, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(tmp_path, search={"objectives": ["error", "latency_ms", "peak_memory_mb"]})
    rounds = Rounds(home, guard, made, monkeypatch)
    rounds.memory = wide_kernels_weigh_more
    _, probed, refined = rounds.all()
    assert rounds.asked_for[0] == ["latency_ms", "peak_memory_mb"]
    assert probed.facts["costs"]["latency_ms"]["outside"] == []
    assert probed.facts["costs"]["peak_memory_mb"]["outside"]
    assert refined.facts["round"]["evaluations"] == 20


def test_the_next_run_finds_the_profile_and_the_start_behind_a_second_round(rounds: Rounds) -> None:
    from evernas.state import Head

    searched, _, refined = rounds.all()
    head = Head("r0", "key", "snapshot", rounds.supernet.ref, {"laptop": refined.ref}, stale=["laptop"])
    context = replace(rounds.context("profile"), manifest=replace(rounds.manifest, head=head))
    assert _after(context, dict(rounds.profile.inputs)) == rounds.profile.ref
    again = search.search_inputs(context, rounds.validated, rounds.supernet, rounds.profile)
    assert again == searched.inputs, "the same search keeps the start that it had"


def test_a_probe_that_does_not_run_is_said_and_fails_nothing(rounds: Rounds) -> None:
    searched = rounds.search()
    rounds.broken = frozenset({searched.facts["probes"][0]["id"]})
    probed = rounds.probe(searched)
    count = len(searched.facts["probes"])
    assert len(probed.facts["costs"]["latency_ms"]["measured"]) == count - 1
    assert probed.facts["unmeasured"] == {
        "latency_ms": f"1 of {count} have no figure: The network ended the measuring process."
    }
    assert rounds.refine(searched, probed).facts["round"]["evaluations"] == 0


def test_where_no_probe_runs_the_front_stands_by_the_profile(rounds: Rounds) -> None:
    searched = rounds.search()
    rounds.broken = frozenset(probe["id"] for probe in searched.facts["probes"])
    probed = rounds.probe(searched)
    refined = rounds.refine(searched, probed)
    assert refined.facts["front"] == searched.facts["front"]
    assert "nothing was probed" in refined.facts["round"]["sentence"]
    assert "ended the measuring process" in refined.facts["round"]["sentence"]


def test_recorded_figures_are_not_probed_and_nothing_changes(
    home: Home, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = tmp_path / "recorded.json"
    recorded.write_text(json.dumps({"measurements": {}, "profile": {}}))
    made = config(tmp_path, devices=[{"name": "laptop", "recorded": str(recorded)}])
    rounds = Rounds(home, guard, made, monkeypatch)
    searched, probed, refined = rounds.all()
    assert rounds.measured == []
    assert searched.facts["probes"] == []
    assert probed.facts["nothing"] == "the device's figures were recorded elsewhere"
    assert refined.facts["front"] == searched.facts["front"]
    assert refined.facts["hypervolume"] == searched.facts["hypervolume"]
    assert "recorded elsewhere; the front stands" in refined.facts["round"]["sentence"]


def test_where_drift_decides_that_nothing_is_searched_the_front_is_only_costed_anew(rounds: Rounds) -> None:
    rounds.truth = wide_kernels_cost_more
    first = rounds.search()
    files = {path.relative_to(first.folder).as_posix(): read_json(path) for path in first.folder.rglob("*.*")}
    del files["done.json"]
    searched = rounds.done("search", {**first.inputs, "work": "front"}, first.facts, files)
    probed = rounds.probe(searched)
    assert probed.facts["outside"]
    refined = rounds.refine(searched, probed)
    assert refined.facts["evaluations"] == 40
    assert "nothing is searched, as drift decides" in refined.facts["round"]["sentence"]
    assert refined.facts["front"] != searched.facts["front"]


def test_a_bound_that_nothing_meets_by_the_new_figures_leaves_it_to_the_measurement(
    home: Home, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(tmp_path, constraints=[{"metric": "latency_ms", "max": 0.2}])
    rounds = Rounds(home, guard, made, monkeypatch)
    rounds.truth = lambda space, arch: 50 * as_profiled(space, arch)
    searched, _, refined = rounds.all()
    assert {p["arch"] for p in refined.facts["front"]} == {p["arch"] for p in searched.facts["front"]}
    assert "by the new figures none meets latency_ms <= 0.2" in refined.facts["round"]["sentence"]


def test_a_second_round_that_is_killed_goes_on_and_ends_the_same(
    rounds: Rounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds.truth = wide_kernels_cost_more
    searched = rounds.search()
    probed = rounds.probe(searched)
    folder = rounds.context("refine").store.folder / _ref(rounds, searched, probed)
    child = os.fork()
    if child == 0:
        try:
            rounds.refine(searched, probed, allowance=_Killing(folder / "strategy.json"))
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    half = read_json(folder / "strategy.json")
    assert 40 < len(half["told"]) <= 60
    resumed = rounds.refine(searched, probed)
    with _elsewhere(tmp_path / "other", rounds.config, monkeypatch) as other:
        other.truth = wide_kernels_cost_more
        _, _, undisturbed = other.all()
        assert resumed.facts == undisturbed.facts
        assert resumed.file("points.json").read_bytes() == undisturbed.file("points.json").read_bytes()


@dataclass(frozen=True)
class _Killing:
    """An allowance that ends the process at the first checkpoint that has left this file."""

    path: Path

    def check(self) -> None:
        if self.path.exists():
            os.kill(os.getpid(), signal.SIGKILL)


def _ref(rounds: Rounds, searched: Done, probed: Done) -> str:
    return rounds.context("refine").ref("refine", refine.refine_inputs(searched, probed))


@contextmanager
def _elsewhere(path: Path, made: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rounds]:
    home = Home(path)
    with claim(home, 0, lambda text: None) as ownership:
        yield Rounds(home, ownership.guard, made, monkeypatch)
