"""What a person sees of a run while it works, with and without a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from evernas.loop.follow import Follower
from evernas.steps.progress import Progress


def _shown(events: Path, write: Any, *, terminal: bool) -> str:
    out = io.StringIO()
    with Follower(events, Console(file=out, force_terminal=terminal, width=120)):
        write()
    return out.getvalue()


def test_a_step_is_told_with_its_time_and_what_came_of_it(tmp_path: Path) -> None:
    events = tmp_path / "progress.jsonl"

    def write() -> None:
        step = Progress(events, "search", "laptop")
        step.start()
        step.advance(1, 2, "nsga2")
        step.end("20 architectures [bold]as is[/bold]", reused=False)
        Progress(events, "gate", "laptop").start()
        Progress(events, "gate", "laptop").end("Hold", reused=True)

    for terminal in (False, True):
        events.unlink(missing_ok=True)
        said = _shown(events, write, terminal=terminal)
        assert "search laptop" in said
        assert "20 architectures [bold]as is[/bold]" in said, "what a step says is no markup"
        assert "re-used" in said
        assert said.index("search laptop") < said.index("20 architectures")


def test_a_failure_is_told(tmp_path: Path) -> None:
    events = tmp_path / "progress.jsonl"
    said = _shown(events, lambda: Progress(events, "validate", None).fail("The data is refused"), terminal=False)
    assert "✗" in said
    assert "The data is refused" in said


def test_events_of_an_earlier_attempt_are_not_told_again(tmp_path: Path) -> None:
    events = tmp_path / "progress.jsonl"
    Progress(events, "ingest", None).end("old", reused=False)
    said = _shown(events, lambda: Progress(events, "ingest", None).end("new", reused=False), terminal=False)
    assert "old" not in said
    assert "new" in said


def test_a_line_cut_off_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    events = tmp_path / "progress.jsonl"

    def write() -> None:
        with events.open("a") as file:
            file.write('{"step": "ingest"')
        Progress(events, "ingest", None).end("lost with it", reused=False)
        Progress(events, "validate", None).end("goes on", reused=False)

    assert "goes on" in _shown(events, write, terminal=False)


def test_what_the_steps_print_is_shown_where_that_is_asked_for(tmp_path: Path) -> None:
    events, log = tmp_path / "progress.jsonl", tmp_path / "log.txt"
    log.write_text("of an earlier attempt\n")
    out = io.StringIO()
    with Follower(events, Console(file=out, width=120), log), log.open("a") as file:
        file.write("[bold]loss[/bold] 0.7\nnot yet a line")
        file.flush()
        Progress(events, "ingest", None).end("1 new", reused=False)
    assert "| [bold]loss[/bold] 0.7" in out.getvalue()
    assert "earlier" not in out.getvalue()
    assert "not yet" not in out.getvalue()
    assert "1 new" in out.getvalue()
