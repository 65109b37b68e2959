"""Raw results of a measurement in a folder, so that a step which is started again measures nothing twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.errors import IntegrityError
from evernas.state.files import read_json, write_json

VERSION = 1


@dataclass(frozen=True)
class RawResults:
    """One JSON file per piece of work. `key` is the digest of all that the work depends on; other files are ignored."""

    folder: Path
    key: str

    def get(self, name: str) -> dict[str, Any] | None:
        """The result of this name; None if there is none, or it is torn or of other work, and so is to be made."""
        path = self.folder / f"{name}.json"
        try:
            document = read_json(path)
        except (FileNotFoundError, IntegrityError):
            return None
        if not isinstance(document, dict) or document.get("version") != VERSION or document.get("key") != self.key:
            return None
        result = document.get("result")
        return result if isinstance(result, dict) else None

    def put(self, name: str, result: dict[str, Any]) -> None:
        """Keep a result; whole or not at all."""
        write_json(self.folder / f"{name}.json", {"version": VERSION, "key": self.key, "result": result})
