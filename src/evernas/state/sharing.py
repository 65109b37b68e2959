"""How code that works on the state folder shares it with other machines: nothing to do where they share the folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evernas.state.bucket_steps import BucketSteps
from evernas.state.home import Home
from evernas.state.records import Records
from evernas.state.stepstore import StepStore
from evernas.storage import FileStorage, Storage

if TYPE_CHECKING:
    from collections.abc import Callable


def fetched(home: Home, path: Path) -> Path:
    """A path in the state folder, its file brought here first if there is one elsewhere."""
    if home.bucket is not None:
        home.bucket.fetch(path)
    return path


def fetched_folder(home: Home, folder: Path) -> Path:
    """A folder in the state folder, with all files that are directly in it brought here."""
    if home.bucket is not None:
        for key in home.bucket.area(folder, kept=False).list():
            home.bucket.fetch(folder / key)
    return folder


def share(home: Home, path: Path) -> None:
    """Let other machines have a file of the state folder as it is now."""
    if home.bucket is not None:
        home.bucket.publish(path)


def storage_of(home: Home, folder: Path, *, kept: bool = True) -> Storage:
    """A folder of the state folder as keys; `kept` where what they hold never changes."""
    return FileStorage(folder) if home.bucket is None else home.bucket.area(folder, kept=kept)


def releases_of(home: Home, project: str) -> Records:
    """The releases from quarantine of a project."""
    return Records(storage_of(home, home.releases(project), kept=False))


def erasures_of(home: Home, project: str) -> Records:
    """The erasures of a project."""
    return Records(storage_of(home, home.erasures(project), kept=False))


def steps_of(home: Home, project: str) -> StepStore:
    """The finished steps of a project."""
    folder = home.steps(project)
    if home.bucket is None:
        return StepStore(folder)
    notes = home.bucket.area(home.project(project) / "unsettled", kept=False)
    return BucketSteps(folder, home.bucket.area(folder, kept=False), notes)


def fenced(home: Home, fence: Callable[[], None]) -> Home:
    """The same state, whose every publication asks first whether the run still holds its project's lease."""
    return home if home.bucket is None else replace(home, bucket=replace(home.bucket, fence=fence))
