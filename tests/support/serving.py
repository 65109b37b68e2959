"""A receiver as a person has it, in a process of its own, with what a sender needs; for the triggers' tests."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-lake-0123456789"
PATIENCE_S = 60.0
SOURCE = {"name": "lake", "kind": "signed", "secrets": [{"env": "LAKE_SECRET"}]}
RULE = {"name": "recordings", "source": "lake", "bucket": "raw", "prefix": "watch/"}


def triggers_config(**changes: Any) -> dict[str, Any]:
    """A triggers section with one signed source and one rule, fast."""
    return {
        "sources": [SOURCE],
        "rules": [RULE],
        "watch_config": False,
        "debounce": {"quiet_s": 0.3, "max_wait_s": 2.0},
        "submit": {"retry_s": 0.1, "poll_s": 0.1},
        **changes,
    }


def write_config(path: Path, triggers: dict[str, Any], **changes: Any) -> Path:
    """The watch example with a triggers section."""
    document = yaml.safe_load((ROOT / "examples" / "watch" / "evernas.yaml").read_text())
    path.write_text(yaml.safe_dump({**document, "triggers": triggers, **changes}))
    return path


def signed(body: bytes, message: str | None = None, at: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    message = message or f"msg-{uuid.uuid4().hex}"
    moment = str(int(time.time() if at is None else at))
    content = f"{message}.{moment}.".encode() + body
    mac = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{mac}",
        "content-type": "application/json",
    }


def change(key: str = "watch/a.parquet", version: str = "", bucket: str = "raw") -> bytes:
    """The body of a plain post: something changed."""
    return json.dumps({"bucket": bucket, "key": key, "label": "created", "version": version}).encode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What is waited for, once it is true."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing came within {patience_s:g} s of waiting")


@dataclass
class Server:
    """A receiver process."""

    config: Path
    home: Path
    port: int
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    command: list[str] = field(default_factory=lambda: [sys.executable, "-m", "evernas.cli", "serve"])

    def start(self, ready: bool = True) -> Server:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, str(self.config), "--home", str(self.home)],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if ready:
            self.wait()
        return self

    def wait(self) -> None:
        """Wait until it can receive."""
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return self.request("GET", "/readyz")[0] == 200
        return False

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text
        finally:
            connection.close()

    def post(self, body: bytes, headers: dict[str, str] | None = None, source: str = "lake") -> tuple[int, Any]:
        return self.request("POST", f"/v1/events/{source}", body, signed(body) if headers is None else headers)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def command_line(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "evernas.cli", *arguments],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )

    @property
    def database(self) -> Path:
        return self.home / "projects" / "watch" / "inbox.db"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the SQLite inbox."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute(query).fetchall()


def server(folder: Path, triggers: dict[str, Any] | None = None, **environment: str) -> Server:
    """A receiver that is not started yet, in a folder."""
    port = free_port()
    section = {**(triggers_config() if triggers is None else triggers), "port": port}
    home = folder / "home"
    (home / "incoming" / "watch").mkdir(parents=True, exist_ok=True)
    return Server(
        config=write_config(folder / "evernas.yaml", section),
        home=home,
        port=port,
        environment={**os.environ, "EVERNAS_HOME": str(home), "LAKE_SECRET": SECRET, "COLUMNS": "200", **environment},
        log=folder / "serve.log",
    )


class Postgres:
    """A PostgreSQL server of its own, with its defaults: fsync and synchronous_commit are on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        # PostgreSQL refuses to run as root.
        self._as = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        folder.mkdir(parents=True)
        if self._as:
            shutil.chown(folder, 65534, 65534)
        self._run(
            "initdb",
            "-D",
            str(folder / "data"),
            "-U",
            "evernas",
            "--auth=trust",
            "--no-instructions",
            "--no-sync",
            "-E",
            "UTF8",
        )

    @property
    def url(self) -> str:
        return f"postgresql://evernas@127.0.0.1:{self.port}/postgres"

    def start(self) -> Postgres:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-w", "-o", options, "start"
        )
        return self

    def processes(self) -> list[int]:
        """The postmaster, and all its children."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(postmaster)], capture_output=True, text=True, check=False
        )
        return [postmaster, *map(int, children.stdout.split())]

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children at once."""
        postmaster, *children = self.processes()
        for pid in [postmaster, *children]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{postmaster}").exists())

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def _run(self, *command: str) -> None:
        subprocess.run([*self._as, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that runs, in a folder that the account it runs as can reach."""
    folder = Path(tempfile.mkdtemp(prefix="evernas-postgres-"))
    folder.chmod(0o755)
    place = Postgres(folder / "server")
    try:
        yield place.start()
    finally:
        place.stop()
        shutil.rmtree(folder)
