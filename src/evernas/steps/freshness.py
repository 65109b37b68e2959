"""Whether data that was validated once is too old by now: a source that has dried up brings nothing to validate."""

from __future__ import annotations

from typing import Any

import numpy as np

from evernas.data import Snapshot
from evernas.state.sharing import releases_of
from evernas.steps.context import Setting
from evernas.steps.good_rows import began_s, judged

TIMES = "times.npy"
"""The times of the good rows, sorted: beside a validation, where validation.freshness is asked for."""


def stale_by_now(setting: Setting, snapshot: Snapshot) -> list[str]:
    """Why a snapshot in which nothing is new, or next to nothing, is too old for this run; a sentence each."""
    from evernas.validation.freshness import freshness_figures, stale

    fresh = setting.config.validation.freshness
    if fresh is None:
        return []
    return stale(freshness_figures(_times(setting, snapshot), began_s(setting), fresh), fresh)


def _times(setting: Setting, snapshot: Snapshot) -> Any:
    """The times of the good rows: those that the last validation kept, or of another snapshot those that one would."""
    head = setting.manifest.head
    last = None if head is None or head.validated is None else setting.store.find(head.validated)
    if last is not None and last.facts["snapshot"] == snapshot.id and last.file(TIMES).exists():
        return np.load(last.file(TIMES), allow_pickle=False)
    supernet = None if head is None else setting.store.find(head.supernet)
    known = releases_of(setting.home, setting.project).count()
    return judged(setting, snapshot, None if supernet is None else supernet.ref, known).times
