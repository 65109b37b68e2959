"""The storage interface on any S3-compatible server; imported only where a URL says s3://, since it needs boto3."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config

from evernas.errors import EvernasError, UnknownOutcome, UsageError
from evernas.storage.answers import BROKEN_BODIES, CONFLICT, FAILURES, FORBIDDEN, NOT_FOUND, TAKEN, status_of
from evernas.storage.files import (
    LARGE_BYTES,
    AlreadyExists,
    LeftUpload,
    Refused,
    Storage,
    check_key,
    refuse_other,
    too_large,
    written_whole,
)
from evernas.storage.parts import (
    TakenError,
    UnsettledError,
    abort,
    fetch_to,
    left_uploads,
    send_file,
)
from evernas.storage.traffic import Traffic

ATTEMPTS = 8
CONFLICT_PAUSE_S = 0.05
READ_PAUSE_S = 0.05
OPTIONS = ("endpoint", "region")


@dataclass(frozen=True)
class S3Address:
    """Where keys lie: `s3://bucket/prefix?endpoint=https://host:port&region=name`; credentials as boto3 finds them."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def parse(cls, url: str) -> S3Address:
        """The address that a URL names; UsageError says what is wrong with it."""
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        unknown = sorted(set(options) - set(OPTIONS))
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or unknown:
            raise UsageError(
                f"{url!r} is no address of an S3 bucket: write s3://bucket/prefix, and after a '?' only "
                f"{' and '.join(OPTIONS)}; credentials come from the environment."
            )
        prefix = parts.path.strip("/")
        if prefix:
            check_key(prefix)
        return cls(parts.netloc, prefix, *(options.get(name, [None])[0] for name in OPTIONS))


def connect(address: S3Address, read_timeout_s: float = 60.0) -> Any:
    """A boto3 client that retries what is worth retrying and never waits for ever."""
    return boto3.client(
        "s3",
        endpoint_url=address.endpoint,
        region_name=address.region,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=10,
            read_timeout=read_timeout_s,
            # Newer checksum trailers are refused by servers other than Amazon's.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class S3Storage(Storage):
    """Keys as objects under a prefix of a bucket.

    Create-only is `IfNoneMatch='*'`; `IfMatch` is not used, since servers were seen that let two racing writers win by
    it. What is written is read at once by every reader (S3 is strongly consistent).

    A create whose answer was lost is sent again by botocore and then meets its own object: AlreadyExists does not say
    whose the object is, so a claimant writes a token into it and reads it back.

    Files are sent in parts, in bounded memory, and come whole or not at all: the condition is asked with the last
    request. Of a server that knows no parts, or no such condition there, they ask what it does know.
    """

    def __init__(self, address: S3Address, client: Any = None) -> None:
        self.address = address
        self._client = connect(address) if client is None else client
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        self.traffic = Traffic()
        if client is None:
            self._client.meta.events.register("before-send.s3", self.traffic.sent)

    def __str__(self) -> str:
        return f"s3://{self.address.bucket}/{self.address.prefix}".rstrip("/")

    def read(self, key: str) -> bytes:
        return self._read(key, None)

    def read_within(self, key: str, largest: int) -> bytes:
        return self._read(key, largest)

    def _read(self, key: str, largest: int | None) -> bytes:
        for attempt in range(ATTEMPTS):
            try:
                answer = self._client.get_object(**self._object(key))
                # Of this very answer: another object may have come under the key since it was looked at.
                if largest is not None and answer["ContentLength"] > largest:
                    answer["Body"].close()
                    raise too_large(self, key, largest)
                data: bytes = answer["Body"].read()
                self.traffic.moved(read=len(data))
                return data
            except BROKEN_BODIES as error:
                # botocore repeats what got no answer; not an answer whose body was cut.
                if attempt == ATTEMPTS - 1:
                    self._refuse("read", key, error)
            except FAILURES as error:
                if self._is_missing(key, error):
                    raise KeyError(key) from None
                self._refuse("read", key, error)
            time.sleep(READ_PAUSE_S * 2**attempt)
        raise AssertionError("the last try returns or raises")

    def write(self, key: str, data: bytes) -> None:
        try:
            self._client.put_object(**self._object(key), Body=data)
        except FAILURES as error:
            self._refuse("written", key, error)
        self.traffic.moved(written=len(data))

    def create(self, key: str, data: bytes) -> None:
        for attempt in range(ATTEMPTS):
            try:
                self._client.put_object(**self._object(key), Body=data, IfNoneMatch="*")
                self.traffic.moved(written=len(data))
                return
            except FAILURES as error:
                status = status_of(error)
                if status == TAKEN:
                    raise AlreadyExists(f"The key {key!r} is taken already: read it, or use another key.") from None
                if status != CONFLICT or attempt == ATTEMPTS - 1:
                    self._refuse("created", key, error)
            # Another create of the key was under way, and neither it nor this one need have won: ask again.
            time.sleep(CONFLICT_PAUSE_S * 2**attempt)

    def list(self, prefix: str = "") -> list[str]:
        for attempt in range(ATTEMPTS):
            found = self._listed(prefix)
            if found is not None:
                return sorted(found)
            time.sleep(CONFLICT_PAUSE_S * 2**attempt)
        raise EvernasError(
            f"The listing of s3://{self.address.bucket}/{self._prefix}{prefix} broke off in {ATTEMPTS} tries: check "
            "the server and the network, then give the same command again."
        )

    def _listed(self, prefix: str) -> set[str] | None:
        """All keys with a prefix; None if an answer was cut: without its body botocore reads an empty one."""
        found: set[str] = set()
        last: dict[str, Any] = {}
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for last in pages.paginate(Bucket=self.address.bucket, Prefix=self._prefix + prefix):
                found.update(item["Key"].removeprefix(self._prefix) for item in last.get("Contents", []))
        except FAILURES as error:
            self._refuse("listed", prefix, error)
        return found if last.get("IsTruncated") is False else None

    def exists(self, key: str) -> bool:
        try:
            self._client.head_object(**self._object(key))
        except FAILURES as error:
            if self._is_missing(key, error):
                return False
            self._refuse("looked up", key, error)
        return True

    def age_s(self, key: str) -> float:
        try:
            answer = self._client.head_object(**self._object(key))
        except FAILURES as error:
            if self._is_missing(key, error):
                raise KeyError(key) from None
            self._refuse("looked up", key, error)
        moment = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        written: datetime = answer["LastModified"]
        return (moment - written).total_seconds()

    def delete(self, key: str) -> None:
        try:
            self._client.delete_object(**self._object(key))
        except FAILURES as error:
            self._refuse("deleted", key, error)

    def erase(self, key: str) -> None:
        self.delete(key)
        versions, markers = self._versions(key)
        self._delete_versions(key, [item for item in (*versions, *markers) if item["Key"] == self._prefix + key])

    def erase_versions(self, prefix: str) -> None:
        versions, markers = self._versions(prefix)
        self._delete_versions(prefix, [*(item for item in versions if not item["IsLatest"]), *markers])

    def _versions(self, prefix: str) -> tuple[Sequence[Any], Sequence[Any]]:
        """All versions of keys with a prefix, and all delete markers.

        They are listed to the end before any is deleted: each deletion makes another version of its key the current
        one. Markers are to go last: while one is the current version, it hides those that go.
        """
        versions, markers = list[Any](), list[Any]()
        last: dict[str, Any] = {}
        pages = self._client.get_paginator("list_object_versions")
        try:
            for last in pages.paginate(Bucket=self.address.bucket, Prefix=self._prefix + prefix):
                versions += last.get("Versions", [])
                markers += last.get("DeleteMarkers", [])
        except FAILURES as error:
            self._refuse("erased", prefix, error)
        if last.get("IsTruncated") is not False:
            raise UnknownOutcome(
                f"The listing of versions of {self}/{prefix} broke off: give the same command again to go on."
            )
        return versions, markers

    def _delete_versions(self, prefix: str, items: Sequence[Any]) -> None:
        try:
            for item in items:
                self._client.delete_object(Bucket=self.address.bucket, Key=item["Key"], VersionId=item["VersionId"])
        except FAILURES as error:
            self._refuse("erased", prefix, error)

    def keep(self, key: str, data: bytes) -> None:
        # Needs no right to read: what is there was written whole, under the name of its bytes.
        with contextlib.suppress(AlreadyExists):
            self.create(key, data)

    def read_file(self, key: str, path: Path, digest: str | None = None) -> None:
        try:
            with written_whole(path) as file:
                found = fetch_to(self._client, self._object(key), file)
                self.traffic.moved(read=file.tell())
                refuse_other(self, key, found, digest)
        except BROKEN_BODIES as error:
            self._refuse("read", key, error)
        except FAILURES as error:
            if self._is_missing(key, error):
                raise KeyError(key) from None
            self._refuse("read", key, error)

    def write_file(self, key: str, file: BinaryIO) -> None:
        self._send(key, file, None, create=False)

    def keep_file(self, key: str, file: BinaryIO, digest: str) -> None:
        # Whoever may not read sends it all, and is told at the end that it is there.
        with contextlib.suppress(Refused):
            if os.fstat(file.fileno()).st_size > LARGE_BYTES and self.exists(key):
                return
        self._send(key, file, digest, create=True)

    def _send(self, key: str, file: BinaryIO, digest: str | None, *, create: bool) -> None:
        try:
            self.traffic.moved(written=send_file(self._client, self._object(key), file, digest, create))
        except TakenError:
            return
        except UnsettledError:
            raise UnknownOutcome(
                f"{self}/{key} was sent in parts, and the answer to the last request was lost; it does not hold what "
                "was sent: give the same command again."
            ) from None
        except FAILURES as error:
            self._refuse("written", key, error)

    def left_uploads(self, prefix: str, older_than_s: float) -> Sequence[LeftUpload]:
        try:
            found = [*left_uploads(self._client, self.address.bucket, self._prefix + prefix)]
        except FAILURES as error:
            self._refuse("looked through for uploads that were left", prefix, error)
        mine = (replace(upload, key=upload.key.removeprefix(self._prefix)) for upload in found)
        return [upload for upload in mine if upload.age_s >= older_than_s]

    def abort_upload(self, upload: LeftUpload) -> None:
        place = {**self._object(upload.key), "UploadId": upload.id}
        try:
            abort(self._client, place)
        except FAILURES as error:
            self._refuse("rid of an upload", upload.key, error)

    def _object(self, key: str) -> dict[str, str]:
        check_key(key)
        return {"Bucket": self.address.bucket, "Key": self._prefix + key}

    def _is_missing(self, key: str, error: Exception) -> bool:
        """Whether a failure means that there is no such key.

        Who may list by prefix only is answered 403 for a key that is not there: then the listing tells.
        """
        status = status_of(error)
        if status != FORBIDDEN:
            return status == NOT_FOUND
        name = self._prefix + key
        try:
            page = self._client.list_objects_v2(Bucket=self.address.bucket, Prefix=name, MaxKeys=1)
        except FAILURES:
            return False
        # A cut answer says nothing, also not whether it is all.
        return "IsTruncated" in page and all(item["Key"] != name for item in page.get("Contents", []))

    def _refuse(self, act: str, key: str, error: Exception) -> NoReturn:
        where = f"s3://{self.address.bucket}/{self._prefix}{key}"
        status = status_of(error)
        if status is None or status >= 500 or status == CONFLICT:
            raise UnknownOutcome(
                f"{where} could not be {act} in {ATTEMPTS} tries ({error}): whether it was is not known; check the "
                "server and the network, then give the same command again."
            ) from error
        raise Refused(
            f"{where} could not be {act}: the server refuses it ({error}); check the bucket, the endpoint and the "
            "rights of the credentials."
        ) from error
