"""Runs on this machine: one job a name, however many are started, and a killed run is seen as killed."""

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


def test_run_whose_job_is_killed_works_on_and_counts_as_killed_once_it_has_ended(
    submitter: LocalSubmitter, tmp_path: Path
) -> None:
    folder = tmp_path / "projects" / "watch" / "submissions" / "a-1"
    folder.mkdir(parents=True)
    run, pid = tmp_path / "run", tmp_path / "pid"
    run.write_text(f"#!/bin/sh\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 60\n")
    run.chmod(0o755)
    code = (
        f"import evernas.triggers.job as job; job.sys.executable = {str(run)!r}; "
        f"job.main(job.Path({str(folder)!r}), 'c', 'h')"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    serving.wait_until(pid.exists)
    for killed, expected in ((process.pid, "running"), (int(pid.read_text()), "failed")):
        found = submitter.find("a-1")
        assert found is not None
        assert found.state == "running"
        os.kill(killed, signal.SIGKILL)
        process.wait()
        serving.wait_until(lambda expected=expected: (now := submitter.find("a-1")) and now.state == expected)
    found = submitter.find("a-1")
    assert found is not None
    assert found.reason == "its process was killed"


def test_second_job_of_a_name_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr("evernas.triggers.job.subprocess.call", lambda *a, **k: calls.append(a) or 3)
    assert [job(tmp_path, "c", "h") for _ in range(2)] == [0, 0]
    assert len(calls) == 1
    assert json.loads((tmp_path / "ended.json").read_text())["exit_code"] == 3
