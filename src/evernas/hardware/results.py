"""The folder of a measurement: raw results, so that nothing is measured twice, and evernas's own networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.digest import digest_bytes, digest_file
from evernas.errors import IntegrityError
from evernas.hardware.reference import CHANNELS, LENGTH
from evernas.hardware.session import Network
from evernas.state.files import read_json, write_bytes, write_json

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

    def own_network(self, name: str, data: bytes) -> Network:
        """One of evernas's own networks as a file that workers can load."""
        path, digest = (self.folder / name).absolute(), digest_bytes(data)
        if not path.exists() or digest_file(path) != digest:
            write_bytes(path, data)
        return Network(digest, path, (CHANNELS, LENGTH))
