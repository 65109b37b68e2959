"""Two projects with the same device and source, on one database and one receiver, see nothing of each other."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

import serving
from evernas.config import load_config
from evernas.errors import UsageError
from evernas.state import Home
from evernas.triggers import listing
from evernas.triggers.config_file import ConfigFile
from evernas.triggers.database import Database
from evernas.triggers.service import Aside, Served, Service, database_of, serve
from evernas.triggers.several import Projects
from evernas.triggers.submission import Found, Submitter

OTHER_SECRET = "a-secret-of-the-other-lake-0123456789"


class Cluster(Submitter):
    """Keeps the names of runs that it was given; each has succeeded at once."""

    def __init__(self) -> None:
        self.submitted: list[str] = []

    def find(self, name: str) -> Found | None:
        return Found(name, "succeeded") if name in self.submitted else None

    def submit(self, name: str) -> str:
        self.submitted.append(name)
        return name

    def version(self) -> str:
        return "v1"


def _config(folder: Path, project: str, secret: str, **more: Any) -> Path:
    source = {**serving.SOURCE, "secrets": [{"env": secret}]}
    section = serving.triggers_config(
        sources=[source],
        database={"env": "INBOX_URL"},
        debounce={"quiet_s": 0.0, "max_wait_s": 0.0},
        submit={"retry_s": 0.0, "poll_s": 0.001},
        **more,
    )
    return serving.write_config(folder / f"{project}.yaml", section, project=project)


class Desk:
    """One receiver of two projects on one database, without a socket."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.clusters = {project: Cluster() for project in ("one", "two")}
        self.services: dict[str, Service] = {}
        self.databases: dict[str, Database] = {}
        for project, secret in (("one", "LAKE_SECRET"), ("two", "OTHER_SECRET")):
            path = _config(folder, project, secret)
            config = load_config(path)
            database = database_of(config, self.home)
            database.migrate()
            self.databases[project] = database
            self.services[project] = Service(
                ConfigFile(path, config), self.home, self.clusters[project], database, Aside()
            )
        self.app = Projects(list(self.services.values()))

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and body of an answer."""
        said: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        async def whole() -> None:
            scope = {
                "type": "http",
                "method": method,
                "path": path,
                "query_string": b"",
                "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
                "client": ("127.0.0.1", 1),
                "scheme": "https",
            }
            await self.app(scope, receive, send)

        asyncio.run(whole())
        return said[0]["status"], b"".join(m.get("body", b"") for m in said[1:]).decode()

    def tell(self, project: str, key: str, secret: str) -> int:
        body = serving.change(key)
        return self.ask("POST", f"/v1/projects/{project}/events/lake", body, serving.signed(body, secret=secret))[0]

    def look(self, times: int = 4) -> None:
        for _ in range(times):
            for service in self.services.values():
                service.dispatcher.look()

    def close(self) -> None:
        for database in self.databases.values():
            database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = f"sqlite:///{tmp_path / 'shared.db'}" if request.param == "sqlite" else request.getfixturevalue("fresh_url")
    monkeypatch.setenv("INBOX_URL", url)
    monkeypatch.setenv("LAKE_SECRET", serving.SECRET)
    monkeypatch.setenv("OTHER_SECRET", OTHER_SECRET)
    made = Desk(tmp_path)
    yield made
    made.close()


def test_an_event_reaches_the_project_that_it_is_for_and_starts_a_run_of_that_alone(desk: Desk) -> None:
    assert desk.tell("one", "watch/a.parquet", serving.SECRET) == 202
    desk.look()
    assert [len(cluster.submitted) for cluster in desk.clusters.values()] == [1, 0]
    assert desk.tell("two", "watch/a.parquet", OTHER_SECRET) == 202, "the same event is another project's own"
    desk.look()
    ones, twos = (cluster.submitted for cluster in desk.clusters.values())
    assert (len(ones), len(twos)) == (1, 1)
    assert ones[0].startswith("one-")
    assert twos[0].startswith("two-")
    for project, database in desk.databases.items():
        (row,) = listing.list_events(database, project, None, 10)
        assert (row["project"], row["state"]) == (project, "done")
        assert listing.show(database, project, row["seq"])["work"]["name"].startswith(f"{project}-")


def test_what_one_project_lists_shows_and_replays_is_its_own(desk: Desk) -> None:
    desk.tell("one", "watch/a.parquet", serving.SECRET)
    desk.look()
    (row,) = listing.list_events(desk.databases["one"], "one", None, 10)
    assert listing.list_events(desk.databases["two"], "two", None, 10) == []
    with pytest.raises(UsageError, match="no event"):
        listing.show(desk.databases["two"], "two", row["seq"])
    with pytest.raises(UsageError, match="None of these"):
        listing.replay(desk.databases["two"], "two", [row["seq"]], dead=False)


def test_a_secret_of_one_project_proves_nothing_to_the_other(desk: Desk) -> None:
    assert desk.tell("two", "watch/a.parquet", serving.SECRET) == 401
    assert desk.tell("one", "watch/a.parquet", OTHER_SECRET) == 401


def test_a_source_that_two_projects_have_is_reached_by_the_projects_path_alone(desk: Desk) -> None:
    body = serving.change()
    status, said = desk.ask("POST", "/v1/events/lake", body, serving.signed(body))
    assert status == 404
    assert "post to /v1/projects/<project>/events/<source>" in said
    assert desk.ask("POST", "/v1/projects/three/events/lake", body, serving.signed(body))[0] == 404
    assert desk.ask("POST", "/v1/projects/one/events/other", body, serving.signed(body))[0] == 404


def test_each_series_is_told_once_and_carries_its_project(desk: Desk) -> None:
    desk.tell("one", "watch/a.parquet", serving.SECRET)
    status, text = desk.ask("GET", "/metrics")
    assert status == 200
    families = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(families) == len(set(families))
    assert 'evernas_events_total{outcome="new",project="one",source="lake"} 1.0' in text
    assert not re.search(r'evernas_events_total\{[^}]*project="two"', text)


def test_a_project_that_is_held_up_keeps_its_events_says_why_and_does_not_hold_the_other(desk: Desk) -> None:
    why: list[str | None] = ["The month's budget of one is spent."]
    desk.services["one"].dispatcher.held_up = lambda: why[0]
    for project, secret in (("one", serving.SECRET), ("two", OTHER_SECRET)):
        assert desk.tell(project, "watch/a.parquet", secret) == 202
    desk.look()
    assert [len(cluster.submitted) for cluster in desk.clusters.values()] == [0, 1]
    (row,) = listing.list_events(desk.databases["one"], "one", None, 10)
    work = listing.show(desk.databases["one"], "one", row["seq"])["work"]
    assert (work["state"], work["reason"]) == ("waiting", why[0])
    why[0] = None
    with desk.databases["one"].write() as connection:
        connection.exec_driver_sql("UPDATE works SET not_before = 0 WHERE project = 'one'")
    desk.look()
    assert [len(cluster.submitted) for cluster in desk.clusters.values()] == [1, 1]


def test_configs_that_cannot_share_a_receiver_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INBOX_URL", f"sqlite:///{tmp_path / 'shared.db'}")
    one, two = _config(tmp_path, "one", "LAKE_SECRET"), _config(tmp_path, "two", "LAKE_SECRET", port=1)

    def served(*paths: Path) -> list[Served]:
        return [Served(load_config(path), path, Aside()) for path in paths]

    with pytest.raises(UsageError, match=r"triggers\.port is 8750 for one and 1 for two"):
        serve(served(one, two), Home(tmp_path / "home"))
    with pytest.raises(UsageError, match="serve each project once"):
        serve(served(one, one), Home(tmp_path / "home"))
