"""A prefix of an S3 bucket as a source of data: listing, looking up and fetching objects; imported only for s3://."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from botocore.exceptions import BotoCoreError

from evernas.data.source import (
    ChangedWhileReadError,
    RefusedObjectError,
    Source,
    SourceObject,
    Stamp,
    UncertainError,
    is_data,
)
from evernas.errors import EvernasError, UsageError
from evernas.storage.answers import FAILURES, NOT_FOUND, status_of
from evernas.storage.s3 import S3Address, connect

# Whole fetches of one object whose body breaks off or is not what was sent; the requests have retries of their own.
FETCHES = 5
PAUSE_S = 0.2
FORBIDDEN, CHANGED = 403, 412
_CHUNK = 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")


class _BrokenBodyError(Exception):
    """A body that is not the one that the server has; the text says how it differs."""


class BucketSource(Source):
    """The objects under a prefix.

    A listing may lag behind or lack objects, so what it lacks is looked up by name. An object is fetched whole, into
    a file without a name in `scratch`, only if it still has the ETag of the listing, and checked on arrival: length,
    the server's checksum if it has one, and the ETag where it is the bytes' MD5.
    """

    lists_all = False
    is_near = False

    def __init__(self, address: S3Address, scratch: Path, client: Any = None) -> None:
        self.address = address
        self._scratch = scratch
        self._client = connect(address) if client is None else client
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        self.url = f"s3://{address.bucket}/{self._prefix}"

    def name_of(self, bucket: str, key: str) -> str | None:
        is_mine = bucket == self.address.bucket and key.startswith(self._prefix)
        return key.removeprefix(self._prefix) if is_mine else None

    def refuse_missing(self) -> None:
        try:
            self._client.list_objects_v2(Bucket=self.address.bucket, Prefix=self._prefix, MaxKeys=1)
        except FAILURES as error:
            self._refuse_source(error)

    def objects(self) -> list[SourceObject]:
        found: list[SourceObject] = []
        unfinished = False
        try:
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.address.bucket, Prefix=self._prefix):
                # An answer without its body reads as an empty listing that does not say whether it is all.
                unfinished = page.get("IsTruncated") is not False
                for about in page.get("Contents", []):
                    name = about["Key"].removeprefix(self._prefix)
                    if is_data(name):
                        found.append(_object(name, about["Key"], about["Size"], about["ETag"], about["LastModified"]))
        except FAILURES as error:
            self._refuse_source(error)
        if unfinished:
            raise EvernasError(
                f"The listing of {self.url} broke off: there is more, or its last answer was cut. Nothing was "
                "taken in; check the server, then run again."
            )
        return sorted(found, key=lambda item: item.name)

    def look(self, name: str) -> SourceObject | None:
        key = self._prefix + name
        try:
            about = self._client.head_object(Bucket=self.address.bucket, Key=key)
        except FAILURES as error:
            status = status_of(error)
            if status == NOT_FOUND:
                return None
            if status == FORBIDDEN:
                raise UncertainError(
                    f"{self.url}{name} is not listed, and the server answers 403, which it also does for a missing "
                    "object if the credentials may not list the whole bucket: its rows are kept. Grant s3:ListBucket "
                    "without a condition on the prefix, or restore s3:GetObject."
                ) from None
            self._refuse(name, error)
        return _object(name, key, about["ContentLength"], about["ETag"], about["LastModified"])

    def open(self, item: SourceObject) -> BinaryIO:
        broken = ""
        for attempt in range(FETCHES):
            time.sleep(PAUSE_S * (2**attempt - 1))
            self._scratch.mkdir(parents=True, exist_ok=True)
            file: BinaryIO = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115
            try:
                self._fetch(item, file)
                file.seek(0)
                return file
            except _BrokenBodyError as error:
                file.close()
                broken = str(error)
            except BaseException:
                file.close()
                raise
        raise EvernasError(
            f"{self.url}{item.name} could not be read in {FETCHES} tries: {broken}. Check the server and the network, "
            "then run again."
        )

    def stamp_of(self, file: BinaryIO, item: SourceObject) -> Stamp:
        return item.stamp

    def refuse_if_changed(self, file: BinaryIO, before: Stamp) -> None:
        """Never: what was fetched is one version."""

    def _fetch(self, item: SourceObject, file: BinaryIO) -> None:
        size, etag = item.stamp[:2]
        try:
            answer = self._client.get_object(
                Bucket=self.address.bucket, Key=item.place, IfMatch=f'"{etag}"', ChecksumMode="ENABLED"
            )
        except FAILURES as error:
            self._refuse_object(item, error)
        if answer["ETag"].strip('"') != etag:
            raise ChangedWhileReadError("It was replaced after it was listed: the next run reads it.")
        md5, length = hashlib.md5(usedforsecurity=False), 0
        try:
            for chunk in iter(lambda: answer["Body"].read(_CHUNK), b""):
                file.write(chunk)
                md5.update(chunk)
                length += len(chunk)
        # Bodies that break off, stall, or do not have the checksum that was sent with them.
        except BotoCoreError as error:
            raise _BrokenBodyError(str(error)) from None
        if length != size:
            raise _BrokenBodyError(f"{length} bytes came, the listing says {size}")
        if _is_md5(str(etag), answer) and md5.hexdigest() != etag:
            raise _BrokenBodyError(f"the bytes have the MD5 {md5.hexdigest()}, the ETag is {etag}")

    def _refuse_object(self, item: SourceObject, error: Exception) -> NoReturn:
        status = status_of(error)
        if status == NOT_FOUND:
            raise FileNotFoundError(item.name) from None
        if status == CHANGED:
            raise ChangedWhileReadError("It was replaced after it was listed: the next run reads it.") from None
        if status == FORBIDDEN:
            raise RefusedObjectError(
                f"The server refuses to give it ({_code(error)}): grant s3:GetObject and the key it is encrypted with, "
                "or restore it from the archive."
            ) from None
        self._refuse(item.name, error)

    def _refuse_source(self, error: Exception) -> NoReturn:
        if status_of(error) in (NOT_FOUND, FORBIDDEN):
            raise UsageError(
                f"data.source is {self.url}, which cannot be listed ({_code(error)}): check the bucket, the endpoint "
                "and that the credentials have s3:ListBucket."
            ) from None
        self._refuse("", error)

    def _refuse(self, name: str, error: Exception) -> NoReturn:
        raise EvernasError(
            f"{self.url}{name} could not be read ({error}): nothing was taken in; check the server, the network and "
            "the rights of the credentials, then run again."
        ) from error


def _object(name: str, key: str, size: int, etag: str, modified: Any) -> SourceObject:
    return SourceObject(name, (int(size), etag.strip('"'), int(modified.timestamp())), key)


def _is_md5(etag: str, answer: Any) -> bool:
    """Whether an ETag is the MD5 of the bytes: not of an upload in parts, nor under a key of the owner's."""
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    return _MD5.fullmatch(etag) is not None and not encrypted


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", "")) or str(error)
