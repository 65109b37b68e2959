"""What a broken or hostile sender might send: random bytes and JSON, valid events gone wrong, proven or not."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import serving
from sns_messages import TOPIC, Amazon

TURN = 25
BEARER = "a-bearer-secret-0123456789"
ENVIRONMENT = {"LAKE_SECRET": serving.SECRET, "BEARER_SECRET": BEARER}
_RECORD = {
    "eventName": "s3:ObjectCreated:Put",
    "eventTime": "2026-01-01T00:00:00Z",
    "s3": {"bucket": {"name": "raw"}, "object": {"key": "watch%2Fa", "sequencer": "1", "eTag": "e", "versionId": "v"}},
}
VALID: dict[str, dict[str, Any]] = {
    "lake": {"bucket": "raw", "key": "watch/a", "label": "created", "version": "1"},
    "hub": {"ref": "refs/heads/main", "after": "c0ffee", "repository": {"full_name": "o/r"}},
    "registry": {
        "entity": "model_version_alias",
        "action": "created",
        "data": {"name": "m", "alias": "a", "version": "1"},
    },
    "minio": {"Records": [_RECORD, _RECORD]},
    "bus": {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": "2026-01-01T00:00:00Z",
        "detail": {"bucket": {"name": "raw"}, "object": {"key": "watch/a", "sequencer": "1"}},
    },
    "cloud": {"specversion": "1.0", "id": "e", "source": "raw", "subject": "watch/a", "type": "created"},
    "topic": {"Records": [_RECORD]},
}
KINDS = {
    "lake": "signed",
    "hub": "github",
    "registry": "mlflow",
    "minio": "minio",
    "bus": "eventbridge",
    "cloud": "cloudevents",
    "topic": "sns",
}
MORE: dict[str, dict[str, Any]] = {
    "minio": {"secrets": [{"env": "BEARER_SECRET"}]},
    "bus": {"secrets": [{"env": "BEARER_SECRET"}]},
    "cloud": {"authentication": "signature"},
    "topic": {"topics": [TOPIC], "secrets": []},
}
SOURCES = [
    {"name": name, "kind": kind, "secrets": [{"env": "LAKE_SECRET"}], "events_per_s": 1e9, **MORE.get(name, {})}
    for name, kind in KINDS.items()
]
HEADERS = [
    "content-type", "content-length", "content-encoding", "authorization", "webhook-id", "webhook-timestamp",
    "webhook-signature", "x-hub-signature-256", "x-github-event", "x-mlflow-delivery-id", "x-mlflow-timestamp",
    "x-mlflow-signature",
]  # fmt: skip
_TEXT = st.text(max_size=40) | st.sampled_from(
    ["\ud800", "\x00", "a" * 3000, "ü" * 500, "../../etc/passwd", "%00", "\u2028"]
)
_LEAF = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
_JSON = st.recursive(
    _LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4), max_leaves=8
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in children for found in _paths(child, (*path, key)))]


# What a header may hold on its way: Latin-1 without control characters, or what a scheme would nearly take.
_HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60) | st.sampled_from(
    ["v1,", "v1,=", "sha256=", "Bearer ", "1764115200", "²", "9" * 13, "nan", "application/json;;", "gzip"]
)


@cache
def amazon() -> Amazon:
    return Amazon()


@st.composite
def posts(draw: st.DrawFn) -> tuple[str, bytes, dict[str, str]]:
    """A source, a body for it, and the headers with it: mostly those that prove it."""
    name = draw(st.sampled_from(sorted(VALID)))
    body = draw(bodies(VALID[name]))
    if name == "topic":
        # The signature is in the body. What else is wrong with the message, it does not cover.
        message = amazon().message(Message=body.decode("utf-8", "replace"))
        body = draw(st.just(json.dumps(message).encode()) | bodies(message))
    return name, body, {**proof(name, body), **draw(st.just({}) | st.dictionaries(st.sampled_from(HEADERS), _HEADER))}


@st.composite
def bodies(draw: st.DrawFn, valid: dict[str, Any]) -> bytes:
    """Bytes that may be this document, something like it, or anything."""
    how = draw(st.sampled_from(["bytes", "json", "valid", "changed", "cut"]))
    if how == "bytes":
        return draw(st.binary(max_size=300))
    document: Any = copy.deepcopy(valid)
    if how == "json":
        document = draw(_JSON)
    elif how == "changed":
        *parents, last = draw(st.sampled_from(_paths(document)[1:]))
        owner = document
        for key in parents:
            owner = owner[key]
        if draw(st.booleans()):
            owner[last] = draw(_JSON)
        else:
            del owner[last]
    body = json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return body[: draw(st.integers(0, len(body)))] if how == "cut" else body


def proof(name: str, body: bytes) -> dict[str, str]:
    """Headers that prove a body, where headers do."""
    headers = serving.signed(body)
    if name == "topic":
        return {"content-type": "text/plain; charset=UTF-8"}
    if name == "hub":
        mac = hmac.new(serving.SECRET.encode(), body, hashlib.sha256).hexdigest()
        return {"content-type": "application/json", "x-hub-signature-256": f"sha256={mac}", "x-github-event": "push"}
    if name in ("minio", "bus"):
        return {"content-type": "application/json", "authorization": f"Bearer {BEARER}"}
    if name == "registry":
        renamed = {key.replace("webhook-", "x-mlflow-"): value for key, value in headers.items()}
        return {**renamed, "x-mlflow-delivery-id": renamed["x-mlflow-id"]}
    return {**headers, **({"content-type": "application/cloudevents+json"} if name == "cloud" else {})}


class Target:
    """The receiver's application in this process, with a real inbox; posts go through all of it but the socket."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        from evernas.config import load_config
        from evernas.state import Home
        from evernas.triggers.config_file import ConfigFile
        from evernas.triggers.service import Service, database_of
        from evernas.triggers.submission import create

        os.environ.update(ENVIRONMENT)
        limits = {"requests_per_s": 1e9, **limits}
        section = serving.triggers_config(sources=SOURCES, trusted_proxies=["127.0.0.1"], limits=limits)
        path, home = serving.write_config(folder / "evernas.yaml", section), Home(folder / "home")
        config = load_config(path)
        self.database = database_of(config, home)
        self.database.migrate()
        self.service = Service(ConfigFile(path, config), home, create(config, path, home.path), self.database)
        topics = self.service.receiver.sources["topic"].topics
        assert topics is not None
        topics._fetch = amazon().fetch
        self.statuses: Counter[int] = Counter()

    async def post(self, name: str, body: bytes, headers: dict[str, str], client: str = "127.0.0.1") -> int:
        """The status that a post gets."""
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/v1/events/{name}",
            "headers": [(key.encode(), value.encode("latin-1")) for key, value in headers.items()],
            "client": (client, 1),
            "scheme": "https",
        }
        await self.service.app(scope, receive, send)
        self.statuses[statuses[0]] += 1
        return statuses[0]


def fuzz(target: Target, examples: int, chunk: int = 20) -> int:
    """Post at least so many bodies, several at once; AssertionError, with the body, for any 5xx. Returns how many."""
    posted = 0
    with asyncio.Runner() as runner:
        for turn in range(-(-examples // (chunk * TURN))):
            posted += _fuzz(target, runner, turn, chunk)
        runner.run(target.service.inbox.close())
    return posted


def _fuzz(target: Target, runner: asyncio.Runner, turn: int, chunk: int) -> int:
    """One turn: hypothesis keeps all that it has drawn until a test ends, which would look like a leak of ours."""
    posted = 0

    @seed(turn)
    @settings(
        max_examples=TURN,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(posts(), min_size=chunk, max_size=chunk))
    def post(some: list[tuple[str, bytes, dict[str, str]]]) -> None:
        nonlocal posted

        async def all_of_them() -> list[int]:
            return await asyncio.gather(*(target.post(*one) for one in some))

        for one, status in zip(some, runner.run(all_of_them()), strict=True):
            assert status < 500, one
            posted += 1

    post()
    return posted
