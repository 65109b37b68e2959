"""HTTP with deadlines: a client that is slow with its headers, or sends too many, is cut off."""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LARGEST_HEADERS = 32_768


def with_deadline(header_s: float) -> type[asyncio.Protocol]:
    """The protocol with a deadline for all headers of a request, from its first byte or the start of the connection."""

    class Deadline(HttpToolsProtocol):
        _timer: TimerHandle | None = None
        _in_headers = True
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
            if in_headers and self._in_headers and self._unparsed > LARGEST_HEADERS and not self.transport.is_closing():
                self.send_400_response("Too many headers.")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_headers = True
            self._unparsed = 0
            if self._timer is None:
                self._arm()

        def on_headers_complete(self) -> None:
            self._in_headers = False
            self._disarm()
            super().on_headers_complete()

        def _arm(self) -> None:
            self._timer = self.loop.call_later(header_s, self._cut_off)

        def _disarm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _cut_off(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.abort()

    return Deadline
