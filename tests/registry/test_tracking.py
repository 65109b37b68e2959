"""MLflow is told of each run once, whatever is killed, and a run that is already open is honoured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.models import project_alias, register
from evernas.registry.opening import open_slots
from evernas.registry.tracking import (
    client,
    mark_failed,
    parent_run,
    read_note,
    set_status,
    step_run,
    without_password,
)
from evernas.state import Home


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A state folder with an MLflow store, which takes seconds to make."""
    return Home(tmp_path_factory.mktemp("a home"))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)


def test_a_pipeline_run_has_one_parent_however_often_it_is_asked_for(store: Home) -> None:
    first = parent_run(store, "watch", "run-1")
    (store.run("run-1") / "mlflow.json").unlink()
    assert parent_run(store, "watch", "run-1").run_id == first.run_id


def test_a_step_started_again_goes_on_in_its_own_run(store: Home) -> None:
    with pytest.raises(RuntimeError, match="stopped"), step_run(store, "watch", "run-2", "search", "cpu") as tracked:
        raise RuntimeError("stopped")
    assert client(store).get_run(tracked.run_id).info.status == "FAILED"
    with step_run(store, "watch", "run-2", "search", "cpu") as again:
        again.metrics({"error": 0.5, "energy_mj": None})
    run = client(store).get_run(again.run_id)
    assert again.run_id == tracked.run_id
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"error": 0.5}, "what was not measured is not logged"
    assert run.data.tags["mlflow.parentRunId"] == parent_run(store, "watch", "run-2").run_id


def test_a_run_that_failed_elsewhere_is_said_to_have_with_its_reason(store: Home) -> None:
    mark_failed(store, "another", "run-lost", "FAILED", "no such project: nothing to tell")
    parent = parent_run(store, "watch", "run-lost")
    with step_run(store, "watch", "run-lost", "ingest", None) as ended:
        pass
    mark_failed(store, "watch", "run-lost", "FAILED", "it broke")
    run = client(store).get_run(parent.run_id)
    assert (run.info.status, run.data.tags["evernas.failure"]) == ("FAILED", "it broke")
    assert client(store).get_run(ended.run_id).info.status == "FINISHED"


def test_a_run_that_is_already_open_is_honoured(store: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = client(store)
    given = mine.create_run(mine.create_experiment("of the platform")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    assert parent_run(store, "watch", "run-3").run_id == given
    with step_run(store, "watch", "run-3", "gate", "cpu") as tracked:
        pass
    run = mine.get_run(tracked.run_id)
    assert run.data.tags["mlflow.parentRunId"] == given
    assert run.info.experiment_id == mine.get_run(given).info.experiment_id


def _status(store: Home, run_id: str) -> str:
    return str(client(store).get_run(run_id).info.status)


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_ended_early_is_ended_in_mlflow_and_opened_again_when_it_goes_on(store: Home, status: str) -> None:
    run = f"run-{status}"
    parent = parent_run(store, "watch", run)
    set_status(store, run, status)  # type: ignore[arg-type]
    assert _status(store, parent.run_id) == status
    set_status(store, run, "RUNNING")
    assert _status(store, parent.run_id) == "RUNNING"
    set_status(store, run, "FINISHED")
    assert _status(store, parent.run_id) == "FINISHED"


def test_a_status_whose_note_was_lost_in_a_kill_is_told_again(store: Home) -> None:
    parent = parent_run(store, "watch", "run-5")
    note = (store.run("run-5") / "mlflow.json").read_bytes()
    set_status(store, "run-5", "FAILED")
    (store.run("run-5") / "mlflow.json").write_bytes(note)
    set_status(store, "run-5", "FINISHED")
    assert _status(store, parent.run_id) == "FINISHED"


def test_a_step_that_a_kill_left_open_is_ended_with_its_run_and_no_other(store: Home) -> None:
    opened = []
    for run in ("run-6", "run-7"):
        parent_run(store, "watch", run)
        with step_run(store, "watch", run, "search", "cpu") as tracked:
            pass
        client(store).update_run(tracked.run_id, "RUNNING")
        opened.append(tracked.run_id)
    set_status(store, "run-6", "FAILED")
    assert [_status(store, run_id) for run_id in opened] == ["KILLED", "RUNNING"]


def test_a_step_stopped_by_ctrl_c_is_killed_not_failed(store: Home) -> None:
    with pytest.raises(KeyboardInterrupt), step_run(store, "watch", "run-8", "search", "cpu") as tracked:
        raise KeyboardInterrupt
    assert _status(store, tracked.run_id) == "KILLED"


def test_a_run_that_was_given_to_us_is_its_owners_to_end(store: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = client(store)
    given = mine.create_run(mine.create_experiment("of another platform")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    with step_run(store, "watch", "run-9", "gate", "cpu") as tracked:
        pass
    mine.update_run(tracked.run_id, "RUNNING")
    monkeypatch.delenv("MLFLOW_RUN_ID")
    for status in ("FAILED", "RUNNING", "FINISHED"):
        set_status(store, "run-9", status)  # type: ignore[arg-type]
        assert _status(store, given) == "RUNNING"
    assert _status(store, tracked.run_id) == "KILLED", "its steps are ours"
    note = read_note(store, "run-9")
    assert note is not None
    assert note["given"]


def test_nothing_is_told_of_a_run_that_never_came_to_mlflow(store: Home) -> None:
    set_status(store, "run-10", "FAILED")
    assert not store.run("run-10").exists()


def test_a_password_in_the_address_is_not_written_down() -> None:
    assert without_password("postgresql://user:secret@host:5432/db") == "postgresql://host:5432/db"
    assert without_password("sqlite:////a b/mlflow.db") == "sqlite:////a b/mlflow.db"


def test_without_a_champion_there_is_no_alias(store: Home) -> None:
    journal = Journal(open_slots(None, store, "watch"))
    assert project_alias(store, "watch", "cpu", journal) is None


def test_a_moved_alias_is_put_back_to_the_journals_head(store: Home, tmp_path: Path) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    from evernas.bundle import Contract, Samples, write_bundle

    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["scores"])],
        "same",
        [info("input", TensorProto.FLOAT, ["batch", 1, 2])],
        [info("scores", TensorProto.FLOAT, ["batch", 1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    samples = Samples(np.zeros((1, 1, 2), np.float32), np.zeros((1, 2), np.float32))
    bundle = write_bundle(tmp_path, model.SerializeToString(), ["a", "b"], Contract(("x",), (2,)), samples, {})
    journal = Journal(open_slots(None, store, "watch"))
    contract = {"input": "input", "output": "scores", "dtype": "float32", "shape": (1, 2), "classes": 2}
    versions = []
    for number in (1, 2):
        with step_run(store, "watch", f"run-4{number}", "promote", "cpu") as tracked:
            for _ in range(2):
                tags = {"evernas.run": f"run-4{number}"}
                versions.append(register(tracked, "watch", bundle.path, bundle.digest, contract, tags, "# A card"))
        entry = Entry(number, "cpu", bundle.digest, {}, "run", "v", versions[-1], "now", f"token-{number}")
        journal.claim(replace(entry, previous=number - 1))
    assert versions[0] == versions[1] != versions[2] == versions[3], "a promotion started again registers nothing twice"
    assert project_alias(store, "watch", "cpu", journal) == versions[-1]
    mine = client(store)
    aliases = mine.get_registered_model("evernas-watch").aliases
    assert {k: str(v) for k, v in aliases.items()} == {"champion-cpu": "2", "previous-cpu": "1"}
    mine.set_registered_model_alias("evernas-watch", "champion-cpu", "1")
    project_alias(store, "watch", "cpu", journal)
    assert str(mine.get_model_version_by_alias("evernas-watch", "champion-cpu").version) == "2"
