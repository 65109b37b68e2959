"""Runs on this machine: one job a name, however many are started, and a killed one is seen as killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import serving
from evernas.triggers.job import main as job
from evernas.triggers.local import LocalSubmitter


@pytest.fixture
def submitter(tmp_path: Path) -> LocalSubmitter:
    return LocalSubmitter(tmp_path / "config.yaml", tmp_path, "watch")


def test_job_that_cannot_run_is_refused_with_its_last_line(submitter: LocalSubmitter) -> None:
    assert submitter.find("a-1") is None
    assert submitter.submit("a-1") == "a-1"
    ended = serving.wait_until(lambda: (found := submitter.find("a-1")) and found.state != "running" and found)
    assert ended.state == "refused"
    assert "cannot be read" in ended.reason


def test_killed_job_is_seen_as_killed(submitter: LocalSubmitter, tmp_path: Path) -> None:
    folder = tmp_path / "projects" / "watch" / "submissions" / "a-1"
    folder.mkdir(parents=True)
    code = (
        "import sys, time, evernas.triggers.job as job; job.subprocess.call = lambda *a, **k: time.sleep(60); "
        f"job.main(job.Path({str(folder)!r}), 'c', 'h')"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    serving.wait_until(lambda: (folder / "started.json").exists())
    found = submitter.find("a-1")
    assert found is not None
    assert found.state == "running"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = submitter.find("a-1")
    assert found is not None
    assert (found.state, found.reason) == ("failed", "its process was killed")


def test_second_job_of_a_name_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr("evernas.triggers.job.subprocess.call", lambda *a, **k: calls.append(a) or 3)
    assert [job(tmp_path, "c", "h") for _ in range(2)] == [0, 0]
    assert len(calls) == 1
    assert json.loads((tmp_path / "ended.json").read_text())["exit_code"] == 3
