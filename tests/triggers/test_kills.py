"""SIGKILL at every point between the 202 and the submitted run: every event is acted on, and by one run."""

from __future__ import annotations

import contextlib
import http.client
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving
from dying_serve import POINTS
from kfp_server import FakeKfp

DYING = Path(__file__).parents[1] / "support" / "dying_serve.py"


@pytest.fixture
def kfp() -> Iterator[FakeKfp]:
    server = FakeKfp(ends_at_once=True)
    server.upload("watch-evernas", "v1")
    yield server
    server.close()


# Each point costs two starts of a server. The benchmark kills at all of them, on both databases; here, at the one where
# a run could be doubled.
FEW = ["after submitting, before noting it"]


def killed_at(point: str, folder: Path, kfp: FakeKfp, postgres: serving.Postgres | None = None) -> None:
    """Kill a receiver at this point, start it again, and demand that its event has led to one run that worked."""
    triggers = serving.triggers_config(submit={"to": "kfp", "kfp": {"host": kfp.url}, "retry_s": 0.1, "poll_s": 0.1})
    triggers["debounce"] = {"quiet_s": 0.1, "max_wait_s": 1.0}
    if postgres is not None:
        triggers["database"] = {"env": "INBOX_URL"}
    server = serving.server(folder, triggers, INBOX_URL="" if postgres is None else postgres.url)
    normal = server.command
    server.command = [sys.executable, str(DYING), point, str(folder / "died"), "serve"]
    server.start()
    body = serving.change()
    headers = serving.signed(body, "the-event")
    acknowledged = False
    with contextlib.suppress(OSError, http.client.HTTPException):
        acknowledged = server.post(body, headers)[0] == 202
    assert server.process is not None
    assert server.process.wait(serving.PATIENCE_S) == -9, "it died where it was meant to"
    assert acknowledged or "commit" in point
    server.command = normal
    server.start()
    try:
        if not acknowledged:
            # As any sender does that got no answer.
            assert server.post(body, serving.signed(body, "the-event"))[0] == 202
        look = server.rows if postgres is None else postgres.rows
        serving.wait_until(lambda: look("SELECT id, state FROM events") == [("the-event", "done")])
        assert len(kfp.runs()) == 1
        assert len(kfp.runs("SUCCEEDED")) == 1
    finally:
        server.stop()


@pytest.mark.parametrize("point", FEW)
def test_event_of_a_killed_receiver_leads_to_one_run(point: str, tmp_path: Path, kfp: FakeKfp) -> None:
    assert point in POINTS
    killed_at(point, tmp_path, kfp)


def test_locally_submitted_run_outlives_the_receiver_and_is_found_by_the_next(tmp_path: Path) -> None:
    """The run is real (`evernas run`, which refuses its config); the receiver is killed while it works."""
    server = serving.server(tmp_path).start()
    config = server.config.read_text()
    server.config.unlink()
    assert server.post(serving.change())[0] == 202
    submissions = server.home / "projects" / "watch" / "submissions"
    serving.wait_until(lambda: list(submissions.glob("*/started.json")))
    server.kill()
    serving.wait_until(lambda: list(submissions.glob("*/ended.json")))
    server.config.write_text(config)
    server.start()
    try:
        serving.wait_until(lambda: server.rows("SELECT state FROM events") == [("dead",)])
        assert len(list(submissions.glob("*"))) == 1
        assert "cannot be read" in server.rows("SELECT reason FROM works")[0][0]
    finally:
        server.stop()
