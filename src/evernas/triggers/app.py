"""The receiver's HTTP interface: routes, their OpenAPI document, and how a refusal is said; nothing is decided here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from evernas import __version__
from evernas.triggers.hotpath import PREFIX
from evernas.triggers.signatures import GITHUB, GITHUB_EVENT, MLFLOW, STANDARD

JSON = "application/json"
REFUSALS = {
    400: "The body is not in the source's form.",
    401: "The request is not proven to come from the source, or too old.",
    403: "A secret without TLS, or a topic or address that is not allowed.",
    404: "There is no such source.",
    408: "The body came too slowly.",
    409: "The very same signed request was received before.",
    413: "The body is too large.",
    415: "The content type is not the source's.",
    429: "Too many requests of this client, or events of this source.",
    503: "The event could not be kept; send it again.",
}
SENTENCE = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
ACCEPTED = {
    "type": "object",
    "properties": {
        "kept": {"type": "integer", "description": "Events of the request; all are on disk."},
        "new": {"type": "integer", "description": "Those of them that were not known before."},
        "confirmed": {"type": "boolean", "description": "A subscription of SNS was confirmed."},
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"description": "All events of the request are on disk.", "content": {JSON: {"schema": ACCEPTED}}},
    **{code: {"description": what, "content": {JSON: {"schema": SENTENCE}}} for code, what in REFUSALS.items()},
}
BODY = {
    "requestBody": {
        "required": True,
        "description": "An event in the form of the source, with the proof of the source in the headers.",
        "content": {
            kind: {"schema": {"type": "object"}} for kind in (JSON, "application/cloudevents+json", "text/plain")
        },
    }
}
PROOFS = {
    STANDARD.id: "For signed and cloudevents: the sender's id of the request.",
    STANDARD.timestamp: "For signed and cloudevents: when it was signed, in seconds since 1970.",
    STANDARD.signature: "For signed and cloudevents: v1,<base64 HMAC-SHA256 of id.timestamp.body>; several by spaces.",
    GITHUB: "For github: sha256=<hexadecimal HMAC-SHA256 of the body>.",
    GITHUB_EVENT: "For github: the event's name.",
    MLFLOW.id: "For mlflow: the id of the delivery.",
    MLFLOW.timestamp: "For mlflow: when it was signed, in seconds since 1970.",
    MLFLOW.signature: "For mlflow: v1,<base64 HMAC-SHA256 of id.timestamp.body>.",
}
HEADERS = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "description": what, "schema": {"type": "string"}}
        for name, what in PROOFS.items()
    ]
}
# A source that signs needs no bearer secret, so the latter is one of two ways.
SECURITY: dict[str, list[dict[str, list[str]]]] = {"security": [{}, {"bearer": []}]}
SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "For eventbridge, minio and cloudevents: a secret, over TLS only.",
    }
}
Ready = Callable[[], Awaitable[str | None]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_app(metrics: Callable[[], bytes], ready: Ready, lifespan: Lifespan) -> FastAPI:
    """The application, to which HotPath gives all but the posts of events."""
    app = FastAPI(
        title="evernas triggers",
        version=__version__,
        description="Receives events that ask for a run. Each source proves itself as its config says.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(HTTPException, _say_http)

    @app.post(
        f"{PREFIX}{{source}}",
        status_code=202,
        responses=RESPONSES,
        openapi_extra={**BODY, **HEADERS, **SECURITY},
        response_class=Response,
    )
    async def receive(source: str) -> Response:
        """Receive events of a source."""
        raise AssertionError("HotPath stands before this route, which is here for the OpenAPI document")

    @app.get("/healthz", responses={200: {"content": {JSON: {}}}}, response_class=Response)
    async def healthz() -> Response:
        """The process answers."""
        return Response('{"alive": true}', media_type=JSON)

    @app.get("/readyz", responses={503: {"content": {JSON: {"schema": SENTENCE}}}}, response_class=Response)
    async def readyz() -> Response:
        """Events can be kept and acted on."""
        problem = await ready()
        if problem is None:
            return Response('{"ready": true}', media_type=JSON)
        return Response(json.dumps({"error": problem}), 503, media_type=JSON)

    @app.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
    async def series() -> Response:
        """What Prometheus reads."""
        return Response(await asyncio.to_thread(metrics), media_type="text/plain; version=0.0.4")

    document = app.openapi()
    document.setdefault("components", {})["securitySchemes"] = SCHEMES
    return app


async def _say_http(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in the form of ours."""
    assert isinstance(error, HTTPException)
    return Response(json.dumps({"error": str(error.detail)}), error.status_code, error.headers, JSON)
