"""The one interface through which runs are submitted and looked up, by a name that stands for what they are for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

from evernas.config import Config
from evernas.errors import EvernasError, UsageError

RunState = Literal["running", "succeeded", "failed", "refused"]


class UnavailableError(EvernasError):
    """Whoever runs runs does not answer: nothing is known, the same is tried again."""


class SubmissionRefusedError(EvernasError):
    """The run was not accepted, and would not be if it were sent again."""


@dataclass(frozen=True)
class Found:
    """A run that was found by its name. `refused` is a failure that a further attempt would only repeat."""

    handle: str
    state: RunState
    reason: str = ""


class Submitter(ABC):
    """Starts runs. Finding, submitting and asking for the version may raise UnavailableError."""

    @abstractmethod
    def find(self, name: str) -> Found | None:
        """The run of this name, the newest if there are several; None if there is none."""

    @abstractmethod
    def submit(self, name: str) -> str:
        """Start a run of this name; returns its handle. Once it returns, `find` finds it. SubmissionRefusedError."""

    def renew(self, config: Config) -> None:  # noqa: B027 - what is read for each run anew needs nothing
        """Let the next runs be of this config, and of the code that is newest now."""

    @abstractmethod
    def version(self) -> str:
        """What a run would execute besides the config: a digest or name that changes with the code and its images."""


def create(config: Config, config_path: Path, home: Path) -> Submitter:
    """The submitter that a config asks for; UsageError if it is not installed."""
    assert config.triggers is not None
    to = config.triggers.submit.to
    if to == "local":
        from evernas.triggers.local import LocalSubmitter

        return LocalSubmitter(config_path, home, config.project)
    for point in entry_points(group="evernas.submitters"):
        if point.name == to:
            try:
                made: Submitter = point.load()(config)
            except ImportError as error:
                raise UsageError(
                    f"Runs cannot be submitted to {to}, a package is missing ({error}): install evernas[pipelines]."
                ) from None
            return made
    raise UsageError(f"There is no way to submit runs to {to}: install evernas[pipelines].")
