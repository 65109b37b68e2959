"""A run killed while it is published goes on, and ends as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evernas.config import Config, load_config
from evernas.data import Snapshot, ingest
from evernas.state import Guard, Head, Home, RunManifest
from evernas.state.files import write_json
from evernas.state.ownership import claim
from evernas.state.runs import unfinished_run
from evernas.steps import report
from evernas.steps.accounting import Account
from evernas.steps.context import Context
from evernas.steps.progress import Progress
from place import EXAMPLE

RUN = "20260101-000000-aaaaaa"
# result.json, the link `latest`, the record of what was consumed.
PUBLICATIONS = 3


class _Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def config() -> Config:
    return load_config(EXAMPLE)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def guard(home: Home) -> Iterator[Guard]:
    with claim(home, 0, lambda text: None) as ownership:
        yield ownership.guard


@pytest.fixture
def snapshot(home: Home, config: Config, tmp_path: Path) -> Snapshot:
    (tmp_path / "source").mkdir()
    return ingest(tmp_path / "source", home.snapshots(config.project), config.data, None)


def _publish(home: Home, guard: Guard, config: Config, snapshot: Snapshot) -> None:
    Head("before", "key", snapshot.id, "supernet/none").write(home, config.project)
    manifest = RunManifest.open(home, RUN, config, str(home.path), {})
    folder = home.run(RUN)
    account = Account(folder, "ingest", None, guard)
    try:
        progress = Progress(folder / "progress.jsonl", "ingest", None)
        report.nothing_new(Context(home, manifest, None, guard, account, progress, "ingest"), snapshot)
    finally:
        account.close()


def _kill_at(publication: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the process instead of this publication, counted from 0."""
    left = [publication]

    def counted(publish: Any) -> Any:
        def instead(*arguments: Any) -> None:
            if left[0] == 0:
                raise _Killed
            left[0] -= 1
            publish(*arguments)

        return instead

    for name in ("write_json", "point_latest"):
        monkeypatch.setattr(report, name, counted(getattr(report, name)))


@pytest.mark.parametrize("publication", range(PUBLICATIONS))
def test_a_run_killed_before_any_publication_goes_on_and_ends(
    publication: int,
    home: Home,
    guard: Guard,
    config: Config,
    snapshot: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as killing:
        _kill_at(publication, killing)
        with pytest.raises(_Killed):
            _publish(home, guard, config, snapshot)
    assert unfinished_run(home, config) == RUN
    assert not home.latest.exists() or (home.latest / "result.json").exists(), "`latest` never points to half a run"
    _publish(home, guard, config, snapshot)
    assert unfinished_run(home, config) is None
    assert json.loads((home.latest / "result.json").read_text())["run"] == RUN
    assert json.loads(home.consumed(config.project).read_text())["run"] == RUN


def test_every_publication_is_tried(
    home: Home, guard: Guard, config: Config, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no publication after the last that the test above kills at."""
    _kill_at(PUBLICATIONS, monkeypatch)
    _publish(home, guard, config, snapshot)
    assert unfinished_run(home, config) is None


@pytest.mark.parametrize(("code", "freshness", "on"), [(1, None, True), (1, {}, True), (4, None, True), (4, {}, False)])
def test_a_run_that_failed_goes_on_but_for_one_that_refused_data_by_the_day_that_it_began(
    code: int, freshness: dict[str, Any] | None, on: bool, home: Home, config: Config
) -> None:
    """To it the data of the next days would be from the future."""
    document = config.model_dump(mode="json")
    if freshness is not None:
        document["validation"]["freshness"] = freshness
    config = Config.model_validate(document)
    RunManifest.open(home, RUN, config, str(home.path), {})
    failure = {"version": 1, "step": "validate", "device": None, "exit_code": code, "sentence": "No."}
    write_json(home.run(RUN) / "failure.json", failure)
    assert unfinished_run(home, config) == (RUN if on else None)
