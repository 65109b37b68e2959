"""Events of the other sources: CloudEvents, GitHub, MLflow's registry, and the plain signed post."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from evernas.digest import digest_bytes
from evernas.triggers.events import Event, RefusedError, mapping, parse_json, text
from evernas.triggers.signatures import GITHUB_EVENT, Headers

STRUCTURED = "application/cloudevents+json"


def plain(document: Any, message: str) -> list[Event]:
    """The plain signed post: {"bucket", "key", "label", "version"}; the signed id is the event's."""
    body = mapping(document, "The body")
    return [
        Event(message, text(body, "version", ""), text(body, "bucket"), text(body, "key", ""), text(body, "label", ""))
    ]


def cloudevent(headers: Headers, content_type: str, body: bytes, signed: bool) -> list[Event]:
    """A CloudEvent 1.0 in structured or binary form.

    Binary attributes are headers, which a signature over the body does not cover: a signed source takes the structured
    form only.
    """
    if content_type == STRUCTURED:
        return [_cloudevent(mapping(parse_json(body), "The body"))]
    if content_type.startswith("application/cloudevents"):
        raise RefusedError(415, "Batches of CloudEvents are not accepted: send them one by one.")
    if signed:
        raise RefusedError(415, f"The signature covers no headers: send the structured form, {STRUCTURED}.")
    return [
        _cloudevent(
            {name[3:]: unquote(value, errors="replace") for name, value in headers.items() if name[:3] == "ce-"}
        )
    ]


def _cloudevent(attributes: dict[str, Any]) -> Event:
    if text(attributes, "specversion") != "1.0":
        raise RefusedError(400, "specversion is not 1.0, the version of CloudEvents that is accepted.")
    version = text(attributes, "sequence", "")
    return Event(
        text(attributes, "id"), version, text(attributes, "source"), text(attributes, "subject", ""), _kind(attributes)
    )


def _kind(attributes: dict[str, Any]) -> str:
    kind = text(attributes, "type")
    if not kind:
        raise RefusedError(400, "type is empty, which no CloudEvent may be.")
    return kind


def github(headers: Headers, document: Any, body: bytes) -> list[Event]:
    """A GitHub webhook; none for the ping at its set-up.

    The delivery's id is a header and not signed: a replay could change it. The signed body is the event's id.
    """
    payload = mapping(document, "The body")
    name = headers.get(GITHUB_EVENT, "")
    if name == "ping":
        return []
    if not name or not name.isascii() or not name.replace("_", "").isalnum():
        raise RefusedError(400, "X-GitHub-Event names no event.")
    repository = text(mapping(payload.get("repository"), "repository"), "full_name")
    return [Event(digest_bytes(body), text(payload, "after", ""), repository, text(payload, "ref", ""), name)]


def mlflow(document: Any, delivery: str) -> list[Event]:
    """A webhook of MLflow's model registry: the model, and the alias or version that changed."""
    payload = mapping(document, "The body")
    label = f"{text(payload, 'entity')}.{text(payload, 'action')}"
    data = mapping(payload.get("data"), "data")
    which = text(data, "alias", "") or text(data, "version", "")
    return [Event(delivery, text(data, "version", ""), text(data, "name", ""), which, label)]
