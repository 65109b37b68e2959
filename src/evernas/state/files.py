"""Writing files so that a kill leaves the old bytes or the new ones, never a part."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from evernas.errors import IntegrityError
from evernas.state.formats import refuse_newer
from evernas.storage import sync_folder


def write_bytes(path: Path, data: bytes) -> None:
    """Write through a temporary file in the same folder, then rename; durable when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            # mkstemp makes files for one account alone; what people read gets the usual rights.
            os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """A value as indented JSON; ValueError for NaN, which JSON has no number for."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> Any:
    """Read JSON that evernas wrote; IntegrityError if it is none, or if a newer evernas wrote it."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise IntegrityError(
            f"{path} is no JSON ({error}): restore it from a backup or remove it to make it again."
        ) from None
    refuse_newer(path, document)
    return document
