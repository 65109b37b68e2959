"""What a project keeps of runs and as texts: stopped runs are ended, and names are taken out of all else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from evernas.loop.remembering import renew, sole
from evernas.redaction import Redaction
from evernas.state import Home
from evernas.state.files import read_json, write_bytes
from evernas.state.runs import MANIFEST
from evernas.state.sharing import storage_of
from evernas.steps.forgotten import PENDING
from evernas.storage import FileStorage, Storage

TEXTS = (".json", ".jsonl", ".txt", ".log", ".md", ".yaml", ".csv")


def end_stopped_runs(home: Home, project: str) -> None:
    """Runs without a result would go on with what was pinned before: they are no more."""
    for storage, keys in _runs(home, project):
        if not any(key.endswith("/result.json") or key == "result.json" for key in keys):
            # What says whose run it is goes last: after a kill the rest is found again.
            for key in sorted(keys, key=lambda key: key.endswith(f"/{MANIFEST}")):
                storage.erase(key)


def _runs(home: Home, project: str) -> list[tuple[Storage, list[str]]]:
    """The files of each run of the project."""
    runs = storage_of(home, home.runs, kept=False)
    found: dict[str, list[str]] = {}
    for key in runs.list():
        found.setdefault(key.partition("/")[0], []).append(key)
    return [(runs, keys) for run, keys in sorted(found.items()) if _is_of(runs, run, project)]


def _is_of(runs: Storage, run: str, project: str) -> bool:
    try:
        return bool(json.loads(runs.read(f"{run}/{MANIFEST}"))["config"].get("project") == project)
    except KeyError:
        return False


def redact(home: Home, project: str, redaction: Redaction) -> None:
    """Take the names out of what is kept: runs' results and reports, records, MLflow's store here."""
    # A look of the monitor that is under way ends first, and the next one sees that an erasure is.
    with sole(home, project):
        renew(home, project)
        for key, storage in texts(home, project):
            data = storage.read(key)
            redacted = redaction.data(data, Path(key).suffix)
            if redacted != data:
                storage.write(key, redacted)
    _reports(home, project)
    if home.bucket is None:
        for path in [*home.path.glob("*.db"), *home.project(project).glob("*.db")]:
            redaction.database(path)
    for folder in (home.project(project), home.runs):
        storage_of(home, folder, kept=False).erase_versions("")


def texts(home: Home, project: str) -> list[tuple[str, Storage]]:
    """All files that may name somebody, beside snapshots, bundles and steps' outputs."""
    found: list[tuple[str, Storage]] = []
    own = storage_of(home, home.project(project), kept=False)
    skipped = ("data/", "bundles/", "champions/", f"erasures/{PENDING}")
    found += [(key, own) for key in own.list() if not key.startswith(skipped)]
    for runs, keys in _runs(home, project):
        found += [(key, runs) for key in keys]
    if home.bucket is None:
        artifacts = FileStorage(home.artifacts)
        found += [(key, artifacts) for key in artifacts.list(f"{project}/") if "/bundles/" not in key]
    return [(key, storage) for key, storage in found if key.endswith(TEXTS)]


def _reports(home: Home, project: str) -> None:
    """Reports are drawn anew from the results, which name nobody any more; pages over several runs are removed."""
    from evernas.report import render_report
    from evernas.result import Result

    results, drawn = list[Result](), dict[str, bytes]()
    for runs, keys in _runs(home, project):
        run = keys[0].partition("/")[0]
        if f"{run}/result.json" not in keys:
            continue
        try:
            result = Result.model_validate(json.loads(runs.read(f"{run}/result.json")))
        except ValueError:
            # Another version's, which nobody here can draw: what it shows cannot be told.
            runs.erase(f"{run}/report.html")
            continue
        if f"{run}/report.html" in keys:
            html = render_report(result, [r for r in results if r.outcome != "nothing-new"]).encode()
            runs.write(f"{run}/report.html", html)
            drawn[run] = html
        results.append(result)
    if home.bucket is None:
        _draw_artifacts(home, project, drawn)
        folder = FileStorage(home.path)
        for path in [*home.path.glob("compare-*.html"), *home.path.glob("index.html")]:
            folder.erase(path.name)
        artifacts = FileStorage(home.artifacts)
        for key in artifacts.list(f"{project}/"):
            if "/data_docs/" in key:
                artifacts.erase(key)


def _draw_artifacts(home: Home, project: str, drawn: Mapping[str, bytes]) -> None:
    """The copies of reports that MLflow's store here has, of runs whose folder was removed too."""
    from evernas.report import render_report
    from evernas.result import Result

    for path in (home.artifacts / project).glob("*/artifacts/report.html"):
        document = read_json(path.with_name("result.json"))
        try:
            html = drawn.get(document["run"]) or render_report(Result.model_validate(document), []).encode()
        except ValueError:
            path.unlink()
            continue
        write_bytes(path, html)
