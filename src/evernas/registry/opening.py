"""Opening a project's journal where `registry.journal` says it lies; a storage is imported where it is used."""

from __future__ import annotations

import os
import re
from pathlib import Path

from evernas.config import Config
from evernas.errors import UsageError
from evernas.registry.journal import Journal
from evernas.registry.slots import Slots, StorageSlots
from evernas.state.home import Home
from evernas.state.restoring import refuse_half
from evernas.state.sharing import storage_of


def open_journal(home: Home, config: Config) -> Journal:
    """The project's journal; UsageError names an address that cannot be used, IntegrityError a half-restored state."""
    refuse_half(home, config.project)
    return Journal(open_slots(config.registry.journal, home, config.project))


def open_slots(url: str | None, home: Home, project: str) -> Slots:
    """The places of a project's journal; None is with the state."""
    if url is None:
        storage = storage_of(home, home.journal(project))
        return StorageSlots(storage, str(storage))
    address = _expanded(url, home.path)
    scheme = address.partition("://")[0]
    if scheme == "s3":
        return _on_s3(address, project)
    if scheme.partition("+")[0] in ("postgresql", "postgres", "sqlite"):
        from evernas.registry.database import DatabaseSlots

        return DatabaseSlots(re.sub(r"^postgres:", "postgresql:", address), project)
    raise UsageError(
        f"registry.journal is {url!r}: use s3://bucket/prefix, postgresql://host/database or sqlite:///path, "
        "or leave it out for files in the state folder."
    )


def _on_s3(address: str, project: str) -> Slots:
    from dataclasses import replace

    try:
        from evernas.storage.s3 import S3Address, S3Storage
    except ImportError:
        raise UsageError("registry.journal is on s3://, which needs boto3: install evernas[core].") from None
    parsed = S3Address.parse(address)
    prefix = "/".join(part for part in (parsed.prefix, project, "journal") if part)
    return StorageSlots(S3Storage(replace(parsed, prefix=prefix)), f"s3://{parsed.bucket}/{prefix}")


def _expanded(url: str, home: Path) -> str:
    names = {**os.environ, "EVERNAS_HOME": str(home)}

    def expand(match: re.Match[str]) -> str:
        if match[1] not in names:
            raise UsageError(
                f"registry.journal is {url!r}, but the variable {match[1]} is not set: set it or write the address."
            )
        return names[match[1]]

    return re.sub(r"\$\{(\w+)\}", expand, url)
