"""Sweeping away what killed writes left in the state folder; what is no temporary file of evernas is never touched."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from evernas.state.home import Home

DAY_S = 86400.0
# The folder may be one in which people keep their own hidden files: only the very names that writes give match.
_RANDOM = r"(?:[a-z0-9_]{8}|\d+)"
_TOP = re.compile(rf"\.(?:owner\.json|latest)\.{_RANDOM}")
_BESIDE_STEPS = re.compile(rf"\.(?:head|consumed)\.json\.{_RANDOM}")
_WITHIN = re.compile(rf"\..+\.{_RANDOM}|\.(?:writing|discarded|tmp-docs)-{_RANDOM}|\.tmp-\d+-[0-9a-f]{{16}}")
_DISCARDED = re.compile(rf"\.discarded-{_RANDOM}")
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def sweep(home: Home, project: str, older_than_s: float = DAY_S) -> int:
    """Remove temporary files and folders of writes that were killed; returns how many.

    To be called by the owner of the state folder. The age spares what a step of a dead owner may still write. The
    snapshots' store sweeps itself.
    """
    before = time.time() - older_than_s
    found = [*_matching(home.path, _TOP), *_matching(home.project(project), _BESIDE_STEPS)]
    found += _matching(home.runs, _DISCARDED)
    own = [home.steps, home.bundles, home.journal, home.ledger, home.told, home.sealed]
    own += [home.evaluations, home.rankings]
    inner = [folder(project) for folder in own]
    inner += [folder for folder in home.runs.glob("*") if _RUN.fullmatch(folder.name)]
    for folder in inner:
        found += _matching_below(folder)
    return sum(_remove(path, before) for path in found)


def _matching(folder: Path, names: re.Pattern[str]) -> list[Path]:
    return [path for path in folder.glob(".*") if names.fullmatch(path.name)]


def _matching_below(folder: Path) -> Iterator[Path]:
    """What matches in a folder and in the folders below it; of a folder that matches, only the folder."""
    for parent, folders, files in os.walk(folder):
        matching = [name for name in folders if _WITHIN.fullmatch(name)]
        folders[:] = [name for name in folders if name not in matching]
        yield from (Path(parent, name) for name in [*matching, *filter(_WITHIN.fullmatch, files)])


def _remove(path: Path, before: float) -> bool:
    """Remove what was last written before a moment; False if it is younger, or gone already."""
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_mtime < before:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            return True
    return False
