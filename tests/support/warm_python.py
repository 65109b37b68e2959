"""An interpreter that a program's `sys.executable` may name: it hands `evernas run` to a process that is warm.

All else, a receiver and the job that holds a run's folder among it, it runs itself, as an interpreter does.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from warm import Warm

PATIENCE_S = 600.0


@contextlib.contextmanager
def lent(warm: Warm, folder: Path) -> Iterator[Path]:
    """Path of such an interpreter, made in a folder. Nobody else may use the warm process meanwhile."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked = json.loads(self.rfile.readline())
            done = warm.run(asked["arguments"], asked["environment"], Path(asked["folder"]), PATIENCE_S)
            self.wfile.write(json.dumps([done.returncode, done.stdout, done.stderr]).encode() + b"\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        launcher = folder / "python"
        launcher.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {launcher} {server.server_address[1]} "$@"\n')
        launcher.chmod(0o755)
        try:
            yield launcher
        finally:
            server.shutdown()


def main() -> None:
    launcher, port, *arguments = sys.argv[1:]
    if arguments[:3] == ["-m", "evernas.cli", "run"]:
        asked = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
        with socket.create_connection(("127.0.0.1", int(port))) as link, link.makefile("rwb") as lines:
            lines.write(json.dumps(asked).encode() + b"\n")
            lines.flush()
            code, out, error = json.loads(lines.readline())
        sys.stdout.write(out)
        sys.stderr.write(error)
        sys.exit(code)
    sys.executable = launcher
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
