"""The formats of what is kept in the state folder, each with its version; what a newer evernas wrote is refused.

A file without a version is of version 1. Files in a step's folder that are not listed are vouched for by the step's
marker, which has their digests, and by the step's own version, which is in its key. The inbox has a version of its own
(`triggers.migrations`); later versions only add to it, so that an upgrade need not stop the receivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from evernas.errors import IntegrityError


@dataclass(frozen=True)
class Format:
    """A kind of file: what it is called, where it lies in the state folder, and the newest version that is read."""

    name: str
    place: str
    version: int


FORMATS = (
    Format("owner", "owner.json", 1),
    Format("run", "runs/*/run.json", 2),
    Format("result", "runs/*/result.json", 1),
    Format("account", "runs/*/steps/*.json", 1),
    Format("decision", "runs/*/decisions/*.json", 1),
    Format("accepted", "runs/*/snapshot.json", 1),
    Format("failure", "runs/*/failure.json", 1),
    Format("deferred", "runs/*/deferred.json", 1),
    Format("budget", "runs/*/budget.json", 1),
    Format("stopped", "runs/*/stopped.json", 1),
    Format("mlflow", "runs/*/mlflow.json", 1),
    Format("telling", "runs/*/tracking/*.json", 1),
    Format("head", "projects/*/head.json", 2),
    Format("consumed", "projects/*/consumed.json", 1),
    Format("journal", "projects/*/journal/*/*.json", 2),
    Format("ledger", "projects/*/ledger/gate/*.json", 2),
    Format("told", "projects/*/told/gate/*.json", 1),
    Format("sealed", "projects/*/sealed/gate/*.json", 3),
    Format("recheck", "projects/*/rechecks/*.json", 1),
    Format("lease", "projects/*/lease/claims/*", 2),
    Format("marker", "projects/*/steps/*/*/done.json", 2),
    Format("unsettled", "projects/*/steps/*/*/unsettled.json", 2),
    Format("strategy", "projects/*/steps/search/*/strategy.json", 1),
    Format("random", "projects/*/steps/search/*/random.json", 1),
    Format("evaluation", "projects/*/evaluations/*/*.json", 1),
    Format("predictor", "projects/*/steps/profile/*/predictor.json", 2),
    Format("ranking", "projects/*/rankings/*/*.json", 1),
    Format("evidence", "projects/*/steps/gate/*/evidence.json", 4),
    Format("measurements", "projects/*/steps/*/*/raw/*.json", 1),
    Format("validation", "projects/*/steps/validate/*/validation.json", 1),
    Format("bundle", "projects/*/bundles/*/bundle.json", 1),
    Format("manifest", "projects/*/data/manifests/*.json", 3),
    Format("submission", "projects/*/submissions/*/*.json", 1),
    Format("costs", "projects/*/costs/*/*.json", 1),
    Format("notice", "projects/*/notices/*.json", 1),
    Format("restoring", "projects/*/restoring.json", 1),
    Format("monitor", "projects/*/monitor/*.json", 2),
)


def format_of(path: PurePath) -> Format | None:
    """The format of a file, by its place; None for a file that is none of them."""
    return next((found for found in FORMATS if path.match(found.place)), None)


def refuse_newer(path: PurePath, document: Any) -> None:
    """IntegrityError if a file was written by an evernas that is newer than this one."""
    known = format_of(path)
    if known is None or not isinstance(document, Mapping):
        return
    version = document.get("version", 1)
    if isinstance(version, int) and version > known.version:
        raise newer(str(path), version, known.version)


def newer(what: str, found: object, known: int) -> IntegrityError:
    """The refusal of something that a newer evernas wrote."""
    return IntegrityError(
        f"{what} was written by a newer evernas: it has version {found} of its format, and this one reads up to "
        f"{known}. Upgrade evernas here; nothing was changed."
    )
