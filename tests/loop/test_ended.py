"""The exit handler tells of a run that failed, to everybody that is to know, though one of them cannot be reached."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import serving
from evernas.errors import EvernasError
from evernas.loop.ended import tell_end
from evernas.outbox.cloudevents import of_notice
from evernas.state import Home
from evernas.state.bucket import Bucket
from evernas.state.files import write_json
from evernas.state.notices import notices
from evernas.state.sharing import share
from evernas.storage import FileStorage
from evernas.triggers.lease import leases_of
from evernas.triggers.signatures import STANDARD, timed

SECRET = "a-secret-of-the-webhook-0123456789"


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[dict[str, str], bytes]]]:
    """What the webhook was sent."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(500 if b"no thanks" in body else 200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("EVERNAS_FAILURE_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook?token=hush")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield received
    server.shutdown()
    server.server_close()


def _failure(sentence: str) -> dict[str, Any]:
    return {"version": 1, "step": "validate", "device": None, "exit_code": 4, "sentence": sentence}


def test_success_is_told_to_nobody(tmp_path: Path, posts: list[Any]) -> None:
    assert tell_end(Home(tmp_path), "watch", "run-1", "SUCCEEDED", "") == "Run run-1 succeeded."
    assert posts == []


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        (SECRET, SECRET.encode()),
        ("whsec_" + base64.b64encode(b"sixteen bytes at least").decode(), b"sixteen bytes at least"),
    ],
    ids=["plain", "standard"],
)
def test_failure_is_posted_in_the_steps_own_words_and_signed(
    tmp_path: Path, posts: list[Any], monkeypatch: pytest.MonkeyPatch, secret: str, key: bytes
) -> None:
    monkeypatch.setenv("EVERNAS_FAILURE_WEBHOOK_SECRET", secret)
    home = Home(tmp_path)
    home.run("run-1").mkdir(parents=True)
    write_json(home.run("run-1") / "failure.json", _failure("The data was refused."))
    assert tell_end(home, "watch", "run-1", "FAILED", "exit code 4").endswith("FAILED: The data was refused.")
    ((headers, body),) = posts
    timed(STANDARD, headers, body, [hmac.new(key, digestmod="sha256")], time.time(), 300)
    told = json.loads(body)
    assert [told[name] for name in ("project", "run", "state", "message")] == [
        "watch",
        "run-1",
        "FAILED",
        "The data was refused.",
    ]


def test_run_whose_pod_was_lost_has_failed_and_says_so(tmp_path: Path, posts: list[Any]) -> None:
    home = Home(tmp_path)
    home.run("run-1").mkdir(parents=True)
    told = tell_end(home, "watch", "run-1", "RUNNING", "")
    assert told.startswith("Run run-1 ended as FAILED: A step's pod was lost")
    ((_, body),) = posts
    assert json.loads(body)["state"] == "FAILED"
    (notice,) = notices(home, "watch").values()
    assert notice.about["state"] == "FAILED"


@pytest.mark.parametrize("said", [True, False], ids=["by the step", "by Kubeflow"])
def test_sinks_of_the_outbox_hear_of_a_failure_without_words_that_may_name_people(
    tmp_path: Path, posts: list[Any], said: bool
) -> None:
    home, words = Home(tmp_path), "The person anna has 3 recordings."
    home.run("run-1").mkdir(parents=True)
    if said:
        write_json(home.run("run-1") / "failure.json", _failure(words))
    tell_end(home, "watch", "run-1", "FAILED", words)
    (notice,) = notices(home, "watch").values()
    assert "anna" not in json.dumps(of_notice("watch", notice).document("watch"))
    if said:
        assert "failed in validate with exit code 4: failure.json" in notice.sentence


def test_receiver_takes_the_post_as_a_hint_that_starts_nothing(
    tmp_path: Path, posts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fuzzing import Target

    monkeypatch.setenv("EVERNAS_FAILURE_WEBHOOK_SECRET", serving.SECRET)
    tell_end(Home(tmp_path), "watch", "run-1", "FAILED", "exit code 4")
    ((headers, body),) = posts
    target = Target(tmp_path)
    target.service.dispatcher._looked_at = time.time()
    assert asyncio.run(target.post("lake", body, headers)) == 202
    assert target.service.dispatcher._looked_at == 0.0, "the run's state is asked for at once"
    with target.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT state, reason, key FROM events").fetchall()
    assert [tuple(row) for row in rows] == [("ignored", "written by evernas itself", "run-1")]


def test_failure_and_lease_are_found_where_steps_share_a_bucket_and_no_folder(tmp_path: Path, posts: list[Any]) -> None:
    def machine(name: str) -> Home:
        return Home(tmp_path / name, Bucket(tmp_path / name, FileStorage(tmp_path / "bucket")))

    step, handler = machine("step"), machine("handler")
    assert leases_of(step, "watch").claim("run-1") is not None
    path = step.run("run-1") / "failures" / "search-cpu.json"
    path.parent.mkdir(parents=True)
    write_json(path, _failure("The search failed."))
    share(step, path)
    assert tell_end(handler, "watch", "run-1", "FAILED", "exit code 1").endswith("FAILED: The search failed.")
    assert leases_of(step, "watch").is_free()


def test_words_that_cannot_be_read_are_said_and_the_rest_is_done(tmp_path: Path, posts: list[Any]) -> None:
    home = Home(tmp_path)
    home.run("run-1").mkdir(parents=True)
    (home.run("run-1") / "failure.json").write_text("{")
    with pytest.raises(EvernasError, match="own words could not be read"):
        tell_end(home, "watch", "run-1", "FAILED", "exit code 4")
    ((_, body),) = posts
    assert json.loads(body)["message"] == "exit code 4"


def test_lease_of_a_run_that_failed_is_free(tmp_path: Path, posts: list[Any]) -> None:
    leases = leases_of(Home(tmp_path), "watch")
    assert leases.claim("run-1") is not None
    assert not leases.is_free()
    tell_end(Home(tmp_path), "watch", "run-1", "FAILED", "it broke")
    assert leases.is_free()


def test_webhook_that_fails_is_said_without_its_address_and_the_rest_is_done(tmp_path: Path, posts: list[Any]) -> None:
    leases = leases_of(Home(tmp_path), "watch")
    leases.claim("run-1")
    with pytest.raises(EvernasError, match="it answers 500") as caught:
        tell_end(Home(tmp_path), "watch", "run-1", "FAILED", "no thanks")
    assert "hush" not in str(caught.value)
    assert leases.is_free()


def test_webhook_that_is_no_web_address_is_refused(
    tmp_path: Path, posts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERNAS_FAILURE_WEBHOOK", "file:///etc/passwd")
    with pytest.raises(EvernasError, match="no web address"):
        tell_end(Home(tmp_path), "watch", "run-1", "FAILED", "x")
