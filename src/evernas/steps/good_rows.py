"""Which rows of a snapshot are good, by the rules that hold in a run; what follows from it is said elsewhere."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from evernas.data import Snapshot, load_rows
from evernas.data.hidden import hidden_copies
from evernas.data.near import NEAREST
from evernas.state.sharing import releases_of
from evernas.steps.context import Setting
from evernas.steps.loading import trained_rows


def judged(setting: Setting, snapshot: Snapshot, supernet: str | None, releases: int, docs: Path | None = None) -> Any:
    """The validation's result, beside a supernet, whose rows cannot judge in the gate, and so many releases."""
    from evernas.validation import Again, validate

    config, scratch = setting.config, setting.home.snapshots(setting.project)

    def near(asking: Any, others: Any) -> Any:
        scratch.mkdir(parents=True, exist_ok=True)
        return hidden_copies(snapshot, config.data.near_duplicates, asking, others, scratch)

    return validate(
        load_rows(snapshot),
        config.data,
        config.validation,
        docs=docs,
        trained=frozenset[str]() if supernet is None else trained_rows(setting.store.get(supernet)),
        released=_released(setting, releases) if releases else {},
        began=began_s(setting),
        again=Again(near, NEAREST),
    )


def began_s(setting: Setting) -> float:
    """When the run began, in seconds since 1970; the same for a run that goes on after a kill."""
    return datetime.fromisoformat(setting.manifest.started_at).timestamp()


def _released(setting: Setting, first: int) -> dict[str, frozenset[str]]:
    """The keys of the rows that were released, by rule, as the first so many releases say."""
    found: dict[str, frozenset[str]] = {}
    for release in releases_of(setting.home, setting.project).all(first):
        found[release["rule"]] = found.get(release["rule"], frozenset()) | frozenset(release["rows"])
    return found
