"""Large files to and from S3: sent in parts and fetched in pieces, in memory that does not grow with them.

What was sent becomes an object with the last request alone: until then, whatever fails, the key holds what it held.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from evernas.errors import EvernasError, IntegrityError
from evernas.storage.answers import BROKEN_BODIES, CONFLICT, FAILURES, FORBIDDEN, LACKING, NOT_FOUND, TAKEN, status_of
from evernas.storage.files import LARGE_BYTES, LeftUpload

# S3 takes no more of one object.
MOST_PARTS = 10_000
# Parts that are on their way, and in memory, at the same time.
AT_ONCE = 4
# Beside what botocore repeats by itself: no answer, 5xx, and being asked to slow down.
TRIES, PAUSE_S = 8, 0.1
CHUNK_BYTES = 2**20
_TORN = ("BadDigest", "IncompleteBody", "RequestTimeout")
_MD5 = re.compile(r"[0-9a-f]{32}")


class TakenError(Exception):
    """The key that was to be created is there already."""


class UnsettledError(Exception):
    """The answer to the last request was lost, and the key does not hold what was sent."""


def send_file(client: Any, place: dict[str, str], file: BinaryIO, digest: str | None, create: bool) -> int:
    """Set an object, named by its Bucket and Key, to an open file's bytes; how many there are.

    TakenError if the object is there and it was to be created: the server looks at the last request. One that cannot
    look is told to go on, so `create` is for keys that are named for their bytes. IntegrityError if the bytes have
    another `digest` than this, or change on the way. UnsettledError, and botocore's FAILURES, as they come.
    """
    size = os.fstat(file.fileno()).st_size
    for attempt in range(TRIES):
        try:
            if size <= LARGE_BYTES or not _sent_in_parts(client, place, file, size, digest, create):
                _sent_whole(client, place, file, size, digest, create)
            return size
        except ClientError as error:
            # Another write of the key was under way, and neither it nor this one need have won: S3 wants all again.
            if status_of(error) != CONFLICT or attempt == TRIES - 1:
                raise
        time.sleep(PAUSE_S * 2**attempt)
    raise AssertionError("the last try returns or raises")


def _sent_whole(client: Any, place: dict[str, str], file: Any, size: int, digest: str | None, create: bool) -> None:
    """In one request, which botocore reads from the file."""
    file.seek(0)
    if digest is not None and hashlib.file_digest(file, "sha256").hexdigest() != digest:
        raise _changed(file.name)
    file.seek(0)
    condition = {"IfNoneMatch": "*"} if create else {}
    try:
        client.put_object(**place, Body=file, ContentLength=size, **condition)
    except ClientError as error:
        if create and status_of(error) == TAKEN:
            raise TakenError from None
        raise


def _sent_in_parts(
    client: Any, place: dict[str, str], file: BinaryIO, size: int, digest: str | None, create: bool
) -> bool:
    """Whether it was sent; False where the server knows no parts."""
    try:
        # Sent again by botocore if its answer is lost: then the first of two uploads is left, without a part.
        upload = {**place, "UploadId": client.create_multipart_upload(**place)["UploadId"]}
    except ClientError as error:
        if status_of(error) in LACKING:
            return False
        raise
    try:
        parts = _sent_parts(client, upload, file, size, digest)
        _complete(client, upload, parts, size, create)
    except BaseException:
        # What failed is told, not that its parts could not be taken away: `evernas gc` finds those.
        with contextlib.suppress(*FAILURES):
            abort(client, upload)
        raise
    return True


def _sent_parts(
    client: Any, upload: dict[str, str], file: BinaryIO, size: int, digest: str | None
) -> list[dict[str, Any]]:
    each = max(LARGE_BYTES, -(-size // MOST_PARTS))
    whole, sent = hashlib.sha256(), list[Future[str]]()
    free, failed = threading.Semaphore(AT_ONCE), threading.Event()

    def done(future: Future[str]) -> None:
        if future.cancelled() or future.exception() is not None:
            failed.set()
        free.release()

    file.seek(0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(1, -(-size // each) + 1):
            free.acquire()
            if failed.is_set():
                break
            data = file.read(min(each, size - (number - 1) * each))
            whole.update(data)
            future = pool.submit(_send_part, client, upload, number, data)
            del data
            future.add_done_callback(done)
            sent.append(future)
    etags = [future.result() for future in sent]
    if (whole.hexdigest() != digest and digest is not None) or os.fstat(file.fileno()).st_size != size:
        raise _changed(file.name)
    return [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]


def _send_part(client: Any, upload: dict[str, str], number: int, data: bytes) -> str:
    """The ETag of a part of which the server has these bytes."""
    md5 = hashlib.md5(data, usedforsecurity=False)
    summed = base64.b64encode(md5.digest()).decode()
    for attempt in range(TRIES):
        try:
            answer = client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=summed)
            etag = str(answer["ETag"])
            # A server that does not check what came tells what it has.
            if not _is_md5(etag, answer) or etag.strip('"') == md5.hexdigest():
                return etag
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _TORN or attempt == TRIES - 1:
                raise
        time.sleep(PAUSE_S * 2**attempt)
    raise EvernasError(
        f"Part {number} of {upload['Key']} arrived as other bytes in {TRIES} tries: check the network and what lies "
        "between this machine and the server, then give the same command again."
    )


def _complete(client: Any, upload: dict[str, str], parts: Sequence[dict[str, Any]], size: int, create: bool) -> None:
    condition = {"IfNoneMatch": "*"} if create else {}
    while True:
        try:
            client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **condition)
            return
        except ClientError as error:
            status = status_of(error)
            if condition and status in LACKING:
                condition = {}
                continue
            if create and status == TAKEN:
                raise TakenError from None
            if status != NOT_FOUND:
                raise
        # Completed by a first try whose answer was lost, or aborted by somebody.
        _refuse_other(client, upload, parts, size)
        return


def _refuse_other(client: Any, upload: dict[str, str], parts: Sequence[dict[str, Any]], size: int) -> None:
    """UnsettledError unless the object is what these parts make."""
    try:
        there = client.head_object(Bucket=upload["Bucket"], Key=upload["Key"])
    except ClientError:
        raise UnsettledError from None
    sums = [str(part["ETag"]).strip('"') for part in parts]
    if all(map(_MD5.fullmatch, sums)):
        joined = hashlib.md5(b"".join(map(bytes.fromhex, sums)), usedforsecurity=False).hexdigest()
        if there["ETag"].strip('"') == f"{joined}-{len(sums)}" and there["ContentLength"] == size:
            return
    raise UnsettledError


def abort(client: Any, upload: dict[str, str]) -> None:
    """End an upload, so that none of its parts is left: a part that was on its way may come after the first abort."""
    for attempt in range(TRIES):
        try:
            client.abort_multipart_upload(**upload)
            if not client.list_parts(**upload).get("Parts"):
                return
        except ClientError as error:
            # Gone; or one may not look, and has done what one may.
            if status_of(error) in (NOT_FOUND, FORBIDDEN):
                return
            raise
        time.sleep(PAUSE_S * 2**attempt)


def left_uploads(client: Any, bucket: str, prefix: str) -> Iterator[LeftUpload]:
    """The uploads of keys with a prefix that are under way, or were left. botocore's FAILURES as they come."""
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
        said = page["ResponseMetadata"]["HTTPHeaders"].get("date")
        # By the server's clock, where it tells it.
        now = datetime.now(tz=UTC) if said is None else parsedate_to_datetime(said)
        for about in page.get("Uploads", []):
            upload = {"Bucket": bucket, "Key": about["Key"], "UploadId": about["UploadId"]}
            try:
                pages = list(client.get_paginator("list_parts").paginate(**upload))
            except ClientError as error:
                # Completed or aborted since.
                if status_of(error) == NOT_FOUND:
                    continue
                raise
            held = sum(part["Size"] for parts in pages for part in parts.get("Parts", []))
            yield LeftUpload(about["Key"], about["UploadId"], (now - about["Initiated"]).total_seconds(), held)


def fetch_to(client: Any, place: dict[str, str], file: Any) -> str:
    """Write an object's bytes into an empty file; their SHA-256.

    A body that breaks off is gone on with where it broke, if the object is still the same, and begun anew if not. As
    long as bytes come it goes on; after TRIES without any, what broke last is raised. EvernasError if it is another
    object TRIES times.
    """
    found, have, etag, tries, others = hashlib.sha256(), 0, "", 0, 0
    while True:
        before = have
        try:
            rest = {"Range": f"bytes={have}-", "IfMatch": etag} if have else {}
            answer = client.get_object(**place, **rest)
            if have and "ContentRange" not in answer:
                found, have = _emptied(file)
            elif have and answer["ETag"] != etag:
                # The rest of another object, from a server that heeds no condition.
                answer["Body"].close()
                others += 1
                if others == TRIES:
                    raise EvernasError(
                        f"{place['Key']} was another object each time that the rest of it was asked for: wait until "
                        "nobody writes it, then give the same command again."
                    )
                found, have = _emptied(file)
                continue
            etag = answer["ETag"]
            for chunk in _chunks(answer["Body"]):
                file.write(chunk)
                found.update(chunk)
                have += len(chunk)
            return found.hexdigest()
        except (ClientError, *BROKEN_BODIES) as error:
            # Another object has come under the key since.
            changed = bool(before) and status_of(error) == TAKEN
            tries = 0 if have > before else tries + 1
            if tries == TRIES or (isinstance(error, ClientError) and not changed):
                raise
            if changed:
                found, have = _emptied(file)
        time.sleep(PAUSE_S * 2**tries)


def _chunks(body: Any) -> Iterator[bytes]:
    while chunk := body.read(CHUNK_BYTES):
        yield chunk


def _emptied(file: Any) -> tuple[Any, int]:
    file.seek(0)
    file.truncate()
    return hashlib.sha256(), 0


def _is_md5(etag: str, answer: Any) -> bool:
    """Whether a part's ETag is the MD5 of its bytes: not under a key of the owner's."""
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer
    return _MD5.fullmatch(etag.strip('"')) is not None and not encrypted


def _changed(name: str) -> IntegrityError:
    return IntegrityError(f"{name} changed while it was sent: give the same command again.")
