"""The config's file while a receiver serves: what a run computes by may change, and is then read anew."""

from __future__ import annotations

import logging
from pathlib import Path

from evernas.config import Config, load_config
from evernas.errors import UsageError

LOG = logging.getLogger("evernas.triggers")


class ConfigFile:
    """A config as it was read last; one that cannot be used is said once, and the former one holds."""

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        self._stamp = self._look()
        self.config = config

    def newest(self) -> Config:
        """The config as the file has it now."""
        stamp = self._look()
        if stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            try:
                changed = load_config(self._path)
            except UsageError as error:
                LOG.warning("config refused", extra={"reason": str(error)[:500]})
                return self.config
            if (changed.project, changed.triggers) != (self.config.project, self.config.triggers):
                LOG.warning("config needs a restart", extra={"reason": "what it says of triggers is read at the start"})
            # Which project this is, and how it is triggered, is as it was at the start.
            kept = {"project": self.config.project, "triggers": self.config.triggers}
            self.config = changed.model_copy(update=kept)
        return self.config

    def _look(self) -> tuple[int, int, int] | None:
        """What changes with the file; None while it is not there."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino, status.st_size)
