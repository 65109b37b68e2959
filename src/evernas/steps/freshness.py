"""Whether data that was validated once is too old by now: a source that has dried up brings nothing to validate."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from evernas.data import Snapshot
from evernas.steps.context import Setting

TIMES = "times.npy"
"""The times of the good rows, sorted: beside a validation, where validation.freshness is asked for."""


def began_s(setting: Setting) -> float:
    """When the run began, in seconds since 1970; the same for a run that goes on after a kill."""
    return datetime.fromisoformat(setting.manifest.started_at).timestamp()


def stale_by_now(setting: Setting, snapshot: Snapshot) -> list[str]:
    """Why a snapshot in which nothing is new, or next to nothing, is too old for this run; a sentence each."""
    from evernas.validation.freshness import freshness_figures, stale

    fresh = setting.config.validation.freshness
    if fresh is None:
        return []
    return stale(freshness_figures(_times(setting, snapshot), began_s(setting), fresh), fresh)


def _times(setting: Setting, snapshot: Snapshot) -> Any:
    """The times of the good rows; of a snapshot that was not validated those of all rows that could be read."""
    head = setting.manifest.head
    last = None if head is None or head.validated is None else setting.store.find(head.validated)
    if last is not None and last.facts["snapshot"] == snapshot.id and last.file(TIMES).exists():
        return np.load(last.file(TIMES), allow_pickle=False)
    from evernas.data import load_rows
    from evernas.validation.freshness import times_of

    frame = load_rows(snapshot).select(["time", "decode_error"]).to_pandas()
    return times_of(frame[frame["decode_error"].isna()])
