"""One page over HTTP: from the very address that is given, and within one time limit for all of it."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTP_PORT, HTTPS_PORT, HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

LONGEST_S = 5.0
MOST_BYTES = 16_000_000


class NoPageError(Exception):
    """There is no page; the text says why, and holds nothing of the address, nor of what its server says."""


def page(url: str, longest_s: float = LONGEST_S) -> str:
    """The text at an http or https address. NoPageError for another answer than 200, so for a redirect too.

    A limit for each wait alone would let a server that sends a byte now and then hold whoever asks for hours.
    """
    connection, path = _connection(url, longest_s)
    found: list[tuple[int, bytes] | Exception] = []
    sockets: list[socket.socket] = []

    def ask() -> None:
        try:
            connection.connect()
            sockets.append(connection.sock)
            connection.request("GET", path)
            answer = connection.getresponse()
            found.append((answer.status, answer.read(MOST_BYTES)))
        except Exception as error:  # noqa: BLE001 - it is told below, in the thread that asked
            found.append(error)
        finally:
            connection.close()

    asking = threading.Thread(target=ask, name="asking", daemon=True)
    asking.start()
    asking.join(longest_s)
    if not found:
        _break_off(sockets)
        raise NoPageError(f"does not answer in full within {longest_s:g} s: is the way to it open from here?")
    if isinstance(found[0], Exception):
        raise NoPageError(f"does not answer ({_why(found[0])}): is the way to it open from here?")
    status, body = found[0]
    if 300 <= status < 400:
        raise NoPageError(f"answers {_named(status)} and sends on to another address, which is not asked")
    if status != HTTPStatus.OK:
        raise NoPageError(f"refuses with {_named(status)}")
    return body.decode("utf-8", "replace")


def _connection(url: str, longest_s: float) -> tuple[HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = SplitResult("", "", "", "", ""), None, None
    kind = {"http": HTTPConnection, "https": HTTPSConnection}.get(parts.scheme)
    usual = HTTPS_PORT if parts.scheme == "https" else HTTP_PORT
    if kind is None or host is None:
        raise NoPageError("is no address: write http://host:port/metrics")
    if "@" in parts.netloc:
        raise NoPageError("holds a user's name, which is not sent: leave it out, and open the page to this machine")
    query = f"?{parts.query}" if parts.query else ""
    try:
        # The port is told in any case: without one, the last part of an IPv6 address would be taken for it.
        return kind(host, port or usual, timeout=longest_s), f"{parts.path or '/'}{query}"
    except (ValueError, HTTPException):
        raise NoPageError("is no address: write http://host:port/metrics") from None


def _break_off(sockets: list[socket.socket]) -> None:
    """End the wait of another thread, which closes them then; the connection itself lets go of them before the body."""
    for waiting in sockets:
        with suppress(OSError):
            waiting.shutdown(socket.SHUT_RDWR)


def _why(error: Exception) -> str:
    """The kind of an error: its own text may name the address."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, socket.gaierror):
        return "its name is not known here"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return "it speaks no HTTP" if isinstance(error, HTTPException) else type(error).__name__


def _named(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)
