"""A simulated energy sensor, for tests of what is made of its readings."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import psutil


class Busy:
    """A powercap tree in which a processor takes 5 W, and 20 W more while any process that this one began works."""

    def __init__(self, root: Path) -> None:
        zone = root / "intel-rapl:0"
        zone.mkdir(parents=True)
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text(f"{2**40}\n")
        self._file = zone / "energy_uj"
        self._over = threading.Event()
        self._spent: dict[int, float] = {}
        self._began = time.monotonic()
        self._write()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._over.wait(0.005):
            self._write()

    def _write(self) -> None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                self._spent[child.pid] = sum(child.cpu_times()[:2])
        joules = 5 * (time.monotonic() - self._began) + 20 * sum(self._spent.values())
        temporary = self._file.with_suffix(".new")
        temporary.write_text(f"{int(1e6 * joules)}\n")
        temporary.replace(self._file)
