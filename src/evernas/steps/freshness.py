"""Whether data that was validated once is too old by now: a source that has dried up brings nothing to validate."""

from __future__ import annotations

from typing import Any

import numpy as np

from evernas.data import Snapshot
from evernas.errors import DataRefusedError
from evernas.state.files import read_json, write_json
from evernas.state.sharing import fetched, releases_of, share
from evernas.steps.context import Context, Setting
from evernas.steps.good_rows import began_s, judged

FILE = "stale.json"
TIMES = "times.npy"
"""The times of the good rows, sorted: beside a validation, where validation.freshness is asked for."""


def stale_by_now(setting: Setting, snapshot: Snapshot) -> list[str]:
    """Why a snapshot in which nothing is new, or next to nothing, is too old for this run; a sentence each."""
    from evernas.validation.freshness import freshness_figures, stale

    fresh = setting.config.validation.freshness
    if fresh is None:
        return []
    return stale(freshness_figures(_times(setting, snapshot), began_s(setting), fresh), fresh)


def refuse(reasons: list[str], also: str = "") -> None:
    """DataRefusedError where there are reasons; `also` is what the run did all the same."""
    if reasons:
        lines = ["The data is refused, the champion stays:", *reasons, *([also] if also else [])]
        raise DataRefusedError("\n  ".join(lines))


def note(context: Context, reasons: list[str]) -> None:
    """Keep the reasons for the run's end: champions are looked at again also where the source has dried up."""
    path = context.run_folder / FILE
    with context.guard.publishing():
        write_json(path, {"version": 1, "reasons": reasons})
        share(context.home, path)


def noted(setting: Setting) -> list[str]:
    """The reasons that were kept; none where nothing was."""
    path = fetched(setting.home, setting.run_folder / FILE)
    return list(read_json(path)["reasons"]) if path.exists() else []


def _times(setting: Setting, snapshot: Snapshot) -> Any:
    """The times of the good rows: those that the last validation kept, or of another snapshot those that one would."""
    head = setting.manifest.head
    last = None if head is None or head.validated is None else setting.store.find(head.validated)
    if last is not None and last.facts["snapshot"] == snapshot.id and last.file(TIMES).exists():
        return np.load(last.file(TIMES), allow_pickle=False)
    supernet = None if head is None else setting.store.find(head.supernet)
    known = releases_of(setting.home, setting.project).count()
    return judged(setting, snapshot, None if supernet is None else supernet.ref, known).times
