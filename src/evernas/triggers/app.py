"""The receiver's HTTP interface: routes, their OpenAPI document, and how a refusal is said; nothing is decided here."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from evernas import __version__
from evernas.config_triggers import LimitConfig
from evernas.triggers import sources
from evernas.triggers.events import RefusedError
from evernas.triggers.metrics import Metrics
from evernas.triggers.receiver import Receiver

LOG = logging.getLogger("evernas.triggers")
JSON = "application/json"
# After these the rest of the body is not read, so the connection cannot be used again.
CLOSING = (408, 413)
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
Ready = Callable[[], Awaitable[str | None]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_app(receiver: Receiver, metrics: Metrics, limits: LimitConfig, ready: Ready, lifespan: Lifespan) -> FastAPI:
    """The application. The hot path takes the raw request: nothing is parsed before it is proven."""
    app = FastAPI(
        title="evernas triggers",
        version=__version__,
        description="Receives events that ask for a run. Each source proves itself as its config says.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(HTTPException, _say_http)

    @app.post("/v1/events/{source}", status_code=202, responses=RESPONSES, openapi_extra=BODY, response_class=Response)
    async def receive(source: str, request: Request) -> Response:
        """Receive events of a source."""
        try:
            admitted = receiver.admit(source, request.client.host if request.client else "")
            body = await _body(request, limits)
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
            answer = await receiver.receive(admitted, sources.Request(headers, body, request.scope["scheme"]))
        except RefusedError as refused:
            metrics.refused(source if source in receiver.sources else "", refused.status)
            LOG.info("refused", extra={"source": source[:60], "status": refused.status, "reason": refused.sentence})
            return _refusal(refused)
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(json.dumps(answer), 202, media_type=JSON)

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
        return Response(await asyncio.to_thread(metrics.text), media_type="text/plain; version=0.0.4")

    return app


async def _body(request: Request, limits: LimitConfig) -> bytes:
    """The whole body; RefusedError 413 or 408 for one that is too large or comes too slowly."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and (len(length) > 12 or int(length) > limits.body_bytes):
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_s):
            return await _read(request.stream(), limits)
    except TimeoutError:
        raise RefusedError(408, f"The body did not come within {limits.body_s:g} s.") from None


async def _read(stream: AsyncIterator[bytes], limits: LimitConfig) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in stream:
        size += len(part)
        if size > limits.body_bytes:
            raise _too_large(limits)
        parts.append(part)
    return b"".join(parts)


def _too_large(limits: LimitConfig) -> RefusedError:
    return RefusedError(413, f"The body is larger than {limits.body_bytes} bytes.")


def _refusal(refused: RefusedError) -> Response:
    headers = {}
    if refused.status in CLOSING:
        headers["connection"] = "close"
    if refused.status in (429, 503):
        headers["retry-after"] = "1"
    if refused.status == 401:
        headers["www-authenticate"] = "Signature"
    return Response(json.dumps({"error": refused.sentence}), refused.status, headers, JSON)


async def _say_http(request: Request, error: Exception) -> Response:
    """The framework's own refusals, in the form of ours."""
    assert isinstance(error, HTTPException)
    return Response(json.dumps({"error": str(error.detail)}), error.status_code, error.headers, JSON)
