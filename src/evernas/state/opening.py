"""From the state's address, one setting, to the state itself: a folder, or a scratch folder before a bucket."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evernas.errors import UsageError
from evernas.state.bucket import Bucket
from evernas.state.home import Home

SCRATCH_VARIABLE = "EVERNAS_SCRATCH"


def seen_from(home: Home, address: str) -> Home:
    """The state in a bucket as it is seen from a folder here, for what reads and writes no file of that folder.

    UsageError for an address that cannot be one.
    """
    try:
        from evernas.storage.s3 import S3Address, S3Storage
    except ImportError:
        raise UsageError(f"The state is at {address!r}, which needs boto3: install evernas[core].") from None
    return Home(home.path, Bucket(home.path, S3Storage(S3Address.parse(address))))


@contextmanager
def opened(address: str) -> Iterator[Home]:
    """The state at an absolute path, or at `s3://bucket/prefix?endpoint=...&region=...`.

    For a bucket, an empty scratch folder is made for as long as this lasts, in the folder that EVERNAS_SCRATCH names.
    UsageError for an address that cannot be one.
    """
    if "://" not in address:
        yield Home(Path(address))
        return
    try:
        from evernas.storage.s3 import S3Address, S3Storage
    except ImportError:
        raise UsageError(f"The state is at {address!r}, which needs boto3: install evernas[core].") from None
    storage = S3Storage(S3Address.parse(address))
    parent = os.environ.get(SCRATCH_VARIABLE) or None
    with tempfile.TemporaryDirectory(prefix="evernas-", dir=parent, ignore_cleanup_errors=True) as scratch:
        try:
            yield Home(Path(scratch), Bucket(Path(scratch), storage))
        finally:
            # Not among what a command says, which a program may read.
            print(storage.traffic, file=sys.stderr)
