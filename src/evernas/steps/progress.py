"""What a running step says of itself: a file of events that a terminal, or a person, can follow."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Appends the events of one step to the run's `progress.jsonl`."""

    path: Path
    step: str
    device: str | None

    def start(self) -> None:
        self._say("start")

    def advance(self, done: int, total: int, text: str = "") -> None:
        """So much of the step is done; `text` is a short remark such as a loss."""
        self._say("advance", done=done, total=total, text=text)

    def end(self, text: str, *, reused: bool) -> None:
        """The step is done; `text` says what came of it."""
        self._say("end", text=text, reused=reused)

    def fail(self, text: str) -> None:
        self._say("fail", text=text)

    def _say(self, event: str, **more: Any) -> None:
        line = json.dumps({"at": time.time(), "step": self.step, "device": self.device, "event": event, **more})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
