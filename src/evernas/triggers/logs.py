"""Structured logs: one JSON object a line, with the event's id where there is one, and never a header or a body."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

FIELDS = (
    "project", "source", "event", "rule", "run", "work", "reason", "state", "error", "events", "again_in_s", "status",
    "path", "chore", "sink",
)  # fmt: skip


class JsonLines(logging.Formatter):
    """A record as one line; only named fields, so that nothing gets into the log by being passed along."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            # Where, and of what kind; not the text, which may hold what was sent or where a secret is.
            line["error"] = type(error).__name__
            line["where"] = [
                f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)[-6:]
            ]
        return json.dumps(line, default=str)


def log_to(stream: object, level: int = logging.INFO) -> None:
    """Send all logs of this process to a stream as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stdout)  # type: ignore[arg-type]
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("evernas").setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.INFO)
    # Each look at the tables would be a line.
    logging.getLogger("alembic").setLevel(logging.WARNING)
