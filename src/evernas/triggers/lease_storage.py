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


# Where what a run's steps share lies in a bucket.
SHARED = "candidates/state"


def shared_state() -> str | None:
    """Address of the state that this machine's runs share with others; None if they share none."""
    return os.environ.get(STATE_VARIABLE) or None


def storage_of(home: Home, project: str, shared: str | None) -> Storage:
    """The storage of a project's lease, in the shared state if there is one; UsageError for an unusable address."""
    if shared is None:
        return FileStorage(_folder(home, project))
    scheme, _, path = shared.partition("://")
    if scheme == "file" and path.startswith("/"):
        return FileStorage(_folder(Home(Path(urlsplit(shared).path)), project))
    if scheme == "s3":
        return _on_s3(shared, project)
    raise UsageError(
        f"The shared state is {shared!r}: use s3://bucket/prefix or file:///folder, or leave {STATE_VARIABLE} out for "
        "the state folder."
    )


def starter(home: Home, shared: str | None) -> str:
    """Who starts runs from this state folder, for a lease that several share; empty where the folder has its own.

    A run that was killed leaves its claim. Whoever owns the folder that it was started from knows that it is dead. The
    inode is part of the name, because a copy of the folder, on another machine, is somebody else.
    """
    if shared is None:
        return ""
    folder = FileStorage(home.path)
    with contextlib.suppress(AlreadyExists):
        folder.create("starter", secrets.token_hex(16).encode())
    path = folder.path("starter")
    return f"{path.read_text()}-{path.stat().st_ino}"


def _folder(home: Home, project: str) -> Path:
    return home.project(project) / "lease"


def _on_s3(address: str, project: str) -> Storage:
    try:
        from evernas.data.s3 import S3Address, S3Storage
    except ImportError:
        raise UsageError("The shared state is on s3://, which needs boto3: install evernas[core].") from None
    parsed = S3Address.parse(address)
    prefix = "/".join(part for part in (parsed.prefix, SHARED, project, "lease") if part)
    return S3Storage(replace(parsed, prefix=prefix))
