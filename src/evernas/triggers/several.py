"""One receiver for several projects: each has its sources, inbox and metrics; a request reaches one of them alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from evernas.triggers.app import make_app
from evernas.triggers.hotpath import PREFIX, Asgi, Message, Receive, Send
from evernas.triggers.metrics import text_of

if TYPE_CHECKING:
    from evernas.triggers.service import Service

OF_PROJECT = "/v1/projects/"


class Projects:
    """Gives `/v1/projects/<project>/events/<source>` to the project, and `/v1/events/<source>` to the only one.

    Where several projects are served, a source that two of them have is reached by the longer path alone.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = {service.project: service for service in services}
        # Of one project its own, so that its document is as it always was.
        self._rest: Asgi = (
            services[0].documented if len(services) == 1 else make_app(self._text, self._ready, self._lifespan)
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "POST" or not path.startswith((OF_PROJECT, PREFIX)):
            await self._rest(scope, receive, send)
            return
        project, source = self._addressed(path)
        if project is None:
            await _refuse(send, source)
            return
        await self._services[project].app({**scope, "path": f"{PREFIX}{source}"}, receive, send)

    def _addressed(self, path: str) -> tuple[str | None, str]:
        """The project and the source that a path means; no project, and a sentence, if that cannot be told."""
        if path.startswith(OF_PROJECT):
            project, _, rest = path[len(OF_PROJECT) :].partition("/")
            source = rest.removeprefix("events/")
            if project in self._services and rest.startswith("events/"):
                return project, source
            return None, "There is no such project, or no such path in it."
        source = path[len(PREFIX) :]
        having = [name for name, service in self._services.items() if source in service.receiver.sources]
        if len(self._services) == 1:
            having = list(self._services)
        if len(having) == 1:
            return having[0], source
        if having:
            return None, f"Several projects have this source: post to {OF_PROJECT}<project>/events/<source>."
        return None, "There is no such source."

    def _text(self) -> bytes:
        return text_of([service.metrics for service in self._services.values()])

    async def _ready(self) -> str | None:
        for name, service in self._services.items():
            problem = await service.ready()
            if problem is not None:
                return f"{name}: {problem}"
        return None

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for service in self._services.values():
                await stack.enter_async_context(service.lifespan(app))
            yield


async def _refuse(send: Send, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # The body is not read, so the connection cannot be used again.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})
