"""What of a project's state nothing reaches any more, kind by kind: results of steps, bundles, reports, run folders.

Snapshots are looked at in `collection`. Profiles stay: they hold no data, and cost a device's time.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evernas.bundle import MANIFEST
from evernas.config import Config
from evernas.config_data import RetentionConfig
from evernas.digest import short
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Head, Home
from evernas.state.files import read_json
from evernas.state.runs import completed_runs, unended_runs
from evernas.state.sharing import steps_of
from evernas.state.stepstore import MARKER
from evernas.steps.ranking import supernet_of_key

DOCS = "data_docs"
OF_A_BUNDLE = ("finetuned", "quantised")
# Looked at by rules of their own, or never.
APART = ("validate", "profile", *OF_A_BUNDLE)


@dataclass
class Reached:
    """What stays: references of steps for each kind of results, short digests of bundles, and runs."""

    steps: set[str] = field(default_factory=set)
    validated: set[str] = field(default_factory=set)
    documented: set[str] = field(default_factory=set)
    bundles: set[str] = field(default_factory=set)
    reports: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Unreached:
    """What can go of one kind: files and folders, each as a whole, and their bytes together."""

    paths: list[Path]
    bytes: int


def unreached(config: Config, home: Home, keep: RetentionConfig, older_than_s: float) -> dict[str, Unreached]:
    """What can go, by kind. Nothing is that a champion, one before it, the journal or a run at work reaches."""
    reached = _reached(config, home, keep)
    before = time.time() - older_than_s
    found = {
        "steps": [
            *_steps(home, config.project, reached),
            *_evaluations(home, config.project, reached),
            *_rankings(home, config.project, reached),
        ],
        "quarantine": _validated(home, config.project, reached),
        "bundles": _others(home.bundles(config.project), reached.bundles),
        "reports": _reports(home, config.project, reached),
        "runs": [home.run(run) for run in _all_runs(home, config.project) if run not in reached.runs],
    }
    old = {kind: [path for path in paths if _written(path) < before] for kind, paths in found.items()}
    return {kind: Unreached(paths, sum(map(_bytes, paths))) for kind, paths in old.items()}


def remove_unreached(home: Home, found: dict[str, Unreached], guard: Callable[[], None]) -> None:
    """Remove it, each path as a whole: a kill leaves it as it was, or out of everybody's way. `guard` may raise."""
    for kind in found.values():
        for path in kind.paths:
            guard()
            if path.is_file():
                path.unlink()
                continue
            aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=".discarded-"))
            path.replace(aside)
            shutil.rmtree(aside)


def _reached(config: Config, home: Home, keep: RetentionConfig) -> Reached:
    project = config.project
    completed = completed_runs(home, project)[::-1]
    unended = unended_runs(home, project)
    entries = journal_entries(config, home)
    head = Head.read(home, project)
    decided = [entry.run for entry in entries]
    found = Reached()
    # A run that was stopped may be gone on with; of several, the newest.
    always = [*unended[-1:], *([] if head is None else [head.run])]
    pinned = [*always, *(run for run in _latest(home) if run in completed)]
    for kind, runs in (("steps", keep.steps), ("validated", keep.quarantine), ("documented", keep.reports)):
        getattr(found, kind).update(ref for run in [*always, *completed[:runs]] for ref in _refs(home, run))
    if head is not None:
        found.steps |= {head.supernet, *head.searches.values(), *([] if head.validated is None else [head.validated])}
        found.validated |= set() if head.validated is None else {head.validated}
        searches = [steps_of(home, project).find(ref) for ref in head.searches.values()]
        found.steps |= {done.inputs["probe"] for done in searches if done is not None and "probe" in done.inputs}
    found.steps |= set(_judged_beside(home, project, found.steps))
    # The evidence of each decision stays with the journal, which names its digest.
    found.steps |= {ref for run in decided for ref in _decisions(home, run)}
    found.bundles |= {short(entry.bundle) for entry in entries}
    for run in [*always, *completed[: keep.bundles]]:
        found.bundles |= {short(digest) for digest in _finalists(home, project, run)}
    found.reports |= {*pinned, *completed[: keep.reports]}
    found.runs |= {*pinned, *decided, *completed[: keep.runs]}
    return found


def journal_entries(config: Config, home: Home) -> list[Entry]:
    """All entries of all devices: the config's, and those that runs had which the config has no more."""
    journal = open_journal(home, config)
    names = {device.name for device in config.devices}
    for run in _all_runs(home, config.project):
        names |= {str(device["name"]) for device in read_json(home.run(run) / "run.json")["config"]["devices"]}
    return [
        journal.read(device, number) for device in sorted(names) for number in range(1, journal.head_number(device) + 1)
    ]


def _all_runs(home: Home, project: str) -> list[str]:
    return sorted([*completed_runs(home, project), *unended_runs(home, project)])


def _latest(home: Home) -> list[str]:
    """The run that `latest` points to, as a list."""
    return [home.latest.resolve().name] if home.latest.is_symlink() else []


def _refs(home: Home, run: str) -> Iterator[str]:
    """The steps that a run made or took, by its accounts."""
    for path in sorted((home.run(run) / "steps").glob("*.json")):
        account = read_json(path)
        yield from (account[name] for name in ("ref", "made") if account.get(name))


def _judged_beside(home: Home, project: str, refs: Collection[str]) -> Iterator[str]:
    """The supernets whose training rows were kept from judging: the next validation of the same data asks for them."""
    for ref in refs:
        marker = home.steps(project) / ref / MARKER
        if ref.startswith("validate/") and marker.exists():
            beside = read_json(marker)["inputs"].get("trained")
            yield from [] if beside is None else [str(beside)]


def _decisions(home: Home, run: str) -> Iterator[str]:
    for path in sorted((home.run(run) / "decisions").glob("*.json")):
        ref = read_json(path).get("ref")
        if ref is not None:
            yield str(ref)


def _finalists(home: Home, project: str, run: str) -> Iterator[str]:
    """The bundles that a run made."""
    for ref in _refs(home, run):
        marker = home.steps(project) / ref / MARKER
        if ref.startswith("finalists/") and marker.exists():
            yield from (finalist["bundle"] for finalist in read_json(marker)["facts"]["finalists"])


def _steps(home: Home, project: str, reached: Reached) -> list[Path]:
    folder = home.steps(project)
    found = [path for path in sorted(folder.glob("[!.]*/[!.]*")) if path.parent.name not in APART]
    gone = [path for path in found if path.relative_to(folder).as_posix() not in reached.steps]
    made = [path for name in OF_A_BUNDLE for path in sorted((folder / name).glob("[!.]*"))]
    return gone + [path for path in made if _bundle_of(path) not in reached.bundles]


def _bundle_of(step: Path) -> str | None:
    """The bundle that a step made; None for one that was never done."""
    marker = step / MARKER
    return short(read_json(marker)["facts"]["finalist"]["bundle"]) if marker.exists() else None


def _evaluations(home: Home, project: str, reached: Reached) -> list[Path]:
    """Errors that were kept under supernets which are no more."""
    folders = sorted(home.evaluations(project).glob("[!.]*"))
    return [path for path in folders if path.name.rsplit("-", 2)[0] not in _supernets(reached)]


def _rankings(home: Home, project: str, reached: Reached) -> list[Path]:
    """What was noted of the ranking of supernets none of whose descendants stays: a generation goes as a whole."""
    generations = sorted(home.rankings(project).glob("[!.]*"))
    of = {path: {supernet_of_key(f"{path.name}/{each.name}") for each in path.iterdir()} for path in generations}
    return [path for path, supernets in of.items() if supernets.isdisjoint(_supernets(reached))]


def _supernets(reached: Reached) -> set[str]:
    return {ref.partition("/")[2] for ref in reached.steps if ref.startswith("supernet/")}


def _validated(home: Home, project: str, reached: Reached) -> list[Path]:
    folders = sorted((home.steps(project) / "validate").glob("[!.]*"))
    return [path for path in folders if f"validate/{path.name}" not in reached.validated]


def _others(folder: Path, kept: set[str]) -> list[Path]:
    return [path for path in sorted(folder.glob("[!.]*")) if (path / MANIFEST).exists() and path.name not in kept]


def _reports(home: Home, project: str, reached: Reached) -> list[Path]:
    """Pages of runs, and Data Docs of validations that themselves stay."""
    # What goes with its run is not counted twice.
    kept = [run for run in completed_runs(home, project) if run in reached.runs - reached.reports]
    pages = [home.run(run) / "report.html" for run in kept]
    docs = [home.steps(project) / ref / DOCS for ref in sorted(reached.validated - reached.documented)]
    return [path for path in [*pages, *docs] if path.exists()]


def _files(path: Path) -> Iterator[Path]:
    yield from ([path] if path.is_file() else (file for file in path.rglob("*") if file.is_file()))


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _written(path: Path) -> float:
    """When anything of it was written last."""
    return max((file.stat().st_mtime for file in _files(path)), default=0.0)


def shown(found: dict[str, Unreached]) -> dict[str, Any]:
    """The same as a plain document."""
    return {kind: {"count": len(each.paths), "bytes": each.bytes} for kind, each in found.items()}
