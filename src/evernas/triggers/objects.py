"""Events about objects in a store: EventBridge, and S3's own notifications as S3, MinIO, SNS and SQS carry them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

from evernas.digest import digest_bytes
from evernas.triggers.events import MOST_EVENTS, Event, RefusedError, mapping, text

CREATED, REMOVED, OTHER = "created", "removed", "other"


def eventbridge(document: Any) -> list[Event]:
    """The event of an EventBridge delivery, `source: aws.s3`."""
    envelope = mapping(document, "The body")
    if text(envelope, "source") != "aws.s3":
        raise RefusedError(400, "source is not aws.s3: let the rule pass events of S3 only.")
    detail = mapping(envelope.get("detail"), "detail")
    kind = text(envelope, "detail-type")
    label = {"Object Created": CREATED, "Object Deleted": REMOVED}.get(kind, OTHER)
    item = mapping(detail.get("object"), "detail.object")
    bucket = text(mapping(detail.get("bucket"), "detail.bucket"), "name")
    return [_event(bucket, text(item, "key"), label, item, "etag", "version-id", text(envelope, "time", ""))]


def notification(document: Any) -> list[Event]:
    """The events of an S3 notification; none for the test message that S3 sends when it is set up."""
    envelope = mapping(document, "The body")
    if envelope.get("Event") == "s3:TestEvent":
        return []
    records = envelope.get("Records")
    if not isinstance(records, list) or not 0 < len(records) <= MOST_EVENTS:
        raise RefusedError(400, f"Records is no list of 1 to {MOST_EVENTS} records.")
    return [_record(mapping(record, "A record")) for record in records]


def change(document: Any) -> list[Event]:
    """The events of a message of a queue or topic: S3's own notification, or EventBridge's."""
    return eventbridge(document) if isinstance(document, dict) and "detail" in document else notification(document)


def _record(record: dict[str, Any]) -> Event:
    name = text(record, "eventName").removeprefix("s3:")
    label = {"ObjectCreated": CREATED, "ObjectRemoved": REMOVED}.get(name.partition(":")[0], OTHER)
    about = mapping(record.get("s3"), "s3")
    item = mapping(about.get("object"), "s3.object")
    bucket = text(mapping(about.get("bucket"), "s3.bucket"), "name")
    # In these records, unlike EventBridge's, the key is encoded as in a form.
    key = unquote_plus(text(item, "key"), errors="replace")
    return _event(bucket, key, label, item, "eTag", "versionId", text(record, "eventTime", ""))


def _event(bucket: str, key: str, label: str, item: dict[str, Any], etag: str, version: str, moment: str) -> Event:
    """One change of one object is one event, by whatever way and however often it is told.

    The sequencer differs between two changes that leave the same bytes; an ETag alone would not.
    """
    sequencer = text(item, "sequencer", "")
    which = sequencer or "/".join((moment, text(item, version, ""), text(item, etag, "")))
    name = f"{bucket}/{key}"
    return Event(name if len(name) <= 150 else digest_bytes(name.encode("utf-8", "replace")), which, bucket, key, label)
