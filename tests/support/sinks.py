"""A sink of events that may be told to fail, and entries of a journal for it to hear of."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evernas.registry.entries import Entry, Kind
from evernas.state.runs import now
from small_project import Place

SECRET = "a-secret-of-the-sink-0123456789"


@dataclass
class Post:
    """A post as the sink got it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Sink:
    """A web server that keeps what it is posted. `answer` says with what status; None cuts the connection instead.

    It keeps the post before it answers: one that fails may have been heard all the same.
    """

    port: int = 0
    posts: list[Post] = field(default_factory=list)
    answer: Callable[[int], int | None] = lambda number: 204
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [post.event["id"] for post in self.posts]


@contextmanager
def listening() -> Iterator[Sink]:
    """A sink that listens on this machine."""
    made = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.posts.append(Post(self.path, headers, body))
            status = made.answer(len(made.posts))
            if status is None:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A connection that was cut on purpose is no failure of the test.
    server.handle_error = lambda request, address: None  # type: ignore[method-assign]
    made.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def flaky(seed: int) -> Callable[[int], int | None]:
    """Half of the posts fail, by a status or by a connection that is cut after the post was heard."""
    rng = random.Random(seed)
    return lambda number: rng.choice([204, 204, 200, 500, 503, None])


def entry(place: Place, number: int, kind: Kind = "promotion", device: str = "laptop") -> Entry:
    """An entry of the journal, claimed."""
    made = Entry(
        number=number,
        device=device,
        bundle=f"{number:064x}",
        architecture=None,
        run=f"run-{number}",
        verdict="v" * 64,
        model=f"models:/evernas-{place.project}/{number}",
        promoted_at=now(),
        token=f"{number:064x}",
        kind=kind,
        previous=max(number - 1, 0),
    )
    return place.journal.claim(made)
