"""Where a project's lease lies: with the state of its runs, or with another state that its machines share."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from evernas.errors import UsageError
from evernas.state import sharing
from evernas.state.bucket import Bucket
from evernas.state.home import Home
from evernas.storage import AlreadyExists, FileStorage, Storage

LEASE_VARIABLE = "EVERNAS_LEASE"


def shared_state() -> str | None:
    """Address of the state whose lease counts for this machine's runs too; None if theirs is their own."""
    return os.environ.get(LEASE_VARIABLE) or None


def storage_of(home: Home, project: str, shared: str | None) -> Storage:
    """The storage of a project's lease, in the shared state if there is one; UsageError for an unusable address."""
    place = home if shared is None or home.bucket is not None else _shared(home, shared)
    return sharing.storage_of(place, place.project(project) / "lease", kept=False)


def handed_over(home: Home, project: str, shared: str) -> Storage:
    """What runs whose state is at this address have handed over; UsageError for an unusable address."""
    place = _shared(home, shared)
    return sharing.storage_of(place, place.handed_over(project), kept=False)


def starter(home: Home, shared: str | None) -> str:
    """Who starts runs from this state folder, for a lease that several share; empty where the folder has its own.

    A run that was killed leaves its claim. Whoever owns the folder that it was started from knows that it is dead. The
    inode is part of the name, because a copy of the folder, on another machine, is somebody else.
    """
    if shared is None or home.bucket is not None:
        return ""
    folder = FileStorage(home.path)
    with contextlib.suppress(AlreadyExists):
        folder.create("starter", secrets.token_hex(16).encode())
    path = folder.path("starter")
    return f"{path.read_text()}-{path.stat().st_ino}"


def _shared(home: Home, address: str) -> Home:
    scheme, _, path = address.partition("://")
    if scheme == "file" and path.startswith("/"):
        return Home(Path(urlsplit(address).path))
    if scheme != "s3":
        raise UsageError(
            f"The shared state is {address!r}: use s3://bucket/prefix or file:///folder, or leave {LEASE_VARIABLE} out "
            "for the lease in the state folder."
        )
    try:
        from evernas.storage.s3 import S3Address, S3Storage
    except ImportError:
        raise UsageError("The shared state is on s3://, which needs boto3: install evernas[core].") from None
    return Home(home.path, Bucket(home.path, S3Storage(S3Address.parse(address))))
