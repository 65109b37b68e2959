"""The command line for programs: JSON and nothing else, quiet, and errors as sentences."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evernas.cli import app
from evernas.errors import refused_by_disk
from evernas.state.files import write_bytes, write_json

RUNNER = CliRunner()
ROOT = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state folder with one report."""
    folder = tmp_path / "home"
    write_json(folder / "runs" / "first" / "result.json", {"run": "first", "outcome": "held"})
    write_bytes(folder / "runs" / "first" / "report.html", b"report")
    (folder / "latest").symlink_to(Path("runs") / "first")
    return folder


def test_report_as_json_says_what_result_json_says_and_where_the_page_is(home: Path) -> None:
    said = json.loads(RUNNER.invoke(app, ["report", "--home", str(home), "--json"]).stdout)
    assert said == {"report": str(home / "runs" / "first" / "report.html"), "run": "first", "outcome": "held"}


def test_a_schema_is_json_with_and_without_the_flag() -> None:
    plain = RUNNER.invoke(app, ["schema"]).stdout
    assert json.loads(RUNNER.invoke(app, ["schema", "--json"]).stdout) == json.loads(plain)


def commands_of(group: typer.Typer) -> list[str]:
    """All commands of a group and the groups in it, as a person types them."""
    own = [(c.name or c.callback.__name__).replace("_", "-") for c in group.registered_commands if c.callback]
    inner = [(one.name, one.typer_instance) for one in group.registered_groups if one.typer_instance]
    return own + [f"{name} {command}" for name, instance in inner for command in commands_of(instance)]


@pytest.mark.parametrize("command", commands_of(app))
def test_every_command_takes_json(command: str) -> None:
    shown = RUNNER.invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    if command == "serve":
        pytest.skip("a server answers over HTTP")
    assert "--json" in shown.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_taught_to_complete_commands(shell: str, tmp_path: Path) -> None:
    command = tmp_path / "evernas"
    command.write_text("from evernas.cli import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(command)],
        env={**os.environ, "_EVERNAS_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_EVERNAS_COMPLETE=complete" in done.stdout


def test_quiet_and_verbose_exclude_one_another(tmp_path: Path) -> None:
    from evernas.errors import UsageError

    done = RUNNER.invoke(app, ["run", str(tmp_path / "evernas.yaml"), "--quiet", "--verbose"])
    assert isinstance(done.exception, UsageError)
    assert "give one of them" in str(done.exception)


def collecting(home: Path, **how: Any) -> subprocess.CompletedProcess[str]:
    """`evernas gc --apply` on a state folder, which first notes there who works on it."""
    command = [sys.executable, "-m", "evernas.cli", "gc", "--apply", "--home", str(home)]
    config = ROOT / "examples" / "watch" / "evernas.yaml"
    return subprocess.run([*command, str(config)], capture_output=True, text=True, check=False, **how)


def test_a_disk_that_takes_nothing_is_a_sentence_with_the_mend(home: Path) -> None:
    done = collecting(home, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be used (File too large): allow larger files there" in done.stderr


def test_a_state_folder_that_is_below_a_file_is_a_sentence_with_the_mend(home: Path) -> None:
    done = collecting(home / "runs" / "first" / "report.html" / "home")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be used (Not a directory): name a folder" in done.stderr


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "free space there"), (errno.EROFS, "make it writable"), (errno.EACCES, "the right to it")],
)
def test_each_refusal_of_a_disk_has_its_mend(number: int, said: str) -> None:
    sentence = refused_by_disk(OSError(number, os.strerror(number), "/state/owner.lock"))
    assert sentence is not None
    assert sentence.startswith(f"/state/owner.lock cannot be used ({os.strerror(number)}): ")
    assert said in sentence


def test_what_is_a_fault_of_ours_is_not_put_down_to_the_disk() -> None:
    assert refused_by_disk(OSError(errno.EBADF, os.strerror(errno.EBADF))) is None
