"""An HTTP proxy that counts what is asked of a server, and gives wrong answers where a test says so."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = 12


@dataclass
class Asked:
    """One request: its kind (list, head, get, put, post, delete), the key, empty for a listing, and what follows it."""

    kind: str
    key: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    """What the server answered; `cut` bytes of the body are withheld and the connection is closed."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int = 0
    stall: bool = False


Fault = Callable[[Asked, Answer], Answer]


@dataclass
class Proxy:
    """Its port, the requests so far, and the fault that answers pass through."""

    port: int
    asked: list[Asked] = field(default_factory=list)
    fault: Fault | None = None
    # What of a request's body comes to the server.
    torn: Callable[[Asked, bytes], bytes] | None = None
    # What is answered in the server's place, which then hears nothing.
    instead: Callable[[Asked], Answer | None] | None = None

    def counts(self) -> Counter[str]:
        return Counter(one.kind for one in self.asked)

    def keys(self, kind: str) -> list[str]:
        return sorted(one.key for one in self.asked if one.kind == kind)


def refusal(status: int, code: str) -> Answer:
    """An answer as S3 refuses."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    return Answer(status, {"Content-Type": "application/xml"}, body)


@contextlib.contextmanager
def faulty(target: int) -> Iterator[Proxy]:
    """A proxy of a local S3 server, path-style. Listings are cut into pages of 12 keys."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            parts = urlsplit(self.path)
            key = parts.path.lstrip("/").partition("/")[2]
            listing = self.command == "GET" and "list-type" in parse_qs(parts.query)
            kind = "list" if listing else self.command.lower()
            asked = Asked(kind, "" if listing else key, parts.query, dict(self.headers))
            with lock:
                proxy.asked.append(asked)
            path = f"{self.path}&max-keys={PAGE}" if listing and "max-keys" not in self.path else self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = None if proxy.instead is None else proxy.instead(asked)
            if answer is not None:
                self._send(answer)
                return
            if proxy.torn is not None:
                body = proxy.torn(asked, body)
            server = http.client.HTTPConnection("127.0.0.1", target, timeout=30)
            server.request(self.command, path, body, {**self.headers, "Content-Length": str(len(body))})
            got = server.getresponse()
            answer = Answer(got.status, dict(got.getheaders()), got.read())
            server.close()
            if proxy.fault is not None:
                answer = proxy.fault(asked, answer)
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding", "server"):
                    self.send_header(name, value)
            length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(answer.body[: len(answer.body) - answer.cut] if self.command != "HEAD" else b"")
                self.wfile.flush()
            if answer.stall:
                done.wait(10)
            self.close_connection = answer.cut > 0 or answer.stall

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    lock, done = threading.Lock(), threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        done.set()
        server.shutdown()
        server.server_close()
