"""Bytes by key, in a folder or in a bucket, with create-only writes; nothing here knows what they mean."""

from evernas.storage.files import (
    LARGE_BYTES,
    AlreadyExists,
    FileStorage,
    LeftUpload,
    Refused,
    Storage,
    TooLarge,
    check_key,
    sync_folder,
)

__all__ = [
    "LARGE_BYTES",
    "AlreadyExists",
    "FileStorage",
    "LeftUpload",
    "Refused",
    "Storage",
    "TooLarge",
    "check_key",
    "sync_folder",
]
