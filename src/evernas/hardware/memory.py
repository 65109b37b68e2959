"""Memory of this process: its peak, what it has allocated, and a limit within which a network has to run."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOM = 2.0
"""Runtimes reserve more than they touch; what a network may touch is judged by its measured peak."""
ROOM_MB = 64.0
SIGNS = ("bad_alloc", "allocate", "out of memory", "memoryerror")


def reset_peak_kb() -> float:
    """Set the process's peak back to what it holds now, and return that, in units of 1000 bytes.

    Where the system does not allow it the peak so far is returned: then only growth above it is seen.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_kb()


def peak_kb() -> float:
    """Peak resident memory of this process, in units of 1000 bytes."""
    peak = _status_kb("VmHWM")
    if peak is not None:
        return peak
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1000 if sys.platform == "darwin" else most * 1.024


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of the GNU C library 2.33 and newer."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]  # fmt: skip


@cache
def _c_library() -> Any:
    """The functions of the C library that tell of its heap; None where they are others'."""
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallinfo2") and hasattr(library, "malloc_trim")):
        return None
    library.mallinfo2.restype = _Mallinfo
    return library


def allocated_kb() -> float | None:
    """What this process has allocated from the C library and not freed, in units of 1000 bytes.

    It repeats to a few parts in a thousand, where resident pages depend on what was there before. None where the C
    library does not tell (musl, macOS).
    """
    library = _c_library()
    if library is None:
        return None
    found = library.mallinfo2()
    return float(found.uordblks + found.hblkhd) / 1000


def give_back() -> None:
    """Return what was freed to the system, so that it is not used again unseen."""
    gc.collect()
    if _c_library() is not None:
        _c_library().malloc_trim(0)


@contextlib.contextmanager
def limited(limit_mb: float | None) -> Iterator[None]:
    """Let this process reserve little more than `limit_mb` beyond what it has, so that no network fills the machine.

    Without a limit, or where the system does not tell what is reserved, nothing is limited.
    """
    held_kb = _status_kb("VmData")
    if limit_mb is None or held_kb is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = int((held_kb + 1000 * (ROOM * limit_mb + ROOM_MB)) * 1000)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def too_much(reason: str, limit_mb: float | None) -> str:
    """The reason for a refusal, said as the limit's where the runtime failed to get memory under a limit."""
    if limit_mb is None or not any(sign in reason.lower() for sign in SIGNS):
        return reason
    return (
        f"The network needs more memory than the {limit_mb:g} MB that benchmark.max_memory_mb allows: use a smaller "
        f"one, or raise the limit. {reason}"
    )


def above(peak_mb: float, limit_mb: float | None) -> str | None:
    """A sentence if the measured peak is above the limit."""
    if limit_mb is None or peak_mb <= limit_mb:
        return None
    return (
        f"The network needs {peak_mb:.2f} MB, more than the {limit_mb:g} MB that benchmark.max_memory_mb allows: use a "
        "smaller one, or raise the limit."
    )


def _status_kb(name: str) -> float | None:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1.024
    except OSError:
        return None
    return None
