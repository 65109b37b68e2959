"""Following a run in the terminal: its steps as lines, with a bar and the remaining time where there is a terminal."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

POLL_SECONDS = 0.2
PLAIN_SECONDS = 15.0


class Follower:
    """Prints what the events file of a run says, as it is said, until it is stopped; and the lines of `log`, if given,
    as the steps write them there."""

    def __init__(self, events: Path, console: Console, log: Path | None = None) -> None:
        self._events = events
        self._log = log
        self._console = console
        self._offsets = {path: path.stat().st_size for path in (events, log) if path is not None and path.exists()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._started: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("  {task.description:<22}"),
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[text]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Follower:
        self._bars.start()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._read()
        self._bars.stop()

    def _follow(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._read()

    def _read(self) -> None:
        if self._log is not None:
            for line in self._new_lines(self._log):
                self._console.print(Text(f"    | {line.decode(errors='replace')}", style="dim"))
        for line in self._new_lines(self._events):
            event = _event(line)
            if event is not None:
                self._show(event)

    def _new_lines(self, path: Path) -> list[bytes]:
        """The whole lines that were written since the last look."""
        if not path.exists():
            return []
        at = self._offsets.get(path, 0)
        with path.open("rb") as file:
            file.seek(at)
            whole, end, _ = file.read().rpartition(b"\n")
        self._offsets[path] = at + len(whole) + len(end)
        return whole.splitlines()

    def _show(self, event: dict[str, Any]) -> None:
        name = event["step"] if event["device"] is None else f"{event['step']} {event['device']}"
        kind = event["event"]
        if kind == "start":
            self._started[name] = event["at"]
            self._tasks[name] = self._bars.add_task(name, total=None, text="")
        elif kind == "advance" and name in self._tasks:
            self._bars.update(self._tasks[name], completed=event["done"], total=event["total"], text=event["text"])
            self._plain(name, event)
        else:
            self._close(name, event)

    def _plain(self, name: str, event: dict[str, Any]) -> None:
        """Without a terminal, a line now and then shows that the step is alive."""
        last = self._said.get(name, self._started[name])
        if not self._console.is_terminal and event["at"] - last >= PLAIN_SECONDS:
            self._said[name] = event["at"]
            self._console.print(
                f"    {name:<20} {100 * event['done'] / max(event['total'], 1):3.0f} %  {event['text']}",
                highlight=False,
            )

    def _close(self, name: str, event: dict[str, Any]) -> None:
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        seconds = event["at"] - self._started.get(name, event["at"])
        mark, style = (
            ("✗", "red") if event["event"] == "fail" else ("=", "dim") if event.get("reused") else ("✓", "green")
        )
        cost = "re-used" if event.get("reused") else f"{seconds:5.1f} s"
        line = Text.assemble("  ", (mark, style), f" {name:<20} {cost:>8}  ", event["text"])
        if event.get("reused"):
            line.stylize("dim")
        # One print: while a bar is shown, a line that is not ended yet would be drawn over.
        self._console.print(line)


def _event(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None for one that a kill cut off and the next attempt wrote on."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event
