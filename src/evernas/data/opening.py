"""From the address that a config names to the source of data that it stands for."""

from __future__ import annotations

from pathlib import Path

from evernas.data.folder import FolderSource
from evernas.data.source import Source


def open_source(address: str, scratch: Path) -> Source:
    """The source at an absolute path or s3:// address; `scratch` is a folder for what is being read.

    UsageError for an address that cannot be one; the source itself is not looked at.
    """
    if "://" not in address:
        return FolderSource(Path(address))
    from evernas.data.bucket import BucketSource
    from evernas.storage.s3 import S3Address

    return BucketSource(S3Address.parse(address), scratch)
