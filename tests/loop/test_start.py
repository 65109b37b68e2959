"""How a run's end is told, to the person and to MLflow, whatever the engine that executes it comes to."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from evernas.config import Config, load_config
from evernas.loop import start as starting
from evernas.loop.start import Ending
from evernas.registry.tracking import client, parent_run
from evernas.state import Home
from evernas.state.files import write_json
from evernas.state.notices import notices

ROOT = Path(__file__).parents[2]
Work = Callable[[str], None]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs, which takes seconds to make."""
    home = Home(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as clean:
        clean.delenv("MLFLOW_TRACKING_URI", raising=False)
        client(home).search_experiments()
    return home.path / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "EVERNAS_HOME", "EVERNAS_FENCE", "EVERNAS_OWNER_PID"):
        # Set before it is removed, so that what a run puts into the environment is taken out again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    shutil.copy(empty_store, tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def begin(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ending]:
    """Starts a run whose engine, instead of the pipeline, tells MLflow of the run and does this work."""

    def begin(work: Work, seed: int = 0) -> Ending:
        def engine(config: Config, home_path: Path, run: str, log: Path) -> bool:
            parent_run(home, config.project, run)
            work(run)
            return False

        monkeypatch.setattr(starting, "engine", lambda name: engine)
        config = load_config(ROOT / "examples/watch/evernas.yaml").model_copy(update={"seed": seed})
        return starting.start(config, home, 0, lambda text: None, lambda events: nullcontext())

    return begin


def _statuses(home: Home) -> list[str]:
    mine = client(home)
    experiment = mine.get_experiment_by_name("evernas-watch").experiment_id
    return [run.info.status for run in mine.search_runs([experiment], order_by=["attributes.start_time"])]


def _refuse(home: Home) -> Work:
    failure = {"step": "validate", "device": None, "exit_code": 4, "sentence": "The data is refused."}
    return lambda run: write_json(home.run(run) / "failure.json", failure)


def _interrupt(run: str) -> None:
    raise KeyboardInterrupt


def _killed(run: str) -> None:
    raise SystemError("stands for the end of the process")


def test_a_refused_run_has_failed_in_mlflow(home: Home, begin: Callable[..., Ending]) -> None:
    assert begin(_refuse(home)).exit_code == 4
    assert _statuses(home) == ["FAILED"]


def test_sinks_of_the_outbox_hear_which_step_failed_and_not_its_words(home: Home, begin: Callable[..., Ending]) -> None:
    ending = begin(_refuse(home))
    begin(lambda run: None, seed=1)
    told = {notice.subject: notice for notice in notices(home, "watch").values()}
    refused = told.pop(ending.run)
    (stopped,) = told.values()
    assert refused.about == {"run": ending.run, "step": "validate", "device": None, "exit_code": 4}
    assert ending.sentence not in refused.sentence
    assert str(home.path) not in stopped.sentence


def test_a_run_stopped_from_outside_has_failed_in_mlflow(home: Home, begin: Callable[..., Ending]) -> None:
    assert begin(lambda run: None).exit_code == 1
    assert _statuses(home) == ["FAILED"]


def test_a_run_that_goes_on_runs_in_mlflow_meanwhile(home: Home, begin: Callable[..., Ending]) -> None:
    with pytest.raises(KeyboardInterrupt):
        begin(_interrupt)
    assert _statuses(home) == ["KILLED"]
    seen: list[str] = []
    begin(lambda run: seen.extend(_statuses(home)))
    assert seen == ["RUNNING"], "the same run, open again"
    assert _statuses(home) == ["FAILED"]


def test_a_run_that_was_killed_outright_and_not_gone_on_with_is_ended_by_the_next(
    home: Home, begin: Callable[..., Ending], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dead:
        dead.setattr(starting, "_tell", lambda *arguments: None)
        with pytest.raises(SystemError):
            begin(_killed)
    assert _statuses(home) == ["RUNNING"]
    begin(_refuse(home), seed=1)
    assert _statuses(home) == ["KILLED", "FAILED"]


def test_a_store_that_cannot_be_reached_does_not_hide_why_the_run_ended(
    home: Home, begin: Callable[..., Ending], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_store(run: str) -> None:
        _refuse(home)(run)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home.path / 'no such folder' / 'mlflow.db'}")

    assert begin(break_store).sentence == "The data is refused."


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Lets files become no larger than so many bytes: to a database, a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_store_whose_disk_is_full_does_not_hide_why_the_run_ended(
    home: Home, begin: Callable[..., Ending], small_files: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(run: str) -> None:
        _refuse(home)(run)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home.path / 'another.db'}")
        small_files(50_000)

    assert begin(fill_disk).sentence == "The data is refused."


def test_what_a_killed_write_left_long_ago_is_swept_when_a_run_starts(home: Home, begin: Callable[..., Ending]) -> None:
    left = home.path / ".owner.json.abcd1234"
    left.write_text("{")
    os.utime(left, (0, 0))
    begin(_refuse(home))
    assert not left.exists()


def test_a_run_is_called_after_all_before_it_also_where_the_clock_was_set_back(
    begin: Callable[..., Ending], home: Home
) -> None:
    """By their order the newest run is found: one from a clock that ran ahead would be gone on with for ever."""
    ahead = "20991231-235959-aaaaaa"
    write_json(home.run(ahead) / "run.json", {"config": {"project": "watch"}})
    ending = begin(lambda run: None)
    assert ending.run.startswith("21000101-000000-")
    assert begin(lambda run: None, seed=1).run.startswith("21000101-000001-")


def test_what_is_no_run_has_no_say_in_what_the_next_is_called(begin: Callable[..., Ending], home: Home) -> None:
    (home.runs / "zzz-my-notes").mkdir(parents=True)
    assert begin(lambda run: None).run.startswith("20")
