"""What steps say is on disk before MLflow is told, is told once whatever is killed, and at once to a server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evernas.errors import IntegrityError
from evernas.registry.telling import fetch_untold, tell, telling, untold
from evernas.registry.tracking import client, parent_run, step_run
from evernas.state import Home
from evernas.state.files import read_json, write_json
from machines import machine, server

__all__ = ["machine", "server"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A state folder with an MLflow store, which takes seconds to make."""
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)


def _say(home: Home, run: str, file: Path | None = None, ref: str = "search/1") -> None:
    with telling(home, "watch", run, "search", "cpu", ref) as said:
        said.params({"strategy": "surrogate", "evaluations": 8})
        said.metrics({"error": 0.25, "energy_mj": None})
        said.curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}])
        said.tags({"evernas.reason": "because"})
        said.dataset("watch", "d" * 40, "somewhere", {"train": 3})
        said.value({"genes": [1, 2]}, "front.json")
        if file is not None:
            said.file(file, "points")


def test_everything_said_is_in_the_steps_own_run_with_its_times(store: Home, tmp_path: Path) -> None:
    file = tmp_path / "points.json"
    file.write_text("[]")
    _say(store, "run-1", file)
    (record,) = untold(store, "run-1")
    written = read_json(record)
    tell(store, "watch", "run-1")
    with step_run(store, "watch", "run-1", "search", "cpu", "search/1") as tracked:
        run = client(store).get_run(tracked.run_id)
    assert run.info.start_time == written["calls"][0][0]
    assert run.data.params == {"strategy": "surrogate", "evaluations": "8"}
    assert run.data.metrics == {"error": 0.25, "loss": 1.0}, "what was not measured is not told"
    assert run.data.tags["evernas.reason"] == "because"
    assert run.data.tags["mlflow.parentRunId"] == parent_run(store, "watch", "run-1").run_id
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert [f.path for f in client(store).list_artifacts(tracked.run_id, "points")] == ["points/points.json"]
    assert {f.path for f in client(store).list_artifacts(tracked.run_id)} == {"points", "front.json"}
    assert untold(store, "run-1") == []


def test_told_again_after_a_kill_nothing_stands_there_twice(store: Home) -> None:
    _say(store, "run-2")
    (record,) = untold(store, "run-2")
    kept = record.read_bytes()
    tell(store, "watch", "run-2")
    record.write_bytes(kept)
    tell(store, "watch", "run-2")
    mine = client(store)
    parent = parent_run(store, "watch", "run-2").run_id
    experiment = mine.get_run(parent).info.experiment_id
    (run,) = mine.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert run.info.status == "FINISHED"
    assert [(m.step, m.value) for m in mine.get_metric_history(run.info.run_id, "loss")] == [(1, 2.0), (2, 1.0)]
    assert len(run.inputs.dataset_inputs) == 1


def test_a_step_computed_anew_from_other_data_has_a_run_of_its_own(store: Home) -> None:
    for ref in ("search/1", "search/2"):
        _say(store, "run-3", ref=ref)
    assert len(untold(store, "run-3")) == 2
    tell(store, "watch", "run-3")
    parent = parent_run(store, "watch", "run-3").run_id
    experiment = client(store).get_run(parent).info.experiment_id
    runs = client(store).search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.data.tags["evernas.ref"] for run in runs} == {"search/1", "search/2"}


def test_a_server_is_told_at_once(store: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    _say(store, "run-4")
    assert untold(store, "run-4") == []
    parent = parent_run(store, "watch", "run-4").run_id
    experiment = client(store).get_run(parent).info.experiment_id
    assert len(client(store).search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")) == 1


def test_what_a_failed_step_said_is_not_kept(store: Home) -> None:
    with pytest.raises(ZeroDivisionError), telling(store, "watch", "run-5", "search", None) as said:
        said.metrics({"error": 1 / 0})
    assert untold(store, "run-5") == []


def test_a_record_that_calls_anything_else_is_refused(store: Home) -> None:
    _say(store, "run-6")
    (path,) = untold(store, "run-6")
    write_json(path, {**read_json(path), "calls": [[1, "client", "delete"]]})
    with pytest.raises(IntegrityError, match="'client', which is none of params"):
        tell(store, "watch", "run-6")
    write_json(path, {**read_json(path), "version": 99})
    with pytest.raises(IntegrityError, match="a newer evernas"):
        tell(store, "watch", "run-6")


def test_saying_something_takes_no_mlflow(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from evernas.state import Home; "
        "from evernas.registry.telling import telling\n"
        f"with telling(Home(Path({str(tmp_path)!r})), 'watch', 'run-7', 'gate', 'cpu') as said:\n"
        "    said.tags({'a': 'b'})\n"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_machine_that_cannot_tell_says_is_fetched_by_one_that_can(machine: Callable[..., Home]) -> None:
    _say(machine(), "run-elsewhere")
    here = machine()
    assert untold(here, "run-elsewhere") == []
    fetch_untold(here, "run-elsewhere")
    (record,) = untold(here, "run-elsewhere")
    assert read_json(record)["step"] == "search"
