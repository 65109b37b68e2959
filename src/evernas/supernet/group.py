"""The processes that train together: this one, which is the first, and others that it starts and that end with it."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from evernas.errors import EvernasError, UsageError

MEETING_S, EXCHANGE_S = 120.0, 86_400.0
"""Within the first all have started. The second is no measure of a step: one may wait for a slow disk or be stopped for
a night, and who has died is noticed by what it leaves open."""
LOOKS_S, ENDS_S = 0.5, 10.0


@contextmanager
def joined(count: int, work: Callable[..., object], arguments: tuple[Any, ...]) -> Iterator[None]:
    """Within, this process is the first of `count` that train; the others do `work(*arguments)`, then end.

    `work` and its arguments must be picklable. Alone, nothing is started. EvernasError when another process ends
    before its work is done, which is noticed at the next exchange; UsageError where torch cannot exchange.
    """
    if count == 1:
        yield
        return
    if not (dist.is_available() and dist.is_gloo_available()):
        raise UsageError(f"supernet.processes is {count}, and this torch has no gloo: set it to 1.")
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="evernas-together-") as folder:
        meeting, threads = f"file://{Path(folder) / 'meeting'}", torch.get_num_threads()
        others = [
            spawning.Process(target=_work, args=(meeting, number, count, threads, work, arguments), daemon=True)
            for number in range(1, count)
        ]
        for other in others:
            other.start()
        try:
            _meet(meeting, 0, count)
            yield
        except RuntimeError as error:
            # A broken exchange; the one that broke it says more than torch does.
            for other in others:
                other.join(LOOKS_S)
            ended = [other.exitcode for other in others if other.exitcode is not None]
            if not ended:
                raise
            raise EvernasError(
                f"One of {count} training processes ended (exit code {ended[0]}): start again, and it goes on from the "
                "last checkpoint."
            ) from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            for other in others:
                other.join(ENDS_S)
                if other.is_alive():
                    other.kill()


def _meet(meeting: str, number: int, count: int) -> None:
    """Become one of the group; what they exchange later has its own limit."""
    dist.init_process_group(
        "gloo", init_method=meeting, rank=number, world_size=count, timeout=timedelta(seconds=MEETING_S)
    )
    # Public only since a later torch than is asked for.
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=EXCHANGE_S))


def _work(
    meeting: str, number: int, count: int, threads: int, work: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    _end_with_parent()
    torch.set_num_threads(threads)
    _meet(meeting, number, count)
    work(*arguments)
    dist.destroy_process_group()


def _end_with_parent() -> None:
    """A killed parent kills no child: this process looks for it, and ends when it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def look() -> None:
        while parent.is_alive():
            time.sleep(LOOKS_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
