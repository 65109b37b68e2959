"""Reports of single runs and of two beside one another, from what the runs left in the state folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evernas.errors import EvernasError, UsageError
from evernas.report.comparison import differences, render_comparison
from evernas.report.markdown import run_summary
from evernas.result import Result
from evernas.state import Home
from evernas.state.files import read_json, write_bytes

LATEST = "latest"


def report_of(home: Home, run: str) -> Path:
    """The run's HTML report; EvernasError if there is none. `latest` is the newest run."""
    path = _folder(home, run) / "report.html"
    if not path.exists():
        raise EvernasError(f"There is no report {path}: run `evernas run` first, or name one of {home.runs}.")
    return path


def result_of(home: Home, run: str) -> Result:
    """What a run left; EvernasError if it has not ended or its file cannot be read."""
    path = _folder(home, run) / "result.json"
    if not path.exists():
        raise EvernasError(f"There is no result {path}: name a run of {home.runs} that has ended.")
    try:
        return Result.model_validate(read_json(path))
    except ValueError as error:
        raise EvernasError(f"{path} was written by another version of evernas: {str(error).splitlines()[0]}") from None


def markdown(home: Home, run: str) -> str:
    """The run in Markdown."""
    return run_summary(result_of(home, run))


def write_comparison(home: Home, one: str, other: str) -> Path:
    """Write the page of two runs beside the runs; a reader sees the old page or the new one."""
    first, second = _both(home, one, other)
    page = render_comparison(first, second, (_config(home, first.run), _config(home, second.run)))
    path = home.path / f"compare-{first.run}-{second.run}.html"
    write_bytes(path, page.encode("utf-8"))
    return path


def comparison(home: Home, one: str, other: str) -> dict[str, Any]:
    """The same as a plain document: both results, and the settings that differed."""
    first, second = _both(home, one, other)
    found = differences(_config(home, first.run), _config(home, second.run))
    return {
        "settings": [{"key": key, "earlier": before, "later": after} for key, before, after in found],
        "earlier": first.model_dump(mode="json"),
        "later": second.model_dump(mode="json"),
    }


def _both(home: Home, one: str, other: str) -> tuple[Result, Result]:
    """The two results, the earlier first."""
    first, second = sorted((result_of(home, run) for run in (one, other)), key=lambda r: (r.started_at, r.run))
    if first.run == second.run:
        raise UsageError(f"--compare names run {first.run} twice: name two runs.")
    if first.project != second.project:
        raise UsageError(
            f"{first.run} is of {first.project}, and {second.run} of {second.project}: name two of one project."
        )
    return first, second


def _folder(home: Home, run: str) -> Path:
    if run != LATEST and (not run or Path(run).name != run):
        raise UsageError(f"{run!r} is no name of a run: name one of {home.runs}.")
    return home.latest if run == LATEST else home.run(run)


def _config(home: Home, run: str) -> Mapping[str, Any]:
    """The config as the run was started with it, read as it is: it may be of another version."""
    config: Mapping[str, Any] = read_json(home.run(run) / "run.json")["config"]
    return config
