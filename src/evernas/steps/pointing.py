"""The link `latest` of the state folder."""

from __future__ import annotations

import os
from pathlib import Path

from evernas.state import Home


def point_latest(home: Home, run: str) -> None:
    """Point `latest` to a run in one step."""
    link = home.path / f".latest.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("runs") / run)
    link.replace(home.latest)
