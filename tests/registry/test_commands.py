"""Changing the champion by hand: promote, rollback, import, anchor and verify, as a person or a job gives them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import numpy_helper

from evernas.hardware.measurement import Latency, Measurement
from evernas.hardware.runtime import runtime_named
from evernas.loop import champions, importing, verification
from evernas.registry.models import model_name, register
from evernas.registry.tracking import client, step_run
from evernas.registry.verdicts import expiry, moment
from evernas.state import Home
from evernas.state.ownership import claim
from evernas.steps import promote
from evernas.steps.decision import evidence_file, verdict_file
from evernas.steps.evidence import evidence_digest
from github_jobs import ROOT, Ran, Workflow, evernas_on_path
from small_project import (
    BENCHMARK,
    CHANNELS,
    LABELS,
    LENGTH,
    Place,
    context_of,
    judge,
    network,
    people_of,
    project_in,
)

MEAN, STD = [1.0, -2.0], [2.0, 0.5]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One MLflow store, which takes seconds to make, for all tests; each has a project of its own."""
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("EVERNAS_GATE_KEY", "EVERNAS_GATE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVERNAS_HOME", str(home.path))


@pytest.fixture
def place(home: Home, tmp_path: Path) -> Place:
    return project_in(home, tmp_path)


def test_promote_makes_the_candidate_champion_once_and_again_says_so(place: Place) -> None:
    bundle = place.bundle(1)
    file = place.write("verdict.json", place.verdict(bundle)[0])
    assert place.evernas("promote", place.path, "--verdict", file)[0] == 0
    assert (place.head.number, place.head.bundle) == (1, bundle.digest)
    code, said = place.evernas("promote", place.path, "--verdict", file)
    assert (code, "already the champion" in said) == (0, True)
    assert place.journal.head_number("laptop") == 1
    assert place.aliases() == {"champion-laptop": "1"}
    version = client(place.home).get_model_version(model_name(place.project), "1")
    assert version.description.startswith(f"# {place.project}: {bundle.digest[:16]} for laptop")
    assert {"evernas.bundle", "evernas.run", "evernas.verdict", "evernas.key", "evernas.snapshot"} <= set(version.tags)


def test_previous_alias_is_what_a_rollback_goes_to(place: Place) -> None:
    for seed in (1, 2):
        assert place.promote(place.bundle(seed), f"run-{seed}")[0] == 0
    assert place.aliases() == {"champion-laptop": "2", "previous-laptop": "1"}
    code, said = place.evernas("rollback", place.path, "--reason", "it drifts")
    assert code == 0, said
    assert place.aliases() == {"champion-laptop": "1"}
    assert (place.head.number, place.head.kind, place.head.reason) == (3, "rollback", "it drifts")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda signed: {**signed, "signature": signed["signature"][::-1]}, "altered"),
        (lambda signed: signed["payload"], "not signed"),
    ],
)
def test_promote_ends_with_3_for_a_verdict_that_is_not_the_gates(
    place: Place, spoil: Callable[[Any], Any], message: str
) -> None:
    file = place.write("verdict.json", spoil(place.verdict(place.bundle(1))[0]))
    code, said = place.evernas("promote", place.path, "--verdict", file)
    assert (code, message in said) == (3, True)
    assert place.journal.head("laptop") is None


def test_promote_ends_with_3_when_expired_spent_or_made_void_by_a_rollback(place: Place) -> None:
    late = expiry(moment() - timedelta(hours=80), 72)
    code, said = place.promote(place.bundle(1), made_at=late[0], expires_at=late[1])
    assert (code, "run again for a new one" in said) == (3, True)
    for seed in (1, 2):
        assert place.promote(place.bundle(seed), f"run-{seed}")[0] == 0
    waiting = place.write("waiting.json", place.verdict(place.bundle(3))[0])
    assert place.evernas("rollback", place.path)[0] == 0
    code, said = place.evernas("promote", place.path, "--verdict", waiting)
    assert (code, "made at journal number 2" in said) == (3, True)


def test_promote_ends_with_3_when_the_policy_was_changed(place: Place) -> None:
    file = place.write("verdict.json", place.verdict(place.bundle(1))[0])
    place.change(gate={"max_error": 0.4})
    code, said = place.evernas("promote", place.path, "--verdict", file)
    assert (code, "made under the policy" in said) == (3, True)


def test_promote_ends_with_2_where_there_is_no_verdict(place: Place) -> None:
    code, said = place.evernas("promote", place.path, "--verdict", place.path.parent / "none.json")
    assert (code, "cannot be read" in said) == (2, True)
    code, said = place.evernas("promote", place.path, "--run", "run-0")
    assert (code, "no decision on laptop" in said) == (2, True)


def test_a_runner_without_the_state_folders_files_promotes_what_mlflow_has(place: Place) -> None:
    """What the GitHub job does: verdict, evidence and bundle come from MLflow, by the name of the run."""
    bundle = place.bundle(1)
    signed, evidence = place.verdict(bundle, "run-7")
    contract = {"input": "input", "output": "scores", "dtype": "float32", "shape": (CHANNELS, LENGTH), "classes": 2}
    with step_run(place.home, place.project, "run-7", "promote", "laptop") as tracked:
        tags = {"evernas.run": "run-7", "evernas.device": "laptop"}
        register(tracked, place.project, bundle.path, bundle.digest, contract, tags, "# Card")
        tracked.value(signed, verdict_file("laptop"))
        tracked.value(evidence, evidence_file("laptop"))
    shutil.rmtree(bundle.path)
    code, said = place.evernas("gate", "verify", place.path, "--run", "run-7", "--json")
    assert code == 0, said
    assert f'"candidate": "{bundle.digest}"' in said  # between MLflow's progress on standard error
    code, said = place.evernas("promote", place.path, "--run", "run-7")
    assert code == 0, said
    assert place.head.bundle == bundle.digest
    assert bundle.model_path.exists()


def test_champion_with_a_config_shows_it_and_repairs_the_alias(place: Place) -> None:
    assert "no champion yet" in place.evernas("champion", place.path)[1]
    for seed in (1, 2):
        place.promote(place.bundle(seed), f"run-{seed}")
    client(place.home).set_registered_model_alias(model_name(place.project), "champion-laptop", "1")
    code, said = place.evernas("champion", place.path, "--json")
    assert (code, json.loads(said)["laptop"]["number"]) == (0, 2)
    assert place.aliases() == {"champion-laptop": "2", "previous-laptop": "1"}


def test_anchor_is_journalled_with_its_reason_and_keeps_the_champion(place: Place) -> None:
    assert place.evernas("champion", "anchor", place.path, "--reason", "x")[0] == 2
    place.promote(place.bundle(1))
    assert "needs --reason" in place.evernas("champion", "anchor", place.path)[1]
    code, said = place.evernas("champion", "anchor", place.path, "--reason", "looked at by hand", "--json")
    assert (code, json.loads(said)["champion"]) == (0, place.head.to_json())
    head = place.head
    assert (head.number, head.kind, head.stands, head.reason) == (2, "anchor", 1, "looked at by hand")


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"metric": "size_kb", "max": 0.1}, "the limit is 0.1 kB"),
        ({"metric": "latency_ms", "max": 1e-6}, "latency"),
        ({"metric": "error", "max": 0.01}, "Its error was shown to be at most"),
        (
            {"metric": "robust_error", "max": 0.3},
            "split was never bounded, and constraints bounds it by 30",
        ),
        (
            {"metric": "worst_domain_error", "max": 0.3},
            "Its error in the worst domain of the search split was never bounded, and constraints bounds it by 30",
        ),
    ],
)
def test_rollback_holds_on_a_constraint_of_today_and_goes_on_with_force_and_a_reason(
    place: Place, constraint: dict[str, Any], message: str
) -> None:
    for seed in (1, 2):
        place.promote(place.bundle(seed), f"run-{seed}")
    place.change(constraints=[constraint])
    code, said = place.evernas("rollback", place.path)
    assert (code, message in said) == (3, True), said
    assert place.evernas("rollback", place.path, "--force")[0] == 2
    assert place.head.number == 2
    code, said = place.evernas("rollback", place.path, "--force", "--reason", "the new one is worse")
    assert (code, "In spite of this" in said) == (0, True), said
    assert place.head.reason is not None
    assert place.head.reason.startswith("the new one is worse")
    assert message in place.head.reason


@pytest.mark.parametrize("metric", ["robust_error", "worst_domain_error"])
def test_rollback_holds_on_what_corruptions_did_to_the_champion_of_old_or_a_domain(place: Place, metric: str) -> None:
    place.change(constraints=[{"metric": metric, "max": 0.3}])
    for seed in (1, 2):
        place.promote(place.bundle(seed), f"run-{seed}")
    place.change(constraints=[{"metric": metric, "max": 0.19}])
    code, said = place.evernas("rollback", place.path)
    assert (code, "of the search split was 20.0 %, and the limit is 19 %" in said) == (3, True), said
    place.change(constraints=[{"metric": metric, "max": 0.2}])
    assert place.evernas("rollback", place.path)[0] == 0


def test_rollback_meets_constraints_by_measuring(place: Place) -> None:
    bounds = {"latency_p95_ms": 1e6, "peak_memory_mb": 1e6, "cold_start_ms": 1e9}
    for seed in (1, 2):
        place.promote(place.bundle(seed), f"run-{seed}")
    place.change(
        constraints=[{"metric": metric, "max": most} for metric, most in bounds.items()],
        benchmark={**BENCHMARK, "cold_starts": 2},
    )
    code, said = place.evernas("rollback", place.path, "--to", "1")
    assert code == 0, said


def test_rollback_to_damaged_files_brings_them_from_mlflow_or_fails(place: Place) -> None:
    first = place.bundle(1)
    place.promote(first, "run-1")
    place.promote(place.bundle(2), "run-2")
    first.model_path.write_bytes(b"torn")
    code, said = place.evernas("rollback", place.path, "--force", "--reason", "x")
    assert (code, "changed or torn" in said) == (1, True)
    shutil.rmtree(first.path)
    assert place.evernas("rollback", place.path)[0] == 0
    assert first.model_path.read_bytes() == network(1)


MEASURED = Measurement(
    "m", "laptop", "onnxruntime-cpu", Latency(1.0, 1.1, 1.2, 0.1, 0.01, (1.0, 1.01), (1.1, 1.1)), peak_memory_mb=1.0,
    size_kb=1.0,
).to_json()  # fmt: skip
DECLARED = {"labels": ["run", "walk"], "channels": ["x", "y"], "length": LENGTH, "layout": "time_first"}


def _import(place: Place, model: bytes, declared: dict[str, Any] | None, *more: str) -> tuple[int, str]:
    path = place.path.parent / "theirs.onnx"
    path.write_bytes(model)
    if declared is not None:
        path.with_suffix(".yaml").write_text(yaml.safe_dump(declared))
    return place.evernas("champion", "import", path, "--device", "laptop", "--config", place.path, *more)


def test_an_imported_network_takes_raw_windows_and_answers_in_our_order(place: Place) -> None:
    theirs = network(5, time_first=True, answer="probabilities")
    code, said = _import(place, theirs, {**DECLARED, "mean": MEAN, "std": STD}, "--json")
    assert code == 0, said
    head = place.head
    assert json.loads(said.splitlines()[-1])["champion"] == head.to_json()
    assert (head.kind, head.number, head.architecture) == ("import", 1, None)
    folder = place.home.bundles(place.project) / head.bundle[:16]
    x = np.random.default_rng(1).normal(size=(3, CHANNELS, LENGTH)).astype(np.float32)
    ours = runtime_named("onnxruntime-cpu").load((folder / "model.onnx").read_bytes(), 1).run(x)
    prepared = ((x - np.asarray(MEAN)[:, None]) / np.asarray(STD)[:, None]).transpose(0, 2, 1).astype(np.float32)
    expected = runtime_named("onnxruntime-cpu").load(theirs, 1).run(np.ascontiguousarray(prepared))[:, ::-1]
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert place.aliases() == {"champion-laptop": "1"}
    extra = json.loads((folder / "bundle.json").read_text())["extra"]
    assert extra["measurement"]["latency"]["median_ms"] > 0
    assert len(list(place.home.bundles(place.project).iterdir())) == 1


@pytest.mark.parametrize(("state", "where"), [("s3://lake/nas", "-promotions"), ("/var/lib/evernas", "")])
def test_version_that_a_person_makes_lies_where_runs_that_share_a_bucket_may_not_write(
    place: Place, state: str, where: str
) -> None:
    place.change(triggers={"submit": {"to": "kfp", "kfp": {"host": "http://kfp:8888", "home": state}}})
    assert place.promote(place.bundle(1), f"run-{place.project}")[0] == 0
    declared = {**DECLARED, "labels": LABELS, "layout": "channels_first"}
    assert _import(place, network(5), declared, "--force", "--reason", "theirs is better")[0] == 0
    store = client(place.home)
    for number in ("1", "2"):
        made_by = store.get_run(str(store.get_model_version(model_name(place.project), number).run_id))
        name = store.get_experiment(made_by.info.experiment_id).name
        assert name == f"evernas-{place.project}{where}"


def test_an_imported_network_of_our_own_form_keeps_its_very_bytes(place: Place) -> None:
    declared = {**DECLARED, "labels": LABELS, "layout": "channels_first"}
    assert _import(place, network(5), declared)[0] == 0
    folder = place.home.bundles(place.project) / place.head.bundle[:16]
    assert (folder / "model.onnx").read_bytes() == network(5)


def test_an_import_replaces_a_champion_only_by_force_with_a_reason_and_can_be_rolled_back(place: Place) -> None:
    first = place.bundle(1)
    place.promote(first)
    model = network(5, time_first=True)
    assert "which only a verdict replaces" in _import(place, model, DECLARED)[1]
    assert _import(place, model, DECLARED, "--force")[0] == 2
    assert _import(place, model, DECLARED, "--force", "--reason", "ours for years")[0] == 0
    assert (place.head.number, place.head.reason) == (2, "ours for years")
    assert place.evernas("rollback", place.path)[0] == 0
    assert place.head.bundle == first.digest


def test_an_imported_network_that_is_worse_than_ours_is_replaced_and_a_better_one_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "measured_now", lambda config, device, model: MEASURED)
    place.change(constraints=[{"metric": "error", "max": 0.15}])
    declared = {**DECLARED, "labels": LABELS, "layout": "channels_first"}
    split, better, worse = people_of(network(1)), place.bundle(1), place.bundle(2)
    with claim(place.home, 0, lambda text: None) as ownership:
        assert _import(place, network(2), declared)[0] == 0
        decision = judge(place, f"{place.project}-1", better, split, ownership.guard, MEASURED)
        assert decision["verdict"]["outcome"] == "promote", decision["verdict"]["sentence"]
        (incident,) = decision["incidents"]
        assert incident.startswith("Incident: the champion of laptop (entry 1) breaks a constraint: its error is ")
        code, said = place.evernas("promote", place.path, "--verdict", place.write("v.json", decision["signed"]))
        assert (code, place.head.bundle) == (0, better.digest), said
        assert _import(place, network(1), declared, "--force", "--reason", "ours for years")[0] == 0
        theirs = place.head
        decision = judge(place, f"{place.project}-2", worse, split, ownership.guard, MEASURED)
        assert decision["verdict"]["outcome"] == "hold"
        assert decision["incidents"] == []
        code, said = place.evernas("promote", place.path, "--verdict", place.write("v.json", decision["signed"]))
        assert (code, place.head) == (3, theirs), said


def test_a_verdict_by_prices_is_recomputed_from_its_evidence_and_void_by_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Candidate and champion are measured alike, so that all that is traded is the error."""

    def trade(**prices: float) -> None:
        place.change(gate={"trade_off": {"prices": {"error": 1.0, "latency_ms": 1.0} | prices, "effect": 1.0}})

    monkeypatch.setattr(importing, "measured_now", lambda config, device, model: MEASURED)
    declared, run = {**DECLARED, "labels": LABELS, "layout": "channels_first"}, f"{place.project}-1"
    better = place.bundle(1)
    trade()
    with claim(place.home, 0, lambda text: None) as ownership:
        assert _import(place, network(2), declared)[0] == 0
        decision = judge(place, run, better, people_of(network(1)), ownership.guard, MEASURED)
    assert decision["verdict"]["outcome"] == "promote", decision["verdict"]["sentence"]
    assert decision["verdict"]["reasons"][-1]["rule"] == "utility"
    code, said = place.evernas("gate", "verify", place.path, "--run", run)
    assert (code, "its evidence gives the same verdict again" in said) == (0, True), said
    trade(latency_ms=2.0)
    code, said = place.evernas("promote", place.path, "--run", run)
    assert (code, "policy" in said) == (3, True), said
    trade()
    code, said = place.evernas("promote", place.path, "--run", run)
    assert (code, place.head.bundle) == (0, better.digest), said


def _answers_nan() -> bytes:
    model = onnx.load_from_string(network(5, time_first=True))
    held = model.graph.initializer[0]
    held.CopyFrom(numpy_helper.from_array(np.full((CHANNELS, 2), np.nan, np.float32), "weights"))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("model", "declared", "code", "message"),
    [
        (b"no network", DECLARED, 2, "no ONNX network"),
        (network(5, time_first=True), None, 2, "declare there what the network takes"),
        (network(5, time_first=True), {**DECLARED, "labels": ["run", "jump"]}, 2, "same classes"),
        (network(5, time_first=True), {**DECLARED, "channels": ["y", "x"]}, 2, "same windows"),
        (network(5, time_first=True), {**DECLARED, "std": [1.0, 0.0]}, 2, "must be a positive number"),
        (network(5, time_first=True), {**DECLARED, "mean": [1.0]}, 2, "1 values of mean for 2 channels"),
        (network(5, time_first=True), {**DECLARED, "colour": "red"}, 2, "is refused"),
        (network(5, time_first=True), {**DECLARED, "output": "logit"}, 2, "no output 'logit'"),
        (network(5), DECLARED, 2, "mend channels, length or layout"),
        (network(5, time_first=True, batch=1), DECLARED, 2, "batches of 1 only"),
        (_answers_nan(), DECLARED, 3, "NaN or infinity"),
    ],
)
def test_a_network_that_is_not_as_declared_is_not_imported(
    place: Place, model: bytes, declared: dict[str, Any] | None, code: int, message: str
) -> None:
    found, said = _import(place, model, declared)
    assert (found, message in said) == (code, True), said
    assert place.journal.head("laptop") is None


def test_verify_writes_the_jobs_summary_and_outputs(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = place.bundle(1)
    signed, evidence = place.verdict(bundle)
    summary, outputs = tmp_path / "summary.md", tmp_path / "output"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_OUTPUT", str(outputs))
    files = ("--verdict", place.write("v.json", signed), "--evidence", place.write("e.json", evidence))
    code, said = place.evernas("gate", "verify", place.path, *files)
    assert code == 0, said
    assert "its evidence gives the same verdict again" in said
    text = summary.read_text()
    assert text.startswith("## laptop: promote")
    assert "| passed | floor:error |" in text
    assert "```mermaid" in text
    assert bundle.digest in text
    values = outputs.read_text()
    assert "outcome<<" in values
    assert "\npromote\n" in values
    assert bundle.digest in values
    assert place.journal.head("laptop") is None, "verifying spends nothing"


def _flip(document: dict[str, Any]) -> dict[str, Any]:
    changed = json.loads(json.dumps(document))
    right = changed["evidence"]["candidate"]["answers"]
    changed["evidence"]["candidate"]["answers"] = [not value for value in right]
    return changed


def test_verify_holds_on_evidence_that_was_altered_is_missing_or_gives_another_verdict(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = place.bundle(1)
    signed, evidence = place.verdict(bundle)
    verdict = place.write("v.json", signed)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    code, said = place.evernas(
        "gate", "verify", place.path, "--verdict", verdict, "--evidence", place.write("e.json", _flip(evidence))
    )
    assert (code, "was altered" in said) == (3, True)
    assert summary.read_text().startswith("## laptop: hold")
    code, said = place.evernas("gate", "verify", place.path, "--verdict", verdict)
    assert code in (2, 3), said
    lying, _ = place.verdict(bundle, evidence=evidence_digest(_flip(evidence)))
    files = ("--verdict", place.write("v.json", lying), "--evidence", place.write("e.json", _flip(evidence)))
    code, said = place.evernas("gate", "verify", place.path, *files)
    assert (code, "gives another verdict than was signed" in said) == (3, True), said


def test_evidence_makes_nothing_but_what_the_gate_is_shown(place: Place) -> None:
    bundle = place.bundle(1)
    _, evidence = place.verdict(bundle)
    evil = {**evidence, "evidence": {**evidence["evidence"], "of": "decide"}}
    signed, _ = place.verdict(bundle, evidence=evidence_digest(evil))
    files = ("--verdict", place.write("v.json", signed), "--evidence", place.write("e.json", evil))
    code, said = place.evernas("gate", "verify", place.path, *files)
    assert (code, "is no evidence of the gate" in said) == (1, True), said


def test_gate_key_prints_what_the_config_takes(place: Place) -> None:
    code, said = place.evernas("gate", "key", place.path)
    assert code == 0
    public = said.strip().splitlines()[-1]
    assert json.loads(place.evernas("gate", "key", place.path, "--json")[1])["public"] == public
    place.change(registry={"verdict_keys": [public]})
    file = place.write("verdict.json", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERNAS_GATE_KEY_FILE", str(place.home.keys / "gate-ed25519.pem"))
        file = place.write("verdict.json", place.verdict(place.bundle(1))[0])
    assert place.evernas("promote", place.path, "--verdict", file)[0] == 0


GATE = ROOT / ".github" / "workflows" / "promotion-gate.yml"


@pytest.fixture
def jobs(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Ran]]:
    """Does a job of the workflow that waits for a person, on a machine with the config, the addresses and no key.

    The pipeline has judged a first candidate, and registered it with its verdict and its evidence.
    """
    key = place.evernas("gate", "key", place.path)[1].split()[-1]
    addresses = {
        "AWS_REGION": "eu-central-1",
        "EVERNAS_JOURNAL": f"sqlite:///{tmp_path / 'journal.db'}",
        "MLFLOW_TRACKING_URI": place.home.tracking_uri,
    }
    place.change(registry={"journal": "${EVERNAS_JOURNAL}", "verdict_keys": [key], "approval": True})
    monkeypatch.setenv("EVERNAS_JOURNAL", addresses["EVERNAS_JOURNAL"])
    monkeypatch.setenv("EVERNAS_GATE_KEY_FILE", str(place.home.keys / "gate-ed25519.pem"))
    run = f"{place.project}-1"
    with claim(place.home, 0, lambda text: None) as ownership:
        decision = judge(place, run, place.bundle(1), people_of(network(1)), ownership.guard, MEASURED)
        assert decision["verdict"]["outcome"] == "promote", decision["verdict"]["sentence"]
        context = context_of(place, run, "promote", ownership.guard)
        assert promote.run(context, f"finalists/{run}") == "awaiting/laptop-1"
        context.account.close()
    event = {"run": run, "device": "laptop", "config": "evernas.yaml"}
    with evernas_on_path(tmp_path / "bin") as commands:
        workflow = Workflow(GATE, tmp_path, event, addresses)
        yield lambda name: workflow.job(name, commands, {"evernas.yaml": place.path.read_bytes()})


def test_a_candidate_waits_for_a_person_and_is_verified_before_and_after(
    place: Place, jobs: Callable[[str], Ran]
) -> None:
    candidate = place.bundle(1).digest
    assert place.journal.head("laptop") is None, "it awaits approval"
    verified = jobs("verify")
    assert verified.succeeded, verified.said
    assert (verified.outputs["outcome"], verified.outputs["candidate"]) == ("promote", candidate)
    assert datetime.fromisoformat(verified.outputs["expires"]) > datetime.now(UTC)
    assert verified.summary.startswith("## laptop: promote")
    assert "| passed | floor:error |" in verified.summary
    assert "```mermaid" in verified.summary
    assert "its evidence gives the same verdict again" in verified.summary
    assert place.journal.head("laptop") is None, "nothing is promoted before the environment lets the job begin"
    promoted = jobs("promote")
    assert promoted.succeeded, promoted.said
    assert promoted.outputs == verified.outputs
    assert promoted.summary.startswith(verified.summary), "verified again, in full"
    assert f"{candidate[:12]}" in promoted.summary.removeprefix(verified.summary)
    assert "the champion of laptop (entry 1" in promoted.summary.removeprefix(verified.summary)
    assert (place.head.number, place.head.kind, place.head.bundle) == (1, "promotion", candidate)
    assert place.aliases() == {"champion-laptop": "1"}


@pytest.mark.parametrize(
    ("meanwhile", "said"), [("it expired", "run again"), ("another was promoted", "at journal number 0")]
)
def test_a_verdict_that_became_void_while_it_waited_holds_and_promotes_nothing(
    place: Place, jobs: Callable[[str], Ran], monkeypatch: pytest.MonkeyPatch, meanwhile: str, said: str
) -> None:
    assert jobs("verify").succeeded
    if meanwhile == "it expired":
        for module in (verification, champions):
            monkeypatch.setattr(module, "moment", lambda: moment() + timedelta(hours=73))
    else:
        assert place.promote(place.bundle(2), "by-hand")[0] == 0
    before = place.journal.head("laptop")
    held = jobs("promote")
    assert not held.succeeded
    assert held.outputs["outcome"] == "hold"
    assert said in held.outputs["reason"]
    assert held.outputs["candidate"] == ""
    assert [script.split()[:3] for script in held.scripts] == [["evernas", "gate", "verify"]], "it is not even tried"
    assert held.summary == f"## laptop: hold\n\n{held.outputs['reason']}\n\n"
    assert place.journal.head("laptop") == before
