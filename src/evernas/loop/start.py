"""Starting a run, or going on with one that was killed: ownership, engine, and what is said at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evernas.config import Config
from evernas.errors import EXIT_DONE, EXIT_FAILURE, EvernasError
from evernas.loop.engine import engine
from evernas.loop.failing import note_failure
from evernas.loop.forget import finish
from evernas.registry.telling import tell, untold
from evernas.registry.tracking import Status, read_note, set_status
from evernas.result import Result
from evernas.state import Home
from evernas.state.files import read_json
from evernas.state.leftovers import sweep
from evernas.state.ownership import claim
from evernas.state.runs import failure_of, next_run_id, unended_runs, unfinished_run
from evernas.steps.launch import open_run
from evernas.steps.leased import defer
from evernas.triggers.lease import Leases, leases_of


@dataclass(frozen=True)
class Ending:
    """How a run ended: with a result, or with a sentence and an exit code."""

    run: str
    result: Result | None
    sentence: str
    exit_code: int


def start(
    config: Config, home: Home, wait_seconds: float, say: Callable[[str], None], following: Callable[[Path], object]
) -> Ending:
    """Run the loop to its end. A run of the same config that was killed is gone on with, under the same name.

    `following` makes a context manager that follows the run's events. OwnershipError if another run holds the state
    folder for longer than `wait_seconds`.
    """
    with claim(home, wait_seconds, say) as ownership:
        sweep(home, config.project)
        finish(config, home, ownership.guard, say)
        unfinished = unfinished_run(home, config)
        run = unfinished or next_run_id(home)
        leases = leases_of(home, config.project)
        leases.end_left()
        # Before anything is pinned: what another run is about to publish would be missing from it.
        if leases.claim(run) is None:
            return Ending(run, None, defer(leases, run), EXIT_DONE)
        say(f"Run {run}" + (", going on where it was stopped" if unfinished else ""))
        os.environ.update(ownership.environment())
        try:
            return _work(config, home, run, say, following)
        finally:
            _end_claim(leases, run, say)


def _work(
    config: Config, home: Home, run: str, say: Callable[[str], None], following: Callable[[Path], object]
) -> Ending:
    folder = home.run(run)
    # What is refused here leaves no folder.
    open_run(home, run, config)
    for name in ("failure.json", "deferred.json"):
        (folder / name).unlink(missing_ok=True)
    _end_abandoned(home, config.project, run, say)
    _tell(home, config.project, run, "RUNNING", say)
    try:
        with following(folder / "progress.jsonl"):  # type: ignore[attr-defined]
            engine("local")(config, home.path, run, folder / "log.txt")
    except BaseException as error:
        status: Status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        _tell(home, config.project, run, status, say)
        raise
    ending = _ending(home, run)
    if ending.exit_code:
        note_failure(home, config.project, run, failure_of(home, run), exit_code=ending.exit_code)
        _tell(home, config.project, run, "FAILED", say)
    return ending


def _end_claim(leases: Leases, run: str, say: Callable[[str], None]) -> None:
    """End what is left of the run's claim. What the run came to stands, whether the storage hears of this or not."""
    try:
        leases.end(run)
    except (EvernasError, OSError) as error:
        say(f"The lease of run {run} could not be ended, and ends with its term: {error}")


def _tell(home: Home, project: str, run: str, status: Status, say: Callable[[str], None]) -> None:
    """Tell MLflow how the run stands, and at its end what its steps have said.

    What the run came to matters more than that MLflow cannot be told of it.
    """
    ended = status != "RUNNING"
    if read_note(home, run) is None and not (ended and untold(home, run)):
        return
    try:
        if ended:
            tell(home, project, run)
        set_status(home, run, status)
    except Exception as error:  # noqa: BLE001 - a store, its driver and its disk raise what they like
        say(f"MLflow could not be told that run {run} is {status}: {error}")


def _end_abandoned(home: Home, project: str, run: str, say: Callable[[str], None]) -> None:
    """Runs that were killed outright and that no run goes on with: this one has taken their place."""
    for other in unended_runs(home, project):
        note = read_note(home, other)
        if other != run and (untold(home, other) or (note is not None and note["status"] == "RUNNING")):
            _tell(home, project, other, "KILLED", say)


def _ending(home: Home, run: str) -> Ending:
    folder = home.run(run)
    failure = failure_of(home, run)
    if failure is not None:
        return Ending(run, None, failure["sentence"], failure["exit_code"])
    if (folder / "deferred.json").exists():
        return Ending(run, None, read_json(folder / "deferred.json")["sentence"], EXIT_DONE)
    if (folder / "result.json").exists():
        result = Result.model_validate(read_json(folder / "result.json"))
        return Ending(run, result, result.reason, 0)
    return Ending(
        run,
        None,
        f"A step of run {run} was stopped from outside. Run again to go on; {folder / 'log.txt'} has its output.",
        EXIT_FAILURE,
    )
