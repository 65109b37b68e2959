"""The plan says what a run would do before anything ran, and does nothing itself."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from evernas.config import load_config
from evernas.data import ingest
from evernas.gate import claim as first_decision
from evernas.loop.plan import Plan, PlannedStep, plan_of, print_plan
from evernas.registry.opening import open_journal
from evernas.result import Result
from evernas.state import Done, Guard, Head, Home, RunManifest
from evernas.state.files import write_json
from evernas.state.ownership import claim
from evernas.steps.benchmark import benchmark_inputs
from evernas.steps.context import Setting
from evernas.steps.finalists import finalists_inputs
from evernas.steps.gate import gate_inputs
from evernas.steps.ingest import ingest_inputs, run_key
from evernas.steps.launch import open_run
from evernas.steps.probe import probe_inputs
from evernas.steps.profile import profile_inputs
from evernas.steps.refine import refine_inputs
from evernas.steps.search import search_inputs
from evernas.steps.supernet import supernet_inputs
from evernas.steps.validate import validate_inputs
from evernas.triggers.lease import leases_of

ROOT = Path(__file__).parents[2]


def _plan(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVERNAS")}
    return subprocess.run(
        [sys.executable, "-m", "evernas.cli", "plan", str(tmp_path / "evernas.yaml"), *more],
        env={**environment, "EVERNAS_HOME": str(tmp_path / "home"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_before_the_first_run_all_steps_are_planned_with_rough_seconds(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/watch/evernas.yaml", tmp_path)
    incoming = tmp_path / "home" / "incoming" / "watch"
    incoming.mkdir(parents=True)
    (incoming / "batch.parquet").write_bytes(b"not looked into")
    planned = json.loads(_plan(tmp_path, "--json").stdout)
    assert planned["new"] == ["batch.parquet"]
    assert {step["state"] for step in planned["steps"]} == {"runs"}
    assert 60 < planned["seconds"] < 600
    assert planned["evaluations"] == 400
    first = first_decision(0.05, 365)
    assert (planned["decision"], planned["decisions_left"], planned["level"]) == (1, 364, first.level)
    said = _plan(tmp_path).stdout
    assert "Gate: decision 1 on these gate domains" in said
    assert "roughly" in said
    assert f"{int(planned['space_size']):,}" in said
    assert sorted(p.name for p in (tmp_path / "home").iterdir()) == ["incoming"], "a plan leaves nothing behind"


def test_a_missing_source_is_refused_with_exit_2(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples/watch/evernas.yaml", tmp_path)
    done = _plan(tmp_path)
    assert done.returncode == 2
    assert "data.source" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def place(tmp_path: Path, recording: Callable[..., Any], deliver: Callable[..., Path], source: Path) -> Home:
    """A state folder in which a run of the config `evernas.yaml` was completed without a champion."""
    deliver("batch.parquet", [recording(f"r{domain}", domain, channels=6) for domain in ("g", "s", "t")])
    document = yaml.safe_load((ROOT / "examples/watch/evernas.yaml").read_text())
    document["data"] |= {"source": str(source), "splits": {"gate": ["g"], "search": ["s"]}}
    (tmp_path / "evernas.yaml").write_text(yaml.safe_dump(document))
    home = Home(tmp_path / "home")
    config = load_config(tmp_path / "evernas.yaml")
    with claim(home, 0, lambda text: None) as ownership:
        snapshot = ingest(source, home.snapshots(config.project), config.data, None).id
        manifest = RunManifest.open(home, "first", config, str(source), open_journal(home, config).heads(["laptop"]))
        run = Setting(home, manifest, config.devices[0].name)
        _complete(run, snapshot, ownership.guard)
    return home


def _complete(run: Setting, snapshot: str, guard: Guard) -> None:
    """Leave every step as done, with just the facts that the keys of others are made of, and the head."""

    def done(step: str, inputs: dict[str, Any], facts: dict[str, Any]) -> Done:
        ref = run.ref(step, inputs)
        return run.store.finish(Done(ref, run.store.workspace(ref), facts, inputs, "first"), [], guard)

    ingested = done("ingest", ingest_inputs(snapshot), {"snapshot": snapshot})
    kept = {split: f"rows of {split}" for split in ("train", "search", "gate")}
    validated = done("validate", validate_inputs(run, ingested), {"kept": kept})
    supernet = done("supernet", supernet_inputs(run, validated), {"profile": [{"digest": "a subnet"}]})
    profiled = done("profile", profile_inputs(run, supernet), {})
    front = {"front": [], "space": run.space.id, "probes": [{"digest": "a network of the front"}]}
    first = done("search", search_inputs(run, validated, supernet, profiled), front)
    probed = done("probe", probe_inputs(run, profiled, first), {})
    searched = done("refine", refine_inputs(first, probed), front)
    chosen = done("finalists", finalists_inputs(run, validated, supernet, searched), {"finalists": [{"bundle": "b"}]})
    measured = done("benchmark", benchmark_inputs(run, chosen), {"measurements": {"b": {"latency": 1.0}}})
    done("gate", gate_inputs(run, validated, chosen, measured), {})
    Head(
        run="first",
        key=run_key(run.config, snapshot, run.manifest.journal),
        snapshot=snapshot,
        supernet=supernet.ref,
        validated=validated.ref,
        searches={run.device.name: searched.ref},
    ).write(run.home, run.project)
    write_json(run.run_folder / "result.json", json.loads(EMPTY_RESULT.model_dump_json()))
    write_json(run.home.consumed(run.project), {"run": "first", "objects": {}})


EMPTY_RESULT = Result(
    run="first",
    project="watch",
    outcome="held",
    reason="Nothing was promoted.",
    started_at="2026-01-01T00:00:00+00:00",
    ended_at="2026-01-01T00:01:00+00:00",
    config="c",
    snapshot=None,
    supernet=None,
    devices=[],
    steps=[],
    seconds=1.0,
    cpu_seconds=1.0,
    mlflow={},
)


def _planned(home: Home, **sections: Any) -> dict[str, str]:
    """The state of each step for the config with these sections replaced."""
    path = home.path.parent / "evernas.yaml"
    changed = home.path.parent / "changed.yaml"
    changed.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **sections}))
    steps = plan_of(load_config(changed), home).steps
    return {" ".join(filter(None, (step.step, step.device))): step.state for step in steps}


def test_a_run_at_work_is_not_taken_for_one_that_was_stopped(place: Home) -> None:
    path = place.path.parent / "changed.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load((place.path.parent / "evernas.yaml").read_text()), "seed": 1}))
    config = load_config(path)
    with claim(place, 0, lambda text: None):
        open_run(place, "second", config)
        assert leases_of(place, config.project).claim("second") is not None
        plan = plan_of(config, place)
        assert (plan.run, plan.working) == ("second", True)
        assert "Run second is at work" in _printed(plan)
    plan = plan_of(config, place)
    assert (plan.run, plan.working) == ("second", False), "killed, and its claim is still there"
    assert "Run second was stopped and will go on" in _printed(plan)
    with claim(place, 0, lambda text: None):
        leases_of(place, config.project).end("second")
        assert not plan_of(config, place).working, "another command owns the folder"


def _printed(plan: Plan) -> str:
    out = io.StringIO()
    print_plan(plan, Console(file=out, width=200))
    return out.getvalue()


def test_with_the_same_data_and_config_all_is_done(place: Home) -> None:
    assert set(_planned(place).values()) == {"done"}


def test_a_new_gate_policy_runs_the_gate_alone(place: Home) -> None:
    states = _planned(place, gate={"alpha": 0.01})
    assert states.pop("gate laptop") == "runs"
    assert set(states.values()) == {"re-used"}
    assert len(states) == 9


def test_an_added_device_runs_its_own_branch_alone(place: Home) -> None:
    devices = [{"name": name, "runtime": "onnxruntime-cpu", "threads": t} for name, t in (("laptop", 1), ("other", 2))]
    states = _planned(place, devices=devices)
    assert {name: state for name, state in states.items() if state == "runs"} == {
        f"{step} other": "runs" for step in ("profile", "search", "probe", "refine", "finalists", "benchmark", "gate")
    }
    assert {state for name, state in states.items() if "other" not in name} == {"re-used"}


def test_from_the_first_step_that_is_not_done_all_run(place: Home) -> None:
    states = _planned(place, finalists={"count": 3})
    assert [name for name, state in states.items() if state == "runs"] == [
        "finalists laptop",
        "benchmark laptop",
        "gate laptop",
    ]
    assert states["search laptop"] == "re-used"


def test_a_step_whose_files_were_damaged_runs_again(place: Home) -> None:
    (marker,) = place.steps("watch").glob("finalists/*/done.json")
    marker.unlink()
    states = _planned(place, gate={"alpha": 0.01})
    assert states["search laptop"] == "re-used"
    assert states["finalists laptop"] == states["benchmark laptop"] == states["gate laptop"] == "runs"


def test_new_data_runs_everything_but_the_profile(
    place: Home, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    deliver("next.parquet", [recording("next", "t", channels=6, seed=1)])
    states = _planned(place)
    assert states.pop("profile laptop") == "re-used"
    assert set(states.values()) == {"runs"}


def test_a_device_that_was_too_busy_is_planned_to_be_measured_again(place: Home) -> None:
    (marker,) = place.steps("watch").glob("benchmark/*/done.json")
    write_json(marker.parent / "unsettled.json", {"version": 1, "run": "first"})
    states = _planned(place, gate={"alpha": 0.01})
    assert states["finalists laptop"] == "re-used"
    assert states["benchmark laptop"] == "runs"


def test_what_is_reused_costs_nothing(place: Home) -> None:
    path = place.path.parent / "evernas.yaml"
    config = load_config(path)
    policy = config.gate.model_copy(update={"alpha": 0.01})
    foreseen = plan_of(config.model_copy(update={"gate": policy}), place)
    assert foreseen.seconds == next(step.seconds for step in foreseen.steps if step.step == "gate")
    out = io.StringIO()
    print_plan(foreseen, Console(file=out, width=120))
    assert out.getvalue().count("re-used") == 9


def _has_trained(
    home: Home, run: str, seconds: float, *, parent: str | None, steps: int, reused: bool = False, **more: Any
) -> None:
    """Leave a completed run whose supernet took so long."""
    folder = home.run(run)
    shutil.copytree(home.run("first"), folder)
    manifest = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", {**manifest, "run": run})
    supernet = {
        **{"digest": f"of {run}", "parent": parent, "steps": steps, "curve": [], "space": "s", "space_size": "1"},
        **more,
    }
    cost = {"step": "supernet", "device": None, "key": "k", "reused": reused, "attempts": 1, "seconds": seconds}
    result = json.loads(EMPTY_RESULT.model_dump_json())
    result |= {"run": run, "supernet": supernet, "steps": [{**cost, "cpu_seconds": 2 * seconds}]}
    write_json(folder / "result.json", result)


def _foreseen(home: Home, changes: dict[str, Any] | None = None, **facts: Any) -> tuple[PlannedStep, str]:
    """The supernet's step where all has to be made anew, its last one with these facts; and what is said of it."""
    (marker,) = home.steps("watch").glob("supernet/*/done.json")
    document = json.loads(marker.read_text())
    write_json(marker, document | {"facts": document["facts"] | facts})
    document = yaml.safe_load((home.path.parent / "evernas.yaml").read_text())
    document["supernet"] = {**document.get("supernet", {}), "steps": 800, "warm_steps": 400, **(changes or {})}
    plan = plan_of(load_config(_write(home.path.parent / "changed.yaml", document)), home)
    assert plan.training is not None
    assert plan.training in " ".join(_printed(plan).split())
    assert plan.to_json()["training"] == plan.training
    return next(step for step in plan.steps if step.step == "supernet"), plan.training


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_training_is_estimated_by_the_last_one_of_the_same_way(place: Home) -> None:
    _has_trained(place, "20260101-000001-aaaaaa", 80.0, parent=None, steps=800)
    _has_trained(place, "20260102-000001-aaaaaa", 90.0, parent=None, steps=800)
    _has_trained(place, "20260103-000001-aaaaaa", 30.0, parent="p", steps=400)
    _has_trained(place, "20260104-000001-aaaaaa", 1.0, parent="p", steps=400, reused=True)
    due, said = _foreseen(place, warm_starts=9)
    assert (due.seconds, due.rough) == (90.0, False)
    assert due.cost is not None
    assert due.cost.cpu_seconds == 180.0
    assert "is trained cold: of 10 trainings one is cold (supernet.warm_start.cold_every), and this one is due" in said
    assert said.endswith("Estimated by the last training that was cold, of run 20260102-000001-aaaaaa.")
    warm, said = _foreseen(place, warm_starts=8)
    assert (warm.seconds, warm.rough) == (30.0, False)
    assert said.startswith("The supernet's training goes on from the last one's weights.")
    assert said.endswith("Estimated by the last training that was warm, of run 20260103-000001-aaaaaa.")


def test_a_way_that_was_never_trained_is_estimated_by_the_other_in_proportion_to_steps(place: Home) -> None:
    _has_trained(place, "20260103-000001-aaaaaa", 30.0, parent="p", steps=500)
    due, said = _foreseen(place, warm_starts=9)
    assert (due.seconds, due.rough) == (48.0, True)
    assert "No cold training is known: estimated by run 20260103-000001-aaaaaa's warm one, for 800 steps" in said
    _has_trained(place, "20260104-000001-aaaaaa", 80.0, parent=None, steps=800)
    shutil.rmtree(place.run("20260103-000001-aaaaaa"))
    warm, said = _foreseen(place, warm_starts=0)
    assert (warm.seconds, warm.rough) == (40.0, True)
    assert "for 400 steps in place of 800" in said


def test_a_training_of_other_steps_is_estimated_in_proportion_to_them(place: Home) -> None:
    _has_trained(place, "20260103-000001-aaaaaa", 50.0, parent="p", steps=500)
    warm, said = _foreseen(place, warm_starts=1)
    assert (warm.seconds, warm.rough) == (40.0, True)
    assert said.endswith("that was warm, of run 20260103-000001-aaaaaa, for 400 steps in place of 500.")


def test_a_cold_training_after_a_warm_one_that_was_given_up_counts_only_where_there_is_no_other(place: Home) -> None:
    lost = {"samples": 9, "before": 0.1, "after": 0.9, "fell_back": True}
    diverged = {"step": 3, "steps": 400, "learning_rate": 0.1}
    _has_trained(place, "20260102-000001-aaaaaa", 110.0, parent=None, steps=800, lost=lost)
    _has_trained(place, "20260103-000001-aaaaaa", 120.0, parent=None, steps=800, diverged=diverged)
    due, said = _foreseen(place, warm_starts=9)
    assert due.seconds == 120.0
    assert "run 20260103-000001-aaaaaa, which trained cold after a warm start that it gave up: by both" in said
    _has_trained(place, "20260101-000001-aaaaaa", 80.0, parent=None, steps=800)
    assert _foreseen(place, warm_starts=9)[0].seconds == 80.0


def test_a_supernet_that_stayed_as_drift_decided_tells_nothing_of_trainings(place: Home) -> None:
    _has_trained(place, "20260101-000001-aaaaaa", 80.0, parent=None, steps=800, digest="one")
    _has_trained(place, "20260102-000001-aaaaaa", 2.0, parent=None, steps=800, digest="one")
    assert _foreseen(place, warm_starts=9)[0].seconds == 80.0


def test_a_last_supernet_that_is_gone_is_foreseen_as_a_cold_start(place: Home) -> None:
    config = load_config(place.path.parent / "evernas.yaml").model_copy(update={"seed": 3})
    _has_trained(place, "20260101-000001-aaaaaa", 80.0, parent=None, steps=config.supernet.steps)
    (marker,) = place.steps("watch").glob("supernet/*/done.json")
    marker.unlink()
    plan = plan_of(config, place)
    assert plan.training is not None
    assert plan.training.startswith("The supernet is trained cold: the last one (supernet/")
    assert "is gone or damaged. Estimated by the last training that was cold" in plan.training
    assert next(step for step in plan.steps if step.step == "supernet").seconds == 80.0


def test_other_channels_are_foreseen_as_a_cold_start(place: Home) -> None:
    (marker,) = place.steps("watch").glob("supernet/*/done.json")
    document = json.loads(marker.read_text())
    write_json(marker, {**document, "inputs": {**document["inputs"], "space": "another"}})
    _, said = _foreseen(place, layout={"samples": ["signal", ["another"]], "pooled": {}})
    assert said == (
        "The supernet is trained cold: the last one's samples are of another kind, have other channels, or were cut "
        "into other sub-words."
    )


def test_another_space_is_foreseen_as_a_warm_start_of_at_most_the_steps_of_a_cold_one(place: Home) -> None:
    _has_trained(place, "20260103-000001-aaaaaa", 30.0, parent="p", steps=400)
    (marker,) = place.steps("watch").glob("supernet/*/done.json")
    document = json.loads(marker.read_text())
    write_json(marker, {**document, "inputs": {**document["inputs"], "space": "another"}})
    config = load_config(place.path.parent / "evernas.yaml")
    step, said = _foreseen(place, layout={"samples": ["signal", config.data.sample.channels], "pooled": {}})
    assert said == (
        "The supernet's training goes on from the last one's weights, in at most 800 steps, since space or classes "
        "have changed. Estimated by the last training that was warm, of run 20260103-000001-aaaaaa, for 800 steps in "
        "place of 400."
    )
    assert step.seconds == 60.0


def test_nothing_is_said_of_training_where_there_is_none(place: Home) -> None:
    assert plan_of(load_config(place.path.parent / "evernas.yaml"), place).training is None
