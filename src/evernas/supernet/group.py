"""The processes that train together: this one, which is the first, and others that it starts and that end with it.

Where torchrun has started them, all of them are there already, and each calls for the training itself.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from evernas.errors import EXIT_FAILURE, EvernasError, UsageError

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
MEETING_S, EXCHANGE_S = 120.0, 86_400.0
"""Within the first all have started. The second is no measure of a step: one may wait for a slow disk or be stopped for
a night, and who has died is noticed by what it leaves open."""
LOOKS_S, ENDS_S = 0.5, 10.0


@contextmanager
def joined(count: int, work: Callable[..., object], arguments: tuple[Any, ...], kind: str = "cpu") -> Iterator[None]:
    """Within, this process is the first of `count` that train; the others do `work(*arguments)`, then end.

    `work` and its arguments must be picklable. `kind` is of the devices that they exchange from: of several processes
    on GPUs (cuda) each has the one of its number. Alone, nothing is started. EvernasError when another process ends
    before its work is done, which is noticed at the next exchange; UsageError where torch cannot exchange.

    GPUs that wait for one that is gone wait on, and what they then hold is no result: there this process ends too, with
    the same sentence on stderr.

    Where torchrun has started this process it starts no others, and is whichever of them it is: all must train the
    same, and torchrun ends them when one fails. UsageError where it has started more or fewer, or on several machines.
    """
    started = _by_torchrun()
    if started is not None and started != count:
        raise UsageError(
            f"torchrun started {started} processes, and supernet.processes is {count}: set both to the same number."
        )
    if count == 1:
        yield
        return
    if not (dist.is_available() and (dist.is_nccl_available() if kind == "cuda" else dist.is_gloo_available())):
        raise UsageError(f"supernet.processes is {count}, and this torch has no {BACKENDS[kind]}: set it to 1.")
    if started is not None:
        _meet(None, int(os.environ["RANK"]), count, kind)
        try:
            yield
        finally:
            _leave(kind, failed=sys.exc_info()[0] is not None)
        return
    spawning = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="evernas-together-") as folder:
        meeting, threads = f"file://{Path(folder) / 'meeting'}", torch.get_num_threads()
        others = [
            spawning.Process(target=_work, args=(meeting, number, count, threads, work, arguments, kind), daemon=True)
            for number in range(1, count)
        ]
        for other in others:
            other.start()
        done = threading.Event()
        try:
            if kind == "cuda":
                threading.Thread(target=_end_with_others, args=(others, done), daemon=True).start()
            _meet(meeting, 0, count, kind)
            yield
        except RuntimeError as error:
            # A broken exchange; the one that broke it says more than torch does.
            for other in others:
                other.join(LOOKS_S)
            ended = [other.exitcode for other in others if other.exitcode is not None]
            if not ended:
                raise
            raise EvernasError(_one_ended(count, ended[0])) from error
        finally:
            done.set()
            _leave(kind, failed=sys.exc_info()[0] is not None)
            for other in others:
                other.join(ENDS_S)
                if other.is_alive():
                    other.kill()


def _one_ended(count: int, code: int) -> str:
    again = "start again, and it goes on from the last checkpoint"
    return f"One of {count} training processes ended (exit code {code}): {again}."


def _by_torchrun() -> int | None:
    """How many processes torchrun has started; None where it has not started this one."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return None
    if os.environ["LOCAL_WORLD_SIZE"] != os.environ["WORLD_SIZE"]:
        raise UsageError("torchrun started processes on several machines: all have to be on one (--standalone).")
    return int(os.environ["WORLD_SIZE"])


def _meet(meeting: str | None, number: int, count: int, kind: str = "cpu") -> None:
    """Become one of the group, where torchrun says if `meeting` is None; what they exchange later has its own limit."""
    if kind == "cuda":
        torch.cuda.set_device(number)
    dist.init_process_group(
        BACKENDS[kind], init_method=meeting, rank=number, world_size=count, timeout=timedelta(seconds=MEETING_S)
    )
    # Public only since a later torch than is asked for.
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=EXCHANGE_S))


def _work(
    meeting: str,
    number: int,
    count: int,
    threads: int,
    work: Callable[..., object],
    arguments: tuple[Any, ...],
    kind: str,
) -> None:
    _end_with_parent()
    torch.set_num_threads(threads)
    _meet(meeting, number, count, kind)
    work(*arguments)
    _leave(kind, failed=False)


def _leave(kind: str, failed: bool) -> None:
    """Be one of the group no longer. GPUs that failed do not wait for what the others still send."""
    if not dist.is_initialized():
        return
    if kind == "cuda" and failed:
        # No public way is there to end an exchange that another waits in.
        dist.distributed_c10d._abort_process_group()
    else:
        dist.destroy_process_group()


def _end_with_others(others: Sequence[BaseProcess], done: threading.Event) -> None:
    """End this process when one of the others failed before the work is done; one that is done ends with 0."""
    while not done.wait(LOOKS_S):
        failed = [other.exitcode for other in others if other.exitcode]
        if failed and not done.is_set():
            for other in others:
                other.kill()
            print(_one_ended(len(others) + 1, failed[0]), file=sys.stderr, flush=True)
            os._exit(EXIT_FAILURE)


def _end_with_parent() -> None:
    """A killed parent kills no child: this process looks for it, and ends when it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def look() -> None:
        while parent.is_alive():
            time.sleep(LOOKS_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
