"""Concurrent load: clients that call one session at the same time, in short windows; timing only, no files here."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evernas.hardware.runtime import Inputs, Session
from evernas.hardware.spread import Spread


@dataclass(frozen=True)
class LoadFigures:
    """What one session sustains while `clients` call it without a pause, over several windows.

    Throughput in answers a second, latency in ms as a client sees it. The processes may use all of evernas's cores.
    """

    clients: int
    throughput: Spread
    p95_ms: Spread

    @classmethod
    def of(cls, clients: int, windows: Sequence[Mapping[str, float]]) -> LoadFigures:
        """From each window's figures."""
        return cls(
            clients,
            Spread.of([window["throughput"] for window in windows]),
            Spread.of([window["p95_ms"] for window in windows]),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LoadFigures:
        """The inverse of dataclasses.asdict."""
        return cls(int(value["clients"]), Spread.from_json(value["throughput"]), Spread.from_json(value["p95_ms"]))


def window(session: Session, x: Inputs, clients: int, seconds: float) -> dict[str, float]:
    """One window: throughput and p95_ms. Raises what a call raises, in any of the clients.

    All clients begin together and each makes one call at least, so that a slow network is measured too.
    """
    times: list[list[int]] = [[] for _ in range(clients)]
    failures: list[Exception] = []
    together = threading.Barrier(clients + 1)

    def client(own: list[int]) -> None:
        together.wait()
        end = time.perf_counter_ns() + int(seconds * 1e9)
        try:
            while True:
                start = time.perf_counter_ns()
                session.run(x)
                now = time.perf_counter_ns()
                own.append(now - start)
                if now >= end:
                    return
        except Exception as error:  # noqa: BLE001 - it is raised again below, in the thread that asked
            failures.append(error)

    threads = [threading.Thread(target=client, args=(own,), daemon=True) for own in times]
    for thread in threads:
        thread.start()
    together.wait()
    start = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    lasted_s = (time.perf_counter_ns() - start) / 1e9
    if failures:
        raise failures[0]
    calls = [ns for own in times for ns in own]
    return {"throughput": len(calls) / lasted_s, "p95_ms": float(np.percentile(calls, 95)) / 1e6}
