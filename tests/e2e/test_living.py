"""The second year, for real: one receiver, MLflow, bucket and inbox; two projects whose devices have the same name.

One goes on from the state of the previous release. The other is new, and its budget ends its first run in a search.
Secrets are planted, and what happens is told to a sink. Then production breaks the first champion's promise.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3

import serving
from evernas.cli import app
from evernas.config import load_config
from evernas.storage.s3 import S3Address, S3Storage
from place import ROOT, Place
from sinks import Sink, listening
from tiny_project import PEOPLE, deliver, write
from warm import Warm
from warm_python import lent

pytestmark = pytest.mark.e2e
PATIENCE_S = 240.0
OLD, NEW = "tiny", "other"
PLANTED = {
    "LAKE_SECRET": "planted-lake-8d1f3a5b7c9e0246",
    "SINK_SECRET": "planted-sink-1b3d5f7a9c8e6420",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-0f2e4d6c8b0a1957",
    "EVERNAS_FAILURE_WEBHOOK_SECRET": "planted-hook-7e5c3a1f9d8b6024",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-2a4c6e8f0b1d3957",
}


@dataclass
class Team:
    """The projects, the receiver, the sink, and what the previous release had left."""

    place: Place
    configs: dict[str, Path]
    server: serving.Server
    sink: Sink
    endpoint: str
    before: dict[str, Any]

    def raw(self, project: str) -> str:
        return f"s3://{BUCKET}/raw/{project}?endpoint={self.endpoint}&region=us-east-1"

    def upload(self, project: str, file: Path) -> None:
        S3Storage(S3Address.parse(self.raw(project))).write(file.name, file.read_bytes())

    def tell(self, project: str, key: str) -> None:
        body = serving.change(f"raw/{project}/{key}", bucket=BUCKET)
        signed = serving.signed(body, secret=PLANTED["LAKE_SECRET"])
        status, said = self.server.request("POST", f"/v1/projects/{project}/events/lake", body, signed)
        assert status == 202, said

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.place.home.parent}/inbox.db?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def evernas(self, *arguments: object) -> Any:
        """What a command says as JSON. In this process: the warm one is the receiver's."""
        said = CliRunner().invoke(app, [str(argument) for argument in arguments], env=self.place.environment)
        assert said.exit_code == 0, said.output
        return json.loads(said.stdout)

    def wait_for(self, **works: int) -> None:
        """Until so many works of each project are done."""

        def done() -> bool:
            found = dict(self.rows("SELECT project, count(*) FROM works WHERE state = 'done' GROUP BY project"))
            dead = self.rows("SELECT project, reason FROM works WHERE state = 'dead' OR failures > 0")
            assert not dead, (dead, self.server.log.read_text()[-3000:])
            return all(found.get(project, 0) >= count for project, count in works.items())

        serving.wait_until(done, PATIENCE_S)

    def results(self, project: str) -> list[dict[str, Any]]:
        """What the project's runs have left, oldest first."""
        found = [json.loads(path.read_text()) for path in sorted(self.place.home.glob("runs/*/result.json"))]
        return [result for result in found if result["project"] == project]

    def told(self, project: str) -> list[dict[str, Any]]:
        return [post.event for post in self.sink.posts if post.event["source"] == f"/evernas/{project}"]


def _config(team: Team, project: str, port: int, **more: Any) -> Path:
    triggers = serving.triggers_config(
        sources=[serving.SOURCE],
        rules=[{"name": "recordings", "source": "lake", "bucket": BUCKET, "prefix": f"raw/{project}/"}],
        database={"env": "INBOX_URL"},
        port=port,
        debounce={"quiet_s": 0.2, "max_wait_s": 2.0},
    )
    outbox = {"sinks": [{"name": "ops", "url": team.sink.url, "private": True, "secret": {"env": "SINK_SECRET"}}]}
    path = team.place.home.parent / f"{project}.yaml"
    return write(path, project, team.raw(project), triggers=triggers, outbox=outbox, **more)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    with tarfile.open(ROOT / "tests" / "state" / "previous" / "state.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    # Its inbox is looked at by the tests of formats; here both projects share one.
    (folder / "home" / "projects" / OLD / "inbox.db").unlink()
    port = serving.free_port()
    with s3() as bucket_port, listening() as sink, lent(warm, folder) as interpreter:
        inbox = {"INBOX_URL": f"sqlite:///{folder}/inbox.db"}
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        place = Place(folder / "home", folder / f"{OLD}.yaml", warm, {**aws, **PLANTED, **inbox})
        journal = json.loads((place.home / "projects" / OLD / "journal" / "laptop" / "000001.json").read_text())
        server = serving.Server(folder, place.home, port, place.environment, folder / "serve.log")
        team = Team(place, {}, server, sink, f"http://127.0.0.1:{bucket_port}", journal)
        budget = {"prices": {"cpu_hour": 1.0}, "run": {"evaluations": 2}, "month": {"evaluations": 1000}}
        team.configs = {OLD: _config(team, OLD, port), NEW: _config(team, NEW, port, budget=budget)}
        for project, seed in ((OLD, 0), (NEW, 5)):
            team.upload(project, deliver(folder / "made" / project, "first.parquet", PEOPLE, seed))
        team.upload(OLD, deliver(folder / "made" / OLD, "second.parquet", PEOPLE[7:], 1))
        # One process for both: the config that a server is started with is the list of them.
        server.command = [str(interpreter), "-m", "evernas.cli", "serve", str(team.configs[OLD])]
        server.config = team.configs[NEW]
        server.start()
        try:
            team.tell(OLD, "second.parquet")
            team.tell(NEW, "first.parquet")
            team.wait_for(**{OLD: 1, NEW: 1})
            yield team
        finally:
            server.stop()


def test_the_state_of_the_previous_release_is_gone_on_with(team: Team) -> None:
    result = team.results(OLD)[-1]
    assert result["supernet"]["parent"] is not None, "it was trained from the previous release's supernet"
    (device,) = result["devices"]
    assert device["champion_before"]["bundle"] == team.before["bundle"]
    assert device["verdict"]["decision"] == 2, "the previous release's decision is counted"
    assert result["snapshot"]["added"] == ["second.parquet"], "what it had taken in was not taken in again"


def test_a_budget_ended_the_new_projects_run_in_its_search_and_it_says_so(team: Team) -> None:
    result = team.results(NEW)[0]
    run = result["run"]
    assert (result["outcome"], result["devices"]) == ("stopped", [])
    assert result["reason"] == (
        f"The budget of run {run} is spent: 2 of 2 evaluations. The run stopped there. The champions stay."
    )
    steps = {step["step"]: step for step in result["steps"]}
    assert (steps["search"]["evaluations"], steps["search"]["reused"]) == (2, False)
    assert "The budget is spent" in (team.place.home / "runs" / run / "report.html").read_text()
    tags = _tags(team, run)
    assert (tags["evernas.budget"], tags["evernas.outcome"]) == ("spent", "stopped")
    assert not list((team.place.home / "projects" / NEW / "journal").glob("laptop/*.json"))
    planned = team.evernas("plan", team.configs[NEW], "--json")
    assert planned["budget"]["month_spent"]["evaluations"] == 2
    assert planned["run"] is None, "a run that its budget ended is over"


def test_neither_project_sees_anything_of_the_other(team: Team) -> None:
    home = team.place.home
    for project, other in ((OLD, NEW), (NEW, OLD)):
        champion = team.evernas("champion", team.configs[project], "--json")["laptop"]
        assert (champion is None) == (project == NEW)
        listed = team.evernas("events", "list", team.configs[project], "--json")
        assert {row["project"] for row in listed} == {project}
        # The previous release kept no book.
        runs = {result["run"] for result in team.results(project)} - {team.before["run"]}
        book = {path.name.partition(".")[0] for path in (home / "projects" / project / "costs").rglob("*.json")}
        assert book == runs
        assert not [event for event in team.told(project) if other in json.dumps(event)]
        series = team.server.request("GET", "/metrics")[1]
        assert f'evernas_submissions_total{{project="{project}"}} 1.0' in series
    assert _experiments(team) == {f"evernas-{OLD}": OLD, f"evernas-{NEW}": NEW}


def _client(team: Team) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{team.place.home / 'mlflow.db'}")


def _tags(team: Team, run: str) -> dict[str, str]:
    note = json.loads((team.place.home / "runs" / run / "mlflow.json").read_text())
    return dict(_client(team).get_run(note["run_id"]).data.tags)


def _experiments(team: Team) -> dict[str, str]:
    """The experiments, each with the project of its runs."""
    client, found = _client(team), {}
    for experiment in client.search_experiments():
        runs = client.search_runs([experiment.experiment_id], "tags.`evernas.step` = 'run'")
        projects = {run.data.tags["evernas.project"] for run in runs}
        if projects:
            (found[experiment.name],) = projects
    return found


def test_what_happened_was_told_to_the_sink(team: Team) -> None:
    def types(project: str) -> set[str]:
        return {event["type"].removeprefix("dev.evernas.") for event in team.told(project)}

    serving.wait_until(lambda: "budget.spent" in types(NEW) and types(OLD), 30)
    decided = team.results(OLD)[-1]["outcome"]
    assert ("champion.promoted" if decided == "promoted" else "hold") in types(OLD)
    assert "champion.promoted" not in types(NEW)


def test_planted_secrets_are_found_nowhere(team: Team, tmp_path: Path) -> None:
    """In logs, MLflow, reports, the compiled pipeline, results, the inbox, and in what the sink was told."""
    from evernas_pipelines.publishing import compile_pipeline

    home = team.place.home
    secret = {"name": "lake", "keys": {"value": "LAKE_SECRET"}, "steps": ["ingest"]}
    cluster = {"root": "s3://kfp/root", "secrets": [secret], "devices": {"laptop": {}}}
    placed = load_config(_config(team, NEW, 1, cluster=cluster))
    compile_pipeline(placed, tmp_path / "pipeline.yaml")
    key = (home / "keys" / "gate-ed25519.pem").read_text().splitlines()[1]
    planted = {**PLANTED, "the gate's key": key}
    searched = [path for path in home.parent.rglob("*") if path.is_file() and "keys" not in path.parts]
    searched.append(tmp_path / "pipeline.yaml")
    kinds = {path.name for path in searched}
    assert {"log.txt", "mlflow.db", "report.html", "result.json", "pipeline.yaml", "inbox.db", "serve.log"} <= kinds
    found = [
        (str(path), name)
        for path in searched
        for data in [path.read_bytes()]
        for name, value in planted.items()
        if value.encode() in data
    ]
    assert found == []
    for post in team.sink.posts:
        told = post.body.decode() + json.dumps(post.headers)
        assert not [name for name, value in planted.items() if value in told]


def test_an_incident_in_production_starts_a_run_and_a_spent_month_starts_none(team: Team, tmp_path: Path) -> None:
    """The first by the monitor's event; then the new project's month is spent, and its event waits and says why."""
    entry = team.evernas("champion", team.configs[OLD], "--json")["laptop"]
    rows = 300
    log = {"id": [f"r{n}" for n in range(rows)], "bundle": [entry["bundle"]] * rows}
    log |= {"predicted": ["run"] * rows, "label": ["walk"] * rows}
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    before = len(team.results(OLD))
    write(team.configs[NEW], NEW, team.raw(NEW), **_spent_month(team))
    look = team.evernas("monitor", tmp_path / "log.parquet", "--config", team.configs[OLD], "--json")
    assert len(look["incidents"]) == 1
    team.tell(NEW, "another.parquet")
    team.wait_for(**{OLD: 2})
    assert len(team.results(OLD)) == before + 1
    (source,) = team.rows(f"SELECT source FROM events WHERE project = '{OLD}' AND label = 'incident'")
    assert source == ("(monitor)",)
    serving.wait_until(lambda: any(e["type"] == "dev.evernas.incident" for e in team.told(OLD)), 30)
    waiting = f"SELECT state, reason FROM works WHERE project = '{NEW}' AND state != 'done'"
    serving.wait_until(lambda: team.rows(waiting) and team.rows(waiting)[0][1], 30)
    ((state, reason),) = team.rows(waiting)
    assert state == "waiting"
    assert "is spent: 2 of 2 evaluations" in reason
    assert len(team.results(NEW)) == 1


def _spent_month(team: Team) -> dict[str, Any]:
    import yaml

    document = yaml.safe_load(team.configs[NEW].read_text())
    return {"triggers": document["triggers"], "outbox": document["outbox"], "budget": {"month": {"evaluations": 2}}}


def test_the_next_run_goes_on_from_where_the_budget_ended_the_last(team: Team) -> None:
    """With a wider budget, which the receiver takes from the changed file: what waited is done."""
    write(team.configs[NEW], NEW, team.raw(NEW), **{**_spent_month(team), "budget": {"month": {"evaluations": 100}}})
    team.wait_for(**{NEW: 2})
    stopped, last = team.results(NEW)
    assert stopped["outcome"] == "stopped"
    assert last["outcome"] == "promoted"
    steps = {step["step"]: step for step in last["steps"]}
    assert steps["supernet"]["reused"]
    assert steps["search"]["evaluations"] == 4, "the search went on from its checkpoint"
