"""The one request that is made a thousand times a second, as plain ASGI: body within its limits, receiver, answer."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from evernas.config_triggers import LimitConfig
from evernas.triggers.events import RefusedError
from evernas.triggers.metrics import Metrics
from evernas.triggers.receiver import Receiver
from evernas.triggers.sources import Request

LOG = logging.getLogger("evernas.triggers")
PREFIX = "/v1/events/"
# After these the rest of the body is not read, so the connection cannot be used again.
CLOSING = (408, 413)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


class ClientGoneError(Exception):
    """The client has closed the connection before its body was complete: nobody waits for an answer."""


class HotPath:
    """Answers posts of events itself and gives everything else to the application."""

    def __init__(self, receiver: Receiver, metrics: Metrics, limits: LimitConfig, app: Asgi) -> None:
        self._receiver = receiver
        self._metrics = metrics
        self._limits = limits
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        name, started = scope["path"][len(PREFIX) :], time.perf_counter()
        try:
            answer, status = await self._receive(name, scope, receive), 202
        except RefusedError as refused:
            answer, status = {"error": refused.sentence}, refused.status
            self._metrics.refused(name if name in self._receiver.sources else "", status)
            LOG.info("refused", extra={"source": name[:60], "status": status, "reason": refused.sentence})
        except ClientGoneError:
            return
        await _send(send, status, answer)
        self._metrics.requests.observe(time.perf_counter() - started)

    async def _receive(self, name: str, scope: Message, receive: Receive) -> dict[str, Any]:
        client = scope.get("client")
        source = self._receiver.admit(name, client[0] if client else "")
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        body = await self._body(headers, receive)
        return await self._receiver.receive(source, Request(headers, body, scope["scheme"]))

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body; RefusedError 413 or 408 for one that is too large or comes too slowly."""
        limits = self._limits
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and (len(length) > 12 or int(length) > limits.body_bytes):
            raise self._too_large()
        body: bytes = b""
        late_at = time.monotonic() + limits.body_s
        while True:
            # The protocol wakes this with an empty part where nothing comes.
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            body += message.get("body", b"")
            if len(body) > limits.body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return body
            if time.monotonic() > late_at:
                raise RefusedError(408, f"The body did not come within {limits.body_s:g} s.")

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"The body is larger than {self._limits.body_bytes} bytes.")


async def _send(send: Send, status: int, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in CLOSING:
        headers.append((b"connection", b"close"))
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b"Signature"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
