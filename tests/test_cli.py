"""The command line for programs: JSON and nothing else, quiet, and errors as sentences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from evernas.cli import app
from evernas.state.files import write_bytes, write_json

RUNNER = CliRunner()


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
