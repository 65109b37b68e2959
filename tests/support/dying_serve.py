"""`evernas serve` that kills itself with SIGKILL once, at a named point between the 202 and the submitted run.

python dying_serve.py POINT MARKER serve CONFIG …: dies if MARKER does not exist, and makes it just before.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Where it dies: before or after this function of this module has worked.
POINTS = {
    "before the commit": ("inbox", "Inbox._commit", "before"),
    "after the commit, before the 202": ("inbox", "Inbox._commit", "after"),
    "before gathering": ("works", "gather", "before"),
    "in the transaction of gathering": ("works", "gather", "after"),
    "before sealing": ("works", "seal", "before"),
    "in the transaction of sealing": ("works", "seal", "after"),
    "after sealing": ("works", "begin", "before"),
    "in the transaction that notes the attempt": ("works", "begin", "after"),
    "before looking for the name": ("submission", "FIND", "before"),
    "after looking, before submitting": ("submission", "SUBMIT", "before"),
    "after submitting, before noting it": ("submission", "SUBMIT", "after"),
    "in the transaction that notes the run": ("works", "running", "after"),
    "after noting the run": ("works", "finish", "before"),
    "in the transaction that ends the work": ("works", "finish", "after"),
}


def wrap(owner: Any, name: str, moment: str, marker: Path) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if moment == "before":
            die(marker)
            return original(*arguments, **named)
        result = original(*arguments, **named)
        # A gathering that found nothing is not the point that is meant.
        if result != 0:
            die(marker)
        return result

    setattr(owner, name, dying)


def die(marker: Path) -> None:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    point, marker = sys.argv[1], Path(sys.argv[2])
    del sys.argv[1:3]
    module, name, moment = POINTS[point]
    if module == "submission":
        from evernas_pipelines.cluster import KfpSubmitter

        wrap(KfpSubmitter, name.lower(), moment, marker)
    else:
        owner = importlib.import_module(f"evernas.triggers.{module}")
        for part in name.split(".")[:-1]:
            owner = getattr(owner, part)
        wrap(owner, name.split(".")[-1], moment, marker)
    from evernas.cli import main as command

    command()


if __name__ == "__main__":
    main()
