"""GitHub's runner, as far as the workflows here need it: the jobs' own scripts, with the files that GitHub gives.

Actions from elsewhere (checkout, Python, AWS) and the installation are left out: the job begins in a checkout where
`evernas` is on the PATH. That is the real command line, in this process, which has its imports.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evernas import cli

ROOT = Path(__file__).parents[2]
CLIENT = """import json, os, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as link, link.makefile("rwb") as lines:
    asked = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}
    lines.write(json.dumps(asked).encode() + b"\\n")
    lines.flush()
    code, out, error = json.loads(lines.readline())
sys.stdout.write(out)
sys.stderr.write(error)
sys.exit(code)
"""


@dataclass
class Ran:
    """A job that ran: its outputs, the summary it wrote, what its steps said, and the scripts of those that began."""

    succeeded: bool = True
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    said: str = ""
    scripts: list[str] = field(default_factory=list)


class Workflow:
    """A workflow, started by an event, its jobs one by one; each on a machine of its own that holds `checkout`."""

    def __init__(self, path: Path, folder: Path, inputs: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self._document = yaml.safe_load(path.read_text())
        self._folder, self._variables = folder, variables
        self._event = folder / "event.json"
        self._event.write_text(json.dumps({"inputs": dict(inputs), "ref": "refs/heads/main"}))

    def job(self, name: str, commands: Path, checkout: Mapping[str, bytes]) -> Ran:
        """Do a job's steps until one fails. `commands` is a folder on the PATH."""
        machine = self._folder / f"machine-{len(list(self._folder.glob('machine-*')))}"
        (machine / "checkout").mkdir(parents=True)
        for file, content in checkout.items():
            (machine / "checkout" / file).write_bytes(content)
        known = {"inputs": json.loads(self._event.read_text())["inputs"], "vars": self._variables}
        environment = {
            "PATH": f"{commands}:/usr/bin:/bin",
            "GITHUB_EVENT_PATH": str(self._event),
            "GITHUB_WORKSPACE": str(machine / "checkout"),
            **_filled(self._document.get("env", {}), known),
        }
        ran = Ran()
        for step in self._document["jobs"][name]["steps"]:
            if step.get("uses", "").startswith("./"):
                action = yaml.safe_load((ROOT / step["uses"] / "action.yml").read_text())
                given = _filled(step.get("with", {}), known)
                _composite(action, given, environment, machine, ran)
                if not ran.succeeded:
                    break
        return ran


def _composite(
    action: dict[str, Any], given: Mapping[str, str], environment: Mapping[str, str], machine: Path, ran: Ran
) -> None:
    inputs = {name: given.get(name, declared.get("default")) for name, declared in action["inputs"].items()}
    assert None not in inputs.values(), f"the action lacks an input: {inputs}"
    outputs: dict[str, Any] = {}
    for number, step in enumerate(action["runs"]["steps"]):
        if not _holds(step.get("if"), inputs):
            continue
        files = {name: machine / f"{name.lower()}-{number}" for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        for file in files.values():
            file.touch()
        paths = {name: str(file) for name, file in files.items()}
        script = machine / f"script-{number}.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            [step["shell"], "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            env={**environment, **_filled(step.get("env", {}), {"inputs": inputs}), **paths},
            cwd=environment["GITHUB_WORKSPACE"],
            text=True,
            capture_output=True,
            check=False,
        )
        ran.scripts.append(step["run"])
        ran.said += done.stdout + done.stderr
        ran.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        outputs[step.get("id", str(number))] = {"outputs": _outputs(files["GITHUB_OUTPUT"].read_text())}
        ran.succeeded = done.returncode == 0
        if not ran.succeeded:
            break
    declared = {name: output["value"] for name, output in action["outputs"].items()}
    ran.outputs = _filled(declared, {"steps": outputs})


def _filled(values: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, str]:
    """Expressions are paths into what is known, such as `steps.verify.outputs.reason`; what is not there is empty."""

    def found(match: re.Match[str]) -> str:
        value: Any = known
        for part in match[1].split("."):
            value = value.get(part, {})
        return value or ""

    return {name: re.sub(r"\$\{\{ ([\w.]+) \}\}", found, value) for name, value in values.items()}


def _holds(condition: str | None, inputs: Mapping[str, str]) -> bool:
    if condition is None:
        return True
    match = re.fullmatch(r"\$\{\{ inputs\.(\w+) == '(\w*)' \}\}", condition)
    assert match is not None, f"this runner does not know the condition {condition!r}"
    return inputs[match[1]] == match[2]


def _outputs(text: str) -> dict[str, str]:
    """What GitHub reads from the file of outputs."""
    return {match[1]: match[3] for match in re.finditer(r"^(\w+)<<(\S+)\n(.*?)\n\2$", text, re.MULTILINE | re.DOTALL)}


@contextlib.contextmanager
def evernas_on_path(folder: Path) -> Iterator[Path]:
    """A folder with the command `evernas`, which does its work in this process while the caller waits for it."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = json.loads(self.rfile.readline())
            self.wfile.write(json.dumps(_command(**asked)).encode() + b"\n")

    folder.mkdir()
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (folder / "client.py").write_text(CLIENT)
        command = folder / "evernas"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -SE {folder}/client.py {server.server_address[1]} "$@"\n')
        command.chmod(0o755)
        try:
            yield folder
        finally:
            server.shutdown()


def _command(arguments: list[str], environment: dict[str, str], folder: str) -> tuple[int, str, str]:
    """Exit code and both outputs of the command, in its folder and with its environment alone."""
    out, error, code = io.StringIO(), io.StringIO(), 0
    here, ours, argv = Path.cwd(), dict(os.environ), sys.argv
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["evernas", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(ours)
        os.chdir(here)
    return code, out.getvalue(), error.getvalue()
