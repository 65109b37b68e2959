"""Processor time of this process and of all that it has started, whether those have ended or work still."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
# Where utime, stime, and both of the children that it has waited for stand after a process's name in proc(5)'s stat.
TIMES = slice(11, 15)


def cpu_seconds() -> float:
    """What has been spent up to now; a child that ends while this is read may be missing from it once.

    What those who still work have spent is known on Linux alone; elsewhere they count once they have ended.
    """
    # The ended before the living: who ends between the two is missed rather than counted twice.
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = sum(_ticks(pid) for pid in _under(os.getpid()))
    return sum(use.ru_utime + use.ru_stime for use in ended) + ticks / os.sysconf("SC_CLK_TCK")


def _under(pid: int) -> Iterator[int]:
    """Processes that one has started and not waited for yet, and all that those have."""
    for child in _children(pid):
        yield child
        yield from _under(child)


def _children(pid: int) -> list[int]:
    # Not by multiprocessing, which takes the exit code of who has ended from whoever waits for it in another thread.
    found: list[int] = []
    for file in (PROC / str(pid) / "task").glob("*/children"):
        try:
            found += map(int, file.read_text().split())
        except OSError:
            # The thread has ended.
            continue
    return found


def _ticks(pid: int) -> int:
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0
    # Its name may hold blanks and brackets.
    return sum(map(int, stat.rpartition(")")[2].split()[TIMES]))
