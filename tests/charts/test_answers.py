"""What `helm test` runs in the cluster tells a release that works from one that does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "charts" / "evernas" / "files" / "answers.py"
WORKING = {"/readyz": 200, "/v1/events/none-of-ours": 404, "/api/2.0/mlflow/experiments/get?experiment_id=0": 200}


class Release:
    """Stands in for receiver and MLflow: `answers` are the codes that it gives."""

    def __init__(self) -> None:
        self.answers = dict(WORKING)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.answers[self.path])
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def asked(self, **env: str) -> subprocess.CompletedProcess[str]:
        """How the test in the cluster ends."""
        url = f"http://127.0.0.1:{self.server.server_port}"
        given = {"RECEIVER": url, "MLFLOW": url, "PATIENCE_S": "0", "PATH": os.environ["PATH"], **env}
        return subprocess.run([sys.executable, str(SCRIPT)], env=given, text=True, capture_output=True, check=False)


@pytest.fixture
def release() -> Iterator[Release]:
    made = Release()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_release_that_works_passes(release: Release) -> None:
    done = release.asked()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 3


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/readyz", 503, "receiver is ready"),
        ("/v1/events/none-of-ours", 202, "refuses an unknown source"),
        ("/api/2.0/mlflow/experiments/get?experiment_id=0", 403, "under its Service's name"),
    ],
)
def test_answer_that_is_wrong_fails_and_is_named(release: Release, path: str, code: int, said: str) -> None:
    release.answers[path] = code
    done = release.asked()
    assert done.returncode == 1
    assert said in done.stderr
    assert str(code) in done.stderr


def test_destination_that_should_be_closed_and_is_open_fails(release: Release) -> None:
    done = release.asked(CLOSED=f"127.0.0.1:{release.server.server_port}")
    assert done.returncode == 1
    assert "does the cluster enforce them?" in done.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert release.asked(CLOSED=f"127.0.0.1:{port}").returncode == 0


def test_release_that_answers_nothing_fails(release: Release) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = release.asked(RECEIVER=f"http://127.0.0.1:{port}")
    assert "answers nothing" in done.stderr
