"""HTTP with deadlines: a client that is slow with its headers, or sends too many, is cut off; a slow body is told of.

A request that comes whole, as nearly all do, costs no timer.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEADERS = 32_768
# While a body is not complete, the application is woken so often within its deadline, to look at the time.
LOOKS = 4


def with_deadlines(header_s: float, body_s: float) -> type[asyncio.Protocol]:
    """The protocol with a deadline for all headers of a request, from its first bytes or the start of the connection.

    The body's deadline is the application's: it gets an empty part of the body from time to time. Where it has answered
    already, a client that still sends is cut off.
    """

    class Deadlines(HttpToolsProtocol):
        _timer: TimerHandle | None = None
        _in_headers = True
        _in_body = False
        _unparsed = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._arm()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            # Bytes of a body in the same packet count too: the bound is on what is held before the headers are known.
            self._unparsed += len(data)
            in_headers = self._in_headers
            super().data_received(data)
            if self.transport.is_closing():
                return
            if in_headers and self._in_headers and self._unparsed > LARGEST_HEADERS:
                self.send_400_response("Too many headers.")
            elif (self._in_headers or self._in_body) and self._timer is None:
                self._arm()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_headers = True
            self._unparsed = 0

        def on_headers_complete(self) -> None:
            self._in_headers, self._in_body = False, True
            self._disarm()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._in_body = False
            self._disarm()
            super().on_message_complete()

        def _arm(self) -> None:
            self._timer = self.loop.call_later(header_s if self._in_headers else body_s / LOOKS, self._late)

        def _disarm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            self._timer = None
            if self.transport.is_closing():
                return
            if self._in_headers or self.cycle.response_complete:
                self.transport.abort()
                return
            self.cycle.message_event.set()
            self._arm()

    return Deadlines
