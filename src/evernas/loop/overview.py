"""Gathering all runs of a state folder for the index over them, and writing it beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from evernas.errors import EvernasError
from evernas.registry.journal import Journal
from evernas.registry.opening import open_slots
from evernas.report.overview import InProduction, ProjectRuns, render_overview
from evernas.result import Result
from evernas.state import Home
from evernas.state.files import read_json, write_bytes


def gather(home: Home) -> tuple[list[ProjectRuns], dict[str, str]]:
    """Every project's runs, and by run why one could not be read; what another version wrote stops nothing."""
    runs: dict[str, list[Result]] = {}
    reports: dict[str, str] = {}
    unended: dict[str, int] = {}
    unreadable: dict[str, str] = {}
    for folder in sorted(path for path in home.runs.glob("*") if (path / "run.json").exists()):
        try:
            if not (folder / "result.json").exists():
                project = str(read_json(folder / "run.json")["config"]["project"])
                unended[project] = unended.get(project, 0) + 1
                continue
            result = Result.model_validate(read_json(folder / "result.json"))
        except (EvernasError, ValidationError, KeyError, TypeError, OSError) as error:
            unreadable[folder.name] = str(error).splitlines()[0]
            continue
        runs.setdefault(result.project, []).append(result)
        if (folder / "report.html").exists():
            reports[result.run] = f"runs/{quote(folder.name)}/report.html"
    projects = []
    for name in sorted({*runs, *unended}):
        known = runs.get(name, [])
        heads = _heads(home, name, known, unreadable)
        projects.append(ProjectRuns(name, known, heads, reports, unended.get(name, 0)))
    return projects, unreadable


def write_overview(home: Home) -> Path:
    """Write the index beside the runs; a reader sees the old page or the new one. EvernasError without any run."""
    projects, unreadable = gather(home)
    if not projects and not unreadable:
        raise EvernasError(f"There is no run in {home.runs}: run `evernas run` first, or name the folder with --home.")
    path = home.path / "index.html"
    write_bytes(path, render_overview(projects, unreadable).encode("utf-8"))
    return path


def summary(home: Home) -> dict[str, Any]:
    """The same as a plain document: for each project its champions and its runs."""
    projects, unreadable = gather(home)
    return {
        "projects": {
            project.project: {
                "champions": {
                    name: None if entry is None else vars(entry) for name, entry in project.in_production.items()
                },
                "runs": [
                    {
                        "run": run.run,
                        "started_at": run.started_at,
                        "outcome": run.outcome,
                        "reason": run.reason,
                        "seconds": run.seconds,
                        "cpu_seconds": run.cpu_seconds,
                    }
                    for run in project.runs
                ],
                "unended": project.unended,
            }
            for project in projects
        },
        "unreadable": unreadable,
    }


def _heads(home: Home, project: str, runs: list[Result], unreadable: dict[str, str]) -> dict[str, InProduction | None]:
    """The champions, by the journal where the newest run's config says it lies."""
    found: dict[str, InProduction | None] = {}
    for name in dict.fromkeys(device.device for run in runs for device in run.devices):
        try:
            # Only this much of the config: one of another version may not be read as a whole.
            config = read_json(home.run(runs[-1].run) / "run.json")["config"]
            entry = Journal(open_slots(config.get("registry", {}).get("journal"), home, project)).head(name)
        except (EvernasError, ValueError, KeyError, TypeError) as error:
            unreadable[f"The journal of {name} in {project}"] = str(error)
            continue
        found[name] = None if entry is None else InProduction(entry.number, entry.bundle, entry.promoted_at, entry.run)
    return found
