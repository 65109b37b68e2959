"""One worker process from start to end: how it is started, watched and read, and who is to blame when it dies."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evernas
from evernas.errors import EvernasError
from evernas.hardware.devices import allowed_cores, quiet_cores

WORKER = (sys.executable, "-m", "evernas.hardware.worker")
COLD_WORKER = (sys.executable, "-m", "evernas.hardware.cold_worker")
LOOK_EVERY_S = 0.25
LONGEST_WAIT_S = 1800.0


class WorkerDiedError(Exception):
    """The worker ended without a result while it had the network `digest` (None: none) in hand."""

    def __init__(self, digest: str | None, reason: str) -> None:
        super().__init__(reason)
        self.digest = digest


@dataclass(frozen=True)
class Network:
    """A network's file as a worker is to find it; `shape` is that of one sample, channels first."""

    digest: str
    path: Path
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for the job file."""
        return {"digest": self.digest, "path": str(self.path), "shape": list(self.shape)}


def run_worker(
    job: Mapping[str, Any],
    networks: list[Network],
    guard: Callable[[], None],
    command: tuple[str, ...] = WORKER,
) -> dict[str, Any]:
    """The result of one job in a fresh process on the quietest cores. Raises WorkerDiedError; leaves no process behind.

    `job` has kind, runtime, threads, seed, patience_s and, for latency, seconds and warmup_seconds; `waits_s` is how
    long a network may wait for something else. `guard` is called while waiting and may raise to give up.
    """
    cores = quiet_cores(job["threads"])
    document = {
        **job,
        "cores": cores,
        "allowed_cores": allowed_cores(),
        "models": [network.to_json() for network in networks],
    }
    with tempfile.TemporaryDirectory(prefix="evernas-measure-") as name:
        folder = Path(name)
        document["spawned_ns"] = time.monotonic_ns()
        (folder / "job.json").write_text(json.dumps(document), encoding="utf-8")
        files = [str(folder / part) for part in ("job.json", "result.json", "current")]
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [*command, *files],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment_of_workers(),
                start_new_session=True,
            )
            try:
                code = _wait(process, _deadline_s(job, len(networks)), guard)
            finally:
                if process.poll() is None:
                    # The group is its own, and holds the copies that it made of itself.
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if code == 0 and (folder / "result.json").exists():
            result: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
            return result
        current = folder / "current"
        digest = current.read_text(encoding="ascii") if current.exists() else ""
        raise WorkerDiedError(digest or None, _reason(code, job["patience_s"], folder / "stderr"))


def run_survivors(
    job: Mapping[str, Any],
    own: Network,
    networks: list[Network],
    guard: Callable[[], None],
    command: tuple[str, ...] = WORKER,
) -> dict[str, Any]:
    """The result of one job on all networks that let the process live; "refused" says why the others are not in it.

    A network that ends the process twice running is left out, and the job is done with the rest. Raises WorkerDiedError
    when `own`, evernas's own network, or nothing in particular was in hand both times: then the machine is at fault.
    """
    refused: dict[str, str] = {}
    while True:
        alive = [network for network in networks if network.digest not in refused]
        try:
            try:
                result = run_worker(job, [own, *alive], guard, command)
            except WorkerDiedError:
                result = run_worker(job, [own, *alive], guard, command)
        except WorkerDiedError as died:
            if died.digest not in {network.digest for network in alive}:
                raise
            refused[str(died.digest)] = f"The network {died}."
            continue
        result["refused"] = {**result["refused"], **refused}
        return result


@contextmanager
def device_to_oneself(guard: Callable[[], None], folder: Path | None = None) -> Iterator[None]:
    """Wait until no other evernas of this user measures on this machine, and hold it: two at once would disturb."""
    path = (folder or Path(tempfile.gettempdir())) / f"evernas-measuring-{os.getuid()}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        end = time.monotonic() + LONGEST_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                guard()
                if time.monotonic() > end:
                    raise EvernasError(
                        f"Another evernas has been measuring on this machine for {LONGEST_WAIT_S / 60:.0f} minutes: "
                        f"end it (it holds {path}), then run again."
                    ) from None
                time.sleep(LOOK_EVERY_S)
        yield
    finally:
        os.close(handle)


def environment_of_workers() -> dict[str, str]:
    """In which a process of ours finds this very evernas, however it was put on the path."""
    root = str(Path(evernas.__file__).parent.parent)
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root if not path else f"{root}{os.pathsep}{path}"}


def _wait(process: subprocess.Popen[bytes], deadline_s: float, guard: Callable[[], None]) -> int | None:
    """The exit code; None when the worker outlived the deadline, which its own alarm should have prevented."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        try:
            return process.wait(timeout=LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            guard()
    return None


def _deadline_s(job: Mapping[str, Any], networks: int) -> float:
    """Far beyond any honest job: what ends a worker whose alarm cannot fire, such as a stopped one."""
    windows = len(job.get("clients", [1]))
    planned_s = 4 * job.get("seconds", 0.0) * windows + 10 * job.get("warmup_seconds", 0.0) + job.get("waits_s", 0.0)
    return float(60 + networks * (planned_s + 4 * job["patience_s"]))


def _reason(code: int | None, patience_s: float, stderr: Path) -> str:
    if code is None or code == -signal.SIGALRM:
        return f"did not answer within {patience_s:g} s"
    if code < 0:
        return f"ended the measuring process ({signal.Signals(-code).name})"
    lines = stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"ended the measuring process (exit code {code}: {lines[-1][:300] if lines else 'no message'})"
