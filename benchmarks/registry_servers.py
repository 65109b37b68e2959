"""Real servers for the registry's race: PostgreSQL, an S3 server, and a proxy that loses answers on their way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BUCKET = "evernas"
USER = "evernas"
PATIENCE_S = 60.0
# PostgreSQL refuses to run as root.
UNPRIVILEGED = "nobody"


class Missing(Exception):
    """A server that this machine does not have; the text says which."""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def postgres() -> Iterator[int]:
    """A PostgreSQL server of its own; yields its port. Missing where initdb and pg_ctl are not on the PATH."""
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        raise Missing("initdb and pg_ctl are not on the PATH: install PostgreSQL's server to race on it.")
    root = Path(tempfile.mkdtemp(prefix="evernas-postgres-"))
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    if user:
        shutil.chown(root, user)
    data, port = root / "data", free_port()
    settings = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off"
    try:
        _do(["initdb", "-D", str(data), "-U", USER, "-A", "trust", "--no-sync"], user, root)
        _do(["pg_ctl", "-D", str(data), "-l", str(root / "log"), "-o", settings, "-w", "start"], user, root)
        yield port
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _do(["pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop"], user, root)
        shutil.rmtree(root, ignore_errors=True)


def _do(command: list[str], user: str | None, folder: Path) -> None:
    # Not captured: the server that pg_ctl leaves behind would keep a pipe open.
    with (folder / "commands.log").open("ab") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, user=user, cwd=folder, timeout=PATIENCE_S)


def postgres_url(port: int) -> str:
    return f"postgresql://{USER}@127.0.0.1:{port}/postgres"


# S3 takes of two conditional writes of one key exactly one. Moto's server looks first and writes then, in as many
# threads as there are clients: here it answers one request after the other.
ONE_AT_A_TIME = """
import sys, threading
from moto import server
turn, answer = threading.Lock(), server.DomainDispatcherApplication.__call__
def in_turn(self, environ, start_response):
    with turn:
        return answer(self, environ, start_response)
server.DomainDispatcherApplication.__call__ = in_turn
server.main(sys.argv[1:])
"""


@contextlib.contextmanager
def s3() -> Iterator[int]:
    """An S3 server (moto's) with a bucket, in a process of its own; yields its port. Sets credentials."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", ONE_AT_A_TIME, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ.update(AWS_ACCESS_KEY_ID="evernas", AWS_SECRET_ACCESS_KEY="evernas", AWS_EC2_METADATA_DISABLED="true")
    try:
        _wait_for(port, server)
        from evernas.storage.s3 import S3Address, connect

        connect(S3Address.parse(s3_url(port))).create_bucket(Bucket=BUCKET)
        yield port
    finally:
        server.kill()
        server.wait()


def s3_url(port: int, host: str = "127.0.0.1", bucket: str = BUCKET) -> str:
    return f"s3://{bucket}/team?endpoint=http://{host}:{port}&region=us-east-1"


@contextlib.contextmanager
def given_s3() -> Iterator[tuple[str, int, str]]:
    """A bucket of its own on the S3 server at S3_ENDPOINT (http), with S3_ACCESS_KEY and S3_SECRET_KEY.

    Yields the server's host and port, and the bucket; removes the bucket with all that is in it.
    """
    endpoint = urlsplit(os.environ["S3_ENDPOINT"])
    if endpoint.scheme != "http" or not endpoint.hostname:
        raise Missing(f"S3_ENDPOINT is {endpoint.geturl()!r}: give http://host:port, so that answers can be cut.")
    os.environ.update(
        AWS_ACCESS_KEY_ID=os.environ["S3_ACCESS_KEY"],
        AWS_SECRET_ACCESS_KEY=os.environ["S3_SECRET_KEY"],
        AWS_EC2_METADATA_DISABLED="true",
    )
    host, port, bucket = endpoint.hostname, endpoint.port or 80, f"evernas-race-{secrets.token_hex(4)}"
    from evernas.storage.s3 import S3Address, connect

    client = connect(S3Address.parse(s3_url(port, host, bucket)))
    client.create_bucket(Bucket=bucket)
    try:
        yield host, port, bucket
    finally:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", ()):
                client.delete_object(Bucket=bucket, Key=entry["Key"])
        client.delete_bucket(Bucket=bucket)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Missing("moto's server ended at once: install moto[s3] and flask-cors.")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"Nothing listened on port {port} in {PATIENCE_S:.0f} s.")


@contextlib.contextmanager
def lossy(target: int, loss: float, seed: int = 0, host: str = "127.0.0.1") -> Iterator[tuple[int, Any]]:
    """A proxy of a TCP port, in a process of its own; yields its port and the count of answers that it lost.

    It cuts a connection instead of delivering a part of an answer, with the chance `loss`, but never more than twice
    before some are delivered: an asker that asks often enough comes through. What was asked has then been done, or not;
    the asker cannot know.
    """
    context = multiprocessing.get_context("fork")
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    lost = context.Value("i", 0)
    process = context.Process(target=_Proxy(listener, (host, target), loss, lost, seed).serve, daemon=True)
    process.start()
    port = int(listener.getsockname()[1])
    listener.close()
    try:
        yield port, lost
    finally:
        process.kill()
        process.join()


_MOST_CUTS, _SURE_PARTS = 2, 6


class _Proxy:
    def __init__(self, listener: socket.socket, target: tuple[str, int], loss: float, lost: Any, seed: int) -> None:
        self._listener, self._target, self._loss, self._lost = listener, target, loss, lost
        self._random = random.Random(seed)
        self._cuts, self._sure, self._deciding = 0, 0, threading.Lock()

    def _cut(self) -> bool:
        """Whether to cut here. An answer comes in some parts, and two answers in a row may be cut."""
        with self._deciding:
            if self._sure > 0:
                self._sure -= 1
                return False
            if self._random.random() >= self._loss:
                self._cuts = 0
                return False
            self._cuts += 1
            if self._cuts == _MOST_CUTS:
                self._cuts, self._sure = 0, _SURE_PARTS
            return True

    def serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self._target) as server:
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            while data := server.recv(65536):
                if self._cut():
                    with self._lost.get_lock():
                        self._lost.value += 1
                    # Both ways at once, so that a blocked reader on either side wakes up.
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
