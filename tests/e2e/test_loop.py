"""What the loop leaves behind: a champion, a decision with reasons, a report, and a record in MLflow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.bundle import load_bundle
from evernas.result import Result
from place import EXAMPLE, Place, succeeded

pytestmark = pytest.mark.e2e


def _accounts(place: Place, run: str) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (place.home / "runs" / run / "steps").glob("*.json")}


def _working_runs(place: Place) -> list[str]:
    return [run for run in place.runs() if place.result(run)["outcome"] != "nothing-new"]


def test_results_have_the_published_schema(undisturbed: Place) -> None:
    import jsonschema

    schema = json.loads(succeeded(undisturbed.evernas("schema", "result")).stdout)
    for run in undisturbed.runs():
        jsonschema.validate(undisturbed.result(run), schema)


def test_every_step_has_its_cost(undisturbed: Place) -> None:
    for run in _working_runs(undisturbed):
        steps = Result.model_validate(undisturbed.result(run)).steps
        names = [step.step for step in steps]
        assert names[:11] == [
            "ingest",
            "validate",
            "supernet",
            "profile",
            "search",
            "probe",
            "refine",
            "finalists",
            "benchmark",
            "gate",
            names[10],
        ]
        assert names[10] in ("promote", "hold")
        assert names[11:] == ["report"]
        assert all(step.seconds > 0 and step.cpu_seconds > 0 for step in steps)
        assert all(step.attempts == 1 for step in steps)


def test_first_run_promotes_a_first_champion_and_takes_the_promote_branch(undisturbed: Place) -> None:
    run = _working_runs(undisturbed)[0]
    (device,) = undisturbed.result(run)["devices"]
    assert device["verdict"]["outcome"] == "promote"
    assert device["champion_before"] is None
    assert device["champion_after"]["bundle"] == device["candidate"]
    assert "promote@laptop" in _accounts(undisturbed, run)
    assert "hold@laptop" not in _accounts(undisturbed, run)


def test_second_run_starts_warm_and_takes_the_branch_of_its_verdict(undisturbed: Place) -> None:
    first, second = _working_runs(undisturbed)[:2]
    before, after = undisturbed.result(first), undisturbed.result(second)
    assert after["supernet"]["parent"] == before["supernet"]["digest"]
    assert after["snapshot"]["parent"] == before["snapshot"]["id"]
    (device,) = after["devices"]
    assert device["champion_before"]["bundle"] == before["devices"][0]["champion_after"]["bundle"]
    assert device["verdict"]["reasons"]
    promoted = device["verdict"]["outcome"] == "promote"
    assert ("promote@laptop" in _accounts(undisturbed, second)) == promoted
    assert ("hold@laptop" in _accounts(undisturbed, second)) == (not promoted)
    assert (device["champion_after"]["bundle"] == device["candidate"]) == promoted


def _stale(place: Place, run: str) -> bool:
    """Whether the run found that its device is no longer what was profiled: busy beside the tests, mostly."""
    departure = place.result(run)["devices"][0]["departure"]
    return departure is not None and departure["stale"] and not departure["lasting"]


def test_profile_of_the_device_is_taken_once_unless_the_device_has_changed(undisturbed: Place) -> None:
    first, second = _working_runs(undisturbed)[:2]
    reused = {
        run: {s["step"]: s["reused"] for s in undisturbed.result(run)["steps"]}["profile"] for run in (first, second)
    }
    assert reused == {first: False, second: not _stale(undisturbed, first)}


def test_champion_is_measured_beside_the_candidates(undisturbed: Place) -> None:
    (device,) = undisturbed.result(_working_runs(undisturbed)[1])["devices"]
    assert len(device["champion_before"]["measurement"]["latency"]["per_restart_median_ms"]) == 2
    assert all(len(f["measurement"]["ratio_to_champion"]) == 2 for f in device["finalists"])
    assert all(f["measurement"]["energy_mj"] is None for f in device["finalists"]), "no sensor is null, never 0"


def test_champions_architecture_is_trained_again_on_the_new_data(undisturbed: Place) -> None:
    (device,) = undisturbed.result(_working_runs(undisturbed)[1])["devices"]
    champion = device["champion_before"]["architecture"]["id"]
    costs = {p["arch"]: np.array([p[name] for name in ("error", "latency_ms", "size_kb")]) for p in device["points"]}
    front = np.array([costs[point["arch"]] for point in device["front"]])
    span = np.where(np.ptp(front, axis=0) > 0, np.ptp(front, axis=0), 1.0)
    # The supernet may have come to think so little of it that it is further behind the front than the front is wide.
    far_behind = (front <= costs[champion] - span).all(axis=1).any()
    assert (champion in {f["architecture"]["id"] for f in device["finalists"]}) != far_behind


def test_another_search_by_hand_prints_a_front_and_leaves_no_trace(again: Place, tmp_path: Path) -> None:
    project = again.home / "projects/watch"

    def kept() -> dict[Path, bytes]:
        places = [*(project / name for name in ("head.json", "journal", "ledger", "steps")), again.home / "runs"]
        return {p: p.read_bytes() for place in places for p in (place, *place.rglob("*")) if p.is_file()}

    before = kept()
    options = ("search", str(again.config), "--strategy", "nsga2", "--evaluations", "12", "--json")
    said = json.loads(succeeded(again.evernas(*options)).stdout)
    assert (said["run"], said["evaluations"], said["strategy"]) == (again.runs()[-1], 12, "nsga2")
    errors = [point["error"] for point in said["front"]]
    assert errors == sorted(errors)
    assert said["hypervolume"] == sorted(said["hypervolume"])
    assert len(said["hypervolume"]) == len(said["hypervolume_random"]) == 12
    assert json.loads(succeeded(again.evernas(*options)).stdout) == said
    assert kept() == before
    refused = again.evernas("search", str(again.config), "--strategy", "grid")
    assert refused.returncode == 2
    assert "search.strategy = 'grid'" in refused.stderr
    empty = again.evernas("search", str(again.config), "--home", str(tmp_path / "empty"))
    assert empty.returncode == 2
    assert "run `evernas run` first" in empty.stderr


def test_nothing_new_does_nothing(undisturbed: Place, tmp_path: Path) -> None:
    place = undisturbed.copy(tmp_path / "home")
    journal = sorted((place.home / "projects/watch/journal").rglob("*.json"))
    done = succeeded(place.run())
    assert "Nothing new" in done.stdout
    place.more = {"COLUMNS": "24"}
    (told,) = [line for line in succeeded(place.run()).stdout.splitlines() if "✓ ingest" in line]
    assert told.endswith("nothing new"), "the lines of a log are whole"
    result = place.result()
    assert result["outcome"] == "nothing-new"
    assert [step["step"] for step in result["steps"]] == ["ingest"]
    assert sorted((place.home / "projects/watch/journal").rglob("*.json")) == journal
    assert succeeded(place.evernas("plan", str(place.config))).stdout.count("done") == 10


def test_a_run_killed_before_its_last_publication_shows_its_result(again: Place) -> None:
    place = again
    project = place.home / "projects/watch"
    before, runs = place.result(), place.runs()
    consumed = json.loads((project / "consumed.json").read_text())
    (project / "consumed.json").write_text(json.dumps({**consumed, "run": runs[0]}))
    decided = [p.read_text() for folder in ("journal", "ledger") for p in sorted((project / folder).rglob("*.json"))]
    done = succeeded(place.run())
    assert "going on where it was stopped" in done.stdout
    assert "Nothing new" not in done.stdout
    assert before["devices"][0]["verdict"]["sentence"][:60] in done.stdout
    assert place.runs() == runs
    after = place.result()
    assert after["devices"] == before["devices"]
    assert json.loads((project / "consumed.json").read_text()) == consumed
    assert decided == [
        p.read_text() for folder in ("journal", "ledger") for p in sorted((project / folder).rglob("*.json"))
    ]
    assert "Nothing new" in succeeded(place.run()).stdout


def test_bundle_answers_as_it_says(undisturbed: Place) -> None:
    import onnxruntime

    (device,) = undisturbed.result()["devices"]
    digest = device["champion_after"]["bundle"]
    bundle = load_bundle(undisturbed.home / "projects/watch/bundles" / digest[:16], expected=digest)
    session = onnxruntime.InferenceSession(bundle.model_path.read_bytes(), providers=["CPUExecutionProvider"])
    (scores,) = session.run([bundle.contract.output_name], {bundle.contract.input_name: bundle.samples.inputs})
    assert len(scores) == 5
    np.testing.assert_allclose(scores, bundle.samples.scores, atol=1e-5)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert bundle.labels == ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")


def test_mlflow_has_the_run_its_steps_and_the_champion(undisturbed: Place) -> None:
    import mlflow
    from mlflow import MlflowClient

    uri = f"sqlite:///{undisturbed.home / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("evernas-watch")
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    parents = [run for run in runs if run.data.tags["evernas.step"] == "run"]
    assert len(parents) == 2
    for parent in parents:
        assert parent.info.status == "FINISHED"
        assert parent.data.tags["evernas.outcome"] in ("promoted", "held")
        nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        steps = {run.data.tags["evernas.step"] for run in nested}
        assert {
            "ingest",
            "validate",
            "supernet",
            "search-laptop",
            "finalists-laptop",
            "benchmark-laptop",
            "gate-laptop",
        } <= steps
        assert all(run.info.status == "FINISHED" for run in nested)
        assert {"report.html", "result.json", "front-laptop.json"} <= {
            f.path for f in client.list_artifacts(parent.info.run_id)
        }
    first, second = sorted(parents, key=lambda run: run.info.start_time)
    profiles = {
        run.data.tags["mlflow.parentRunId"]: run for run in runs if run.data.tags["evernas.step"] == "profile-laptop"
    }
    again = profiles[second.info.run_id]
    if not _stale(undisturbed, first.data.tags["evernas.run"]):
        assert again.data.tags["evernas.reused_from"] == first.data.tags["evernas.run"]
        assert again.data.metrics == {}, "figures are told once, by the run that computed them"
    assert "evernas.reused_from" not in profiles[first.info.run_id].data.tags
    ingest = next(run for run in runs if run.data.tags["evernas.step"] == "ingest")
    assert ingest.inputs.dataset_inputs[0].dataset.name == "evernas-watch"
    supernet = next(run for run in runs if run.data.tags["evernas.step"] == "supernet")
    where = {run.data.tags["evernas.step"]: run.data.params["device"] for run in runs if "device" in run.data.params}
    # A second round computes where the device was found to be otherwise, which it may be beside other tests.
    assert where.keys() - {"refine-laptop"} == {"supernet", "search-laptop", "finalists-laptop"}
    assert all(re.match(r"cpu$|cuda: .", device) for device in where.values())
    events = (undisturbed.home / "runs" / _working_runs(undisturbed)[0] / "progress.jsonl").read_text()
    assert f"on {where['supernet']}" in events
    assert len(client.get_metric_history(supernet.info.run_id, "loss")) > 10
    (device,) = undisturbed.result()["devices"]
    version = client.get_model_version_by_alias("evernas-watch", "champion-laptop")
    assert version.tags["evernas.bundle"] == device["champion_after"]["bundle"]
    assert {
        "evernas.snapshot",
        "evernas.space",
        "evernas.supernet",
        "evernas.config",
        "evernas.run",
    } <= version.tags.keys()
    mlflow.set_tracking_uri(uri)
    info = mlflow.models.get_model_info("models:/evernas-watch@champion-laptop")
    assert info.signature.inputs.inputs[0].shape == (-1, 6, 128)


def test_report_is_one_file_that_names_the_verdict(undisturbed: Place) -> None:
    path = Path(succeeded(undisturbed.evernas("report")).stdout.strip())
    html = path.read_text()
    assert "<script src=" not in html
    assert '<link rel="stylesheet" href=' not in html
    assert len(html.encode()) < 3_000_000
    (device,) = undisturbed.result()["devices"]
    assert device["candidate"][:12] in html or device["candidate"][:8] in html


def test_gate_people_are_seen_by_the_gate_alone(again: Place, tmp_path: Path) -> None:
    """Without the gate's shards everything up to the gate runs; the gate, which needs them, is what fails."""
    place = again
    for shard in (place.home / "projects/watch/data/shards/gate").glob("*"):
        shard.unlink()
    import yaml

    document = yaml.safe_load(place.config.read_text())
    document["seed"] = 1
    # A candidate that is too slow or too large is held without a look at the split.
    document["gate"] = {**document["gate"], "margins": {"latency_ms": 99.0, "size_kb": 99.0}}
    # From two or three restarts a bound can be hundreds of times the figure, and the split is not looked at either.
    document["benchmark"] = {**document["benchmark"], "restarts": 7}
    config = tmp_path / "evernas.yaml"
    config.write_text(yaml.safe_dump(document))
    done = Place(place.home, config, place.warm).run()
    assert done.returncode == 1
    failure = json.loads(max((place.home / "runs").glob("*/failure.json")).read_text())
    assert failure["step"] in ("validate", "gate")


def test_ledger_counts_each_decision_once(undisturbed: Place) -> None:
    entries = sorted((undisturbed.home / "projects/watch/ledger").rglob("*.json"))
    assert [path.name for path in entries] == ["000001.json", "000002.json"]


def test_example_config_is_valid_and_its_gate_people_judge_only() -> None:
    from evernas.config import load_config

    config = load_config(EXAMPLE)
    assert len(config.data.splits.gate) == 3
    assert len(config.data.splits.search) == 2
