"""Where a project's lease lies: in the state folder, or in the bucket or folder that its machines share."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from evernas.data.storage import AlreadyExists, FileStorage, Storage
from evernas.errors import UsageError
from evernas.state.home import Home

STATE_VARIABLE = "EVERNAS_STATE"


def storage_of(home: Home, project: str) -> Storage:
    """The storage of a project's lease; UsageError for an address in EVERNAS_STATE that cannot be used."""
    address = os.environ.get(STATE_VARIABLE)
    if not address:
        return FileStorage(home.project(project) / "lease")
    scheme, _, path = address.partition("://")
    if scheme == "file" and path.startswith("/"):
        return FileStorage(Path(urlsplit(address).path) / project / "lease")
    if scheme == "s3":
        return _on_s3(address, project)
    raise UsageError(
        f"{STATE_VARIABLE} is {address!r}: use s3://bucket/prefix or file:///folder, or leave it out for state in "
        "the state folder."
    )


def starter(home: Home) -> str:
    """Who starts runs from this state folder, for a lease that several share; empty where the folder has its own.

    A run that was killed leaves its claim. Whoever owns the folder that it was started from knows that it is dead. The
    inode is part of the name, because a copy of the folder, on another machine, is somebody else.
    """
    if not os.environ.get(STATE_VARIABLE):
        return ""
    folder = FileStorage(home.path)
    with contextlib.suppress(AlreadyExists):
        folder.create("starter", secrets.token_hex(16).encode())
    path = folder.path("starter")
    return f"{path.read_text()}-{path.stat().st_ino}"


def _on_s3(address: str, project: str) -> Storage:
    try:
        from evernas.data.s3 import S3Address, S3Storage
    except ImportError:
        raise UsageError(f"{STATE_VARIABLE} is on s3://, which needs boto3: install evernas[core].") from None
    parsed = S3Address.parse(address)
    prefix = "/".join(part for part in (parsed.prefix, project, "lease") if part)
    return S3Storage(replace(parsed, prefix=prefix))
