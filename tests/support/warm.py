"""Commands in processes forked from one that has imported everything: the same work, without minutes of imports.

A server process imports the libraries once. Each command is a fork of it, with a nursery beside it, a second fork that
has done nothing since; the nursery forks each step of the pipeline, in place of a new interpreter. All are processes of
their own, in the command's process group, that may be killed like any other. What a person starts, new interpreters,
is what `Place` does without this.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOADED = (
    "torch",
    "great_expectations",
    "kfp.local.subprocess_task_handler",
    "kfp.dsl.executor_main",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "onnx",
    "pandas",
    "pyarrow.dataset",
    "scipy.stats",
    "seglearn",
    "vl_convert",
    "evernas_pipelines.local",
    "evernas_pipelines.definition",
    "evernas.steps.supernet",
    "evernas.steps.gate",
    "evernas.steps.report",
)
BEFORE_STEP = "WARM_BEFORE_STEP"
"""Names a script that each step runs before it begins."""
POLL_S = 0.01
SETTLE_S = 0.3


class WarmProcess:
    """A command that was started: as much of subprocess.Popen as the tests use. Its output is in a file."""

    def __init__(self, server: Warm, pid: int, output: Path) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._output = output

    def poll(self) -> int | None:
        """The exit code, or None while it runs; minus the signal that ended it."""
        if self.returncode is None:
            self.returncode = self._server.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_S)
        return code

    def output(self) -> str:
        """Everything that it has written so far."""
        return self._output.read_text()


class Warm:
    """The server process, as the tests see it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        # What the engine and the steps set for themselves before these libraries are loaded.
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **quiet},
        )

    def ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return json.loads(answer)

    def start(self, arguments: list[str], environment: dict[str, str], folder: Path) -> WarmProcess:
        """Start `python arguments`, -m or a script, in a process group of its own; both outputs go to one file."""
        return self._start(arguments, environment, folder, split=False)[0]

    def run(
        self, arguments: list[str], environment: dict[str, str], folder: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        process, out, err = self._start(arguments, environment, folder, split=True)
        code = process.wait(timeout)
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def _start(
        self, arguments: list[str], environment: dict[str, str], folder: Path, split: bool
    ) -> tuple[WarmProcess, Path, Path]:
        self._count += 1
        out = self._folder / f"{self._count}.out"
        err = out.with_suffix(".err") if split else out
        request = {"arguments": arguments, "environment": environment, "folder": str(folder)}
        pid = self.ask({**request, "out": str(out), "err": str(err)})
        return WarmProcess(self, pid, out), out, err

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _serve() -> None:
    # Arrow starts its threads again after a fork. Nothing else may have any: ONNX Runtime has, and is not preloaded.
    importlib.import_module("pyarrow")
    time.sleep(SETTLE_S)
    threads = _threads()
    for module in PRELOADED:
        importlib.import_module(module)
    assert _threads() <= threads, "a process with threads cannot be forked safely"
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = _fork(lambda request=request: _command(request))
        print(json.dumps(answer), flush=True)
    # Nothing is left to do, and an interpreter takes seconds to take down so many modules.
    os._exit(0)


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def _fork(work: Callable[[], None]) -> int:
    """Do `work` in a new process, that ends with the exit code it raises; its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as an interpreter does with what nobody catches
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _outputs(out: int, err: int, keep: int = 2) -> None:
    """Write to these descriptors, and close all others but `keep`: no lock may outlive its holder here."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _command(request: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    ours, theirs = socket.socketpair()
    _fork(lambda: _nurse(ours, theirs))
    theirs.close()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    _outputs(os.open(request["out"], flags), os.open(request["err"], flags), ours.fileno())
    handler = importlib.import_module("kfp.local.subprocess_task_handler")
    handler.run_local_subprocess = lambda full_command, env_vars=None: _step(ours, full_command, env_vars)
    first, *rest = request["arguments"]
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = request["arguments"]
        runpy.run_path(first, run_name="__main__")


def _step(nursery: socket.socket, full_command: list[str], env_vars: dict[str, str] | None) -> int:
    """What kfp.local starts an interpreter for: the component's source, executed by KFP's executor."""
    source, arguments = full_command[3], full_command[4:]
    folder = Path(tempfile.mkdtemp())
    (folder / "ephemeral_component.py").write_text(source)
    environment = {**os.environ, **(env_vars or {})}
    (folder / "request.json").write_text(json.dumps({"arguments": arguments, "environment": environment}))
    reading, writing = os.pipe()
    socket.send_fds(nursery, [f"{folder}\n".encode()], [writing])
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            print(line, end="")
    return int(nursery.recv(64))


def _nurse(ours: socket.socket, theirs: socket.socket) -> None:
    """Fork steps, one at a time, until the command that asks for them is gone."""
    ours.close()
    while True:
        asked, descriptors, _, _ = socket.recv_fds(theirs, 4096, 1)
        if not asked:
            return
        folder, (out,) = Path(asked.decode().strip()), descriptors
        pid = _fork(lambda folder=folder, out=out: _execute(folder, out))
        os.close(out)
        theirs.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _execute(folder: Path, out: int) -> None:
    request = json.loads((folder / "request.json").read_text())
    os.environ.clear()
    os.environ.update(request["environment"])
    _outputs(out, out)
    if BEFORE_STEP in os.environ:
        runpy.run_path(os.environ[BEFORE_STEP])
    sys.argv = ["executor", "--component_module_path", str(folder / "ephemeral_component.py"), *request["arguments"]]
    importlib.import_module("kfp.dsl.executor_main").executor_main()


if __name__ == "__main__":
    _serve()
