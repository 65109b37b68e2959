"""Runs and the nightly schedule on KFP's interface, spoken over HTTP to a server that keeps what KFP keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import serving
from evernas.config import Config, load_config
from evernas.errors import UsageError
from evernas.triggers.submission import SubmissionRefusedError, UnavailableError, create
from evernas_pipelines.cli import app
from evernas_pipelines.cluster import KfpSubmitter
from kfp_server import FakeKfp

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def kfp() -> Iterator[FakeKfp]:
    server = FakeKfp()
    server.upload("watch-evernas", "v1", "v2")
    yield server
    server.close()


def _config(folder: Path, kfp: FakeKfp, schedule: dict[str, Any] | None = None, **more: Any) -> Config:
    submit = {"to": "kfp", "kfp": {"host": kfp.url, **more}}
    section = serving.triggers_config(submit=submit, **({"schedule": schedule} if schedule else {}))
    return load_config(serving.write_config(folder / "evernas.yaml", section))


def test_run_is_found_by_its_name_with_its_version_pinned_and_without_kfps_cache(tmp_path: Path, kfp: FakeKfp) -> None:
    submitter = KfpSubmitter(_config(tmp_path, kfp))
    assert submitter.find("watch-1") is None
    handle = submitter.submit("watch-1")
    found = submitter.find("watch-1")
    assert found is not None
    assert (found.handle, found.state) == (handle, "running")
    (run,) = kfp.runs()
    newest = kfp.tables["versions"][-1]["pipeline_version_id"]
    assert run["pipeline_version_reference"]["pipeline_version_id"] == newest
    assert run["runtime_config"]["parameters"]["run"] == "watch-1"
    assert "triggers" not in json.loads(run["runtime_config"]["parameters"]["config"])
    kfp.end("FAILED")
    again = submitter.find("watch-1")
    assert again is not None
    assert again.state == "failed"


def test_entry_point_makes_the_submitter(tmp_path: Path, kfp: FakeKfp) -> None:
    assert isinstance(create(_config(tmp_path, kfp), tmp_path, tmp_path), KfpSubmitter)


def test_run_that_works_or_has_worked_counts_before_one_that_failed(tmp_path: Path, kfp: FakeKfp) -> None:
    submitter = KfpSubmitter(_config(tmp_path, kfp))
    for state in ("SUCCEEDED", "FAILED"):
        submitter.submit("twice")
        kfp.end(state)
    found = submitter.find("twice")
    assert found is not None
    assert found.state == "succeeded"


def test_name_is_found_behind_many_runs(tmp_path: Path, kfp: FakeKfp) -> None:
    submitter = KfpSubmitter(_config(tmp_path, kfp))
    submitter.submit("same")
    failed = kfp.end("FAILED")
    for _ in range(204):
        kfp._add("runs", failed)
    submitter.submit("same")
    found = submitter.find("same")
    assert found is not None
    assert found.state == "running", "the last of three pages"


def test_what_kfp_will_not_do_differs_from_what_it_cannot_now(tmp_path: Path, kfp: FakeKfp) -> None:
    submitter = KfpSubmitter(_config(tmp_path, kfp))
    submitter.find("warm")
    kfp.failures = [-400, -503, -429, -403]
    for expected in (SubmissionRefusedError, UnavailableError, UnavailableError, UnavailableError):
        with pytest.raises(expected):
            submitter.submit("a")


def test_run_whose_creation_was_answered_by_an_error_is_found(tmp_path: Path, kfp: FakeKfp) -> None:
    submitter = KfpSubmitter(_config(tmp_path, kfp))
    submitter.find("warm")
    kfp.failures = [503]
    with pytest.raises(UnavailableError):
        submitter.submit("a")
    assert submitter.find("a") is not None


def test_version_that_is_uploaded_while_a_receiver_serves_is_taken_up(tmp_path: Path, kfp: FakeKfp) -> None:
    """A new image is a new pipeline version. What is submitted changes together with what its name is made of."""
    config = _config(tmp_path, kfp)
    submitter = KfpSubmitter(config)
    before = submitter.version()
    made = kfp._add("versions", {"display_name": "v3", "pipeline_id": kfp.tables["pipelines"][0]["pipeline_id"]})
    assert submitter.version() == before
    submitter.renew(config.model_copy(update={"seed": 77}))
    assert submitter.version().endswith(made["pipeline_version_id"])
    submitter.submit("a")
    (run,) = kfp.runs()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == made["pipeline_version_id"]
    assert json.loads(run["runtime_config"]["parameters"]["config"])["seed"] == 77
    pinned = KfpSubmitter(_config(tmp_path, kfp, version="v1"))
    version = pinned.version()
    pinned.renew(config)
    assert pinned.version() == version


def test_pipeline_that_is_not_uploaded_is_named(tmp_path: Path, kfp: FakeKfp) -> None:
    with pytest.raises(UsageError, match="no pipeline 'other'"):
        KfpSubmitter(_config(tmp_path, kfp, pipeline="other")).version()
    with pytest.raises(UsageError, match="no version v9"):
        KfpSubmitter(_config(tmp_path, kfp, version="v9")).version()


def test_nightly_schedule_is_made_once_and_changed_without_a_gap(tmp_path: Path, kfp: FakeKfp) -> None:
    assert "was made" in KfpSubmitter(_config(tmp_path, kfp)).schedule()
    assert "as the config wants it" in KfpSubmitter(_config(tmp_path, kfp)).schedule()
    (first,) = kfp.tables["recurringruns"]
    assert first["trigger"]["cron_schedule"]["cron"] == "0 0 2 * * *"
    assert (first["max_concurrency"], first["no_catchup"], first["mode"]) == (1, True, "ENABLE")
    assert (
        first["pipeline_version_reference"]["pipeline_version_id"] == kfp.tables["versions"][-1]["pipeline_version_id"]
    )
    changed = _config(tmp_path, kfp, schedule={"cron": "0 30 3 * * *"})
    assert "was changed" in KfpSubmitter(changed).schedule()
    (second,) = kfp.tables["recurringruns"]
    assert second["trigger"]["cron_schedule"]["cron"] == "0 30 3 * * *"
    kfp.upload("another", "x")
    kfp._add("versions", {"display_name": "v3", "pipeline_id": kfp.tables["pipelines"][0]["pipeline_id"]})
    assert "was changed" in KfpSubmitter(changed).schedule(), "a new version is pinned anew"
    assert len(kfp.tables["recurringruns"]) == 1


def test_run_that_works_outlives_the_schedule_that_started_it(tmp_path: Path, kfp: FakeKfp) -> None:
    KfpSubmitter(_config(tmp_path, kfp)).schedule()
    changed = KfpSubmitter(_config(tmp_path, kfp, schedule={"cron": "0 30 3 * * *"}))
    changed.schedule()
    changed.unschedule()
    assert kfp.deletions == [("recurringruns", {"propagation_policy": ["ORPHAN"]})] * 2


def test_second_copy_of_the_schedule_is_removed(tmp_path: Path, kfp: FakeKfp) -> None:
    submitter = KfpSubmitter(_config(tmp_path, kfp))
    submitter.schedule()
    kfp._add("recurringruns", dict(kfp.tables["recurringruns"][0]))
    submitter.schedule()
    assert len(kfp.tables["recurringruns"]) == 1


def test_cron_of_five_fields_is_refused(tmp_path: Path, kfp: FakeKfp) -> None:
    with pytest.raises(UsageError, match="six fields"):
        _config(tmp_path, kfp, schedule={"cron": "0 2 * * *"})


def test_manual_submission_keeps_a_run_of_the_same_name(tmp_path: Path, kfp: FakeKfp) -> None:
    _config(tmp_path, kfp)
    command = ["submit", str(tmp_path / "evernas.yaml"), "--name", "by-hand"]
    outputs = [CliRunner().invoke(app, command, catch_exceptions=False).output for _ in range(2)]
    assert "was submitted" in outputs[0]
    assert "exists and is running" in outputs[1]
    assert len(kfp.runs()) == 1


def _cluster_config(folder: Path, kfp: FakeKfp, **more: Any) -> Config:
    document = yaml.safe_load((serving.ROOT / "examples" / "watch" / "cluster.yaml").read_text())
    document["triggers"]["submit"] = {"to": "kfp", "kfp": {"host": kfp.url, **more}}
    (folder / "cluster.yaml").write_text(yaml.safe_dump(document))
    return load_config(folder / "cluster.yaml")


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline is compiled once: that the same config gives the same bytes is tested where it is compiled."""
    from evernas_pipelines import publishing

    compile_pipeline, known = publishing.compile_pipeline, {}

    def compiled(config: Config, path: Path) -> None:
        if config.project not in known:
            compile_pipeline(config, path)
            known[config.project] = path.read_bytes()
        path.write_bytes(known[config.project])

    monkeypatch.setattr(publishing, "compile_pipeline", compiled)


@pytest.mark.usefixtures("compiled_once")
def test_pipeline_is_uploaded_once_and_its_version_pinned(tmp_path: Path) -> None:
    kfp = FakeKfp()
    config = _cluster_config(tmp_path, kfp)
    command = ["schedule", str(tmp_path / "cluster.yaml"), "--upload"]
    outputs = [CliRunner().invoke(app, command, catch_exceptions=False).output for _ in range(2)]
    assert "was uploaded" in outputs[0]
    assert "is there" in outputs[1]
    assert "as the config wants it" in outputs[1]
    own, ours = kfp.tables["versions"]
    assert (own["display_name"], ours["display_name"][:3]) == ("watch-evernas", "ir-")
    assert "pipelineSpec" in ours["file"] or "pipelineInfo" in ours["file"]
    assert "is there" in KfpSubmitter(config).upload()
    submitter = KfpSubmitter(config)
    assert "The version 3f2c1ab of watch-evernas was uploaded" in submitter.upload("3f2c1ab")
    assert submitter.version().endswith(kfp.tables["versions"][-1]["pipeline_version_id"])
    kfp.close()


@pytest.fixture
def commit(tmp_path: Path) -> list[str]:
    """The upload of a commit's version by somebody who reaches KFP under another address than the config's."""
    kfp = FakeKfp()
    _cluster_config(tmp_path, kfp)
    kfp.close()
    return ["upload", str(tmp_path / "cluster.yaml"), "--version", "3f2c1ab", "--host"]


@pytest.mark.usefixtures("compiled_once")
def test_commit_that_is_uploaded_twice_is_found_the_second_time(kfp: FakeKfp, commit: list[str]) -> None:
    outputs = [CliRunner().invoke(app, [*commit, kfp.url], catch_exceptions=False).output for _ in range(2)]
    assert "The version 3f2c1ab of watch-evernas was uploaded" in outputs[0]
    assert "The version 3f2c1ab of watch-evernas is there" in outputs[1]
    assert [version["display_name"] for version in kfp.tables["versions"]] == ["v1", "v2", "3f2c1ab"]


@pytest.mark.usefixtures("compiled_once")
def test_commit_that_somebody_else_uploads_in_the_same_moment_is_found(kfp: FakeKfp, commit: list[str]) -> None:
    kfp.faster = True
    assert "is there" in CliRunner().invoke(app, [*commit, kfp.url], catch_exceptions=False).output
    assert [version["display_name"] for version in kfp.tables["versions"]] == ["v1", "v2", "3f2c1ab"]


@pytest.mark.usefixtures("compiled_once")
def test_another_pipeline_is_not_taken_for_the_commits(kfp: FakeKfp, commit: list[str]) -> None:
    CliRunner().invoke(app, [*commit, kfp.url], catch_exceptions=False)
    kfp.tables["versions"][-1]["description"] = "Compiled pipeline of yesterday"
    refused = CliRunner().invoke(app, [*commit, kfp.url])
    assert isinstance(refused.exception, UsageError)
    assert "the config, the images or the code have changed" in str(refused.exception)
    kfp.tables["versions"][-1]["description"] = "Uploaded by hand"
    assert "is there" in CliRunner().invoke(app, [*commit, kfp.url], catch_exceptions=False).output


@pytest.mark.usefixtures("compiled_once")
def test_config_that_does_not_say_where_kfp_is_is_uploaded_to_the_host_that_is_given(
    tmp_path: Path, kfp: FakeKfp, commit: list[str]
) -> None:
    document = yaml.safe_load((tmp_path / "cluster.yaml").read_text())
    del document["triggers"]
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(document))
    assert "was uploaded" in CliRunner().invoke(app, [*commit, kfp.url], catch_exceptions=False).output
    refused = CliRunner().invoke(app, commit[:-1])
    assert "triggers.submit.kfp is missing" in str(refused.exception)


def test_runs_keep_their_outputs_under_the_configs_root(tmp_path: Path, kfp: FakeKfp) -> None:
    config = _cluster_config(tmp_path, kfp)
    assert config.cluster is not None
    KfpSubmitter(config).submit("watch-1")
    (run,) = kfp.runs()
    assert run["runtime_config"]["pipeline_root"] == config.cluster.root
    KfpSubmitter(config).schedule()
    (nightly,) = kfp.tables["recurringruns"]
    assert nightly["runtime_config"]["pipeline_root"] == config.cluster.root
    nightly["runtime_config"].pop("pipeline_root")
    assert "was changed" in KfpSubmitter(config).schedule(), "one of an earlier release"
    assert "as the config wants it" in KfpSubmitter(config).schedule()


def test_nightly_run_is_taken_away_and_asking_again_changes_nothing(tmp_path: Path, kfp: FakeKfp) -> None:
    KfpSubmitter(_config(tmp_path, kfp)).schedule()
    command = ["unschedule", str(tmp_path / "evernas.yaml")]
    outputs = [CliRunner().invoke(app, command, catch_exceptions=False).output for _ in range(2)]
    assert kfp.tables["recurringruns"] == []
    assert "taken away" in outputs[0]
    assert "not there" in outputs[1]


def test_config_without_a_cluster_is_not_compiled_for_one(tmp_path: Path, kfp: FakeKfp) -> None:
    with pytest.raises(UsageError, match="no section `cluster`"):
        KfpSubmitter(_config(tmp_path, kfp)).upload("v1")
