"""A receiver process under attack: what is unproven, repeated, late, large, slow or malformed is kept out."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import serving
from evernas.errors import UsageError
from self_signed import self_signed

BEARER = "a-bearer-secret-0123456789"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:raw"
SOURCES = [
    serving.SOURCE,
    {"name": "sns", "kind": "sns", "topics": [TOPIC]},
    {"name": "hub", "kind": "github", "secrets": [{"env": "LAKE_SECRET"}]},
    {"name": "registry", "kind": "mlflow", "secrets": [{"env": "LAKE_SECRET"}]},
    {"name": "minio", "kind": "minio", "secrets": [{"env": "BEARER_SECRET"}]},
    {"name": "bus", "kind": "eventbridge", "secrets": [{"env": "BEARER_SECRET"}]},
    {"name": "cloud", "kind": "cloudevents", "authentication": "signature", "secrets": [{"env": "LAKE_SECRET"}]},
    {"name": "trickle", "kind": "signed", "secrets": [{"env": "LAKE_SECRET"}], "events_per_s": 1},
]
RULES = [
    serving.RULE,
    {"name": "parents", "source": "registry", "bucket": "parent-model"},
    {"name": "minio", "source": "minio", "bucket": "raw", "prefix": "watch/"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    triggers = serving.triggers_config(
        sources=SOURCES,
        rules=RULES,
        own=["raw/state/"],
        trusted_proxies=["127.0.0.1"],
        # Nothing is to start here: what would is looked for in the table.
        debounce={"quiet_s": 3600, "max_wait_s": 3600},
        limits={"header_s": 1.0, "body_s": 1.0, "body_bytes": 65536},
    )
    made = serving.server(tmp_path_factory.mktemp("receiver"), triggers, BEARER_SECRET=BEARER).start()
    yield made
    made.stop()


def _states(server: serving.Server, bucket_key: str) -> list[tuple[Any, ...]]:
    return server.rows(f"SELECT state, reason FROM events WHERE bucket || '/' || key = '{bucket_key}'")


def _count(server: serving.Server) -> int:
    return int(server.rows("SELECT count(*) FROM events")[0][0])


def test_acknowledged_event_is_in_the_table_and_its_replay_is_refused(server: serving.Server) -> None:
    body = serving.change("watch/replay")
    headers = serving.signed(body)
    assert server.post(body, headers) == (202, {"kept": 1, "new": 1})
    assert server.post(body, headers)[0] == 409
    again = serving.signed(body, headers["webhook-id"], time.time() + 5)
    assert server.post(body, again) == (202, {"kept": 1, "new": 0}), "signed anew, it is a redelivery"
    assert [server.post(body, old)[0] for old in (again, headers)] == [409, 409]
    assert len(_states(server, "raw/watch/replay")) == 1


def test_forged_and_late_requests_leave_nothing(server: serving.Server) -> None:
    before, body = _count(server), serving.change("watch/forged")
    assert server.post(body, serving.signed(body, secret="not-the-secret-at-all"))[0] == 401
    assert server.post(body, serving.signed(body, at=time.time() - 301))[0] == 401
    assert server.post(body + b" ", serving.signed(body))[0] == 401
    assert server.post(body, serving.signed(body), source="hub")[0] == 401, "one source's proof is not another's"
    assert _count(server) == before


def test_unauthenticated_post_to_every_route_is_refused(server: serving.Server) -> None:
    before = _count(server)
    document = server.request("GET", "/openapi.json")[1]
    paths = [path for path in document["paths"] if "{" not in path] + ["/", "/docs", "/v1/events", "/v1/events/"]
    for path in [
        *paths,
        *(f"/v1/events/{source['name']}" for source in SOURCES),
        "/v1/events/none",
        "/v1/events/../healthz",
    ]:
        for headers in ({"content-type": "application/json"}, {"content-type": "text/plain"}, {}):
            status, answer = server.request("POST", path, serving.change(), headers)
            assert status in (400, 401, 403, 404, 405, 415), (path, status)
            assert set(answer) == {"error"}
    assert _count(server) == before


def test_oversized_body_is_refused_and_the_connection_closed(server: serving.Server) -> None:
    body = b'{"pad": "' + b"x" * 70_000 + b'"}'
    assert server.post(body)[0] == 413
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /v1/events/lake HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        answer = b""
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        try:
            for _ in range(200):
                client.sendall(chunk)
        except OSError:
            pass
        client.settimeout(5)
        try:
            while part := client.recv(4096):
                answer += part
        except OSError:
            pass
        assert b" 413 " in answer or not answer, (
            "the length was never told, and the server stopped reading all the same"
        )


def test_wrong_content_is_refused(server: serving.Server) -> None:
    body = serving.change()
    assert server.post(body, {**serving.signed(body), "content-type": "text/html"})[0] == 415
    assert server.post(b"no json", serving.signed(b"no json"))[0] == 400


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"POST /v1/events/lake HTTP/1.1\r\nhost: x\r\n",
        b"POST /v1/events/lake HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    ],
    ids=["nothing", "headers", "body"],
)
def test_slow_loris_is_cut_off_while_others_are_served(server: serving.Server, opening: bytes) -> None:
    started = time.monotonic()
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    for client in slow:
        client.sendall(opening)
        client.settimeout(0.05)
    answers = dict.fromkeys(range(len(slow)), b"")
    open_ones = set(answers)
    while open_ones and time.monotonic() - started < 10:
        assert server.post(serving.change(f"watch/{uuid.uuid4()}"))[0] == 202
        for number in list(open_ones):
            try:
                if opening:
                    slow[number].sendall(b"x")
                part = slow[number].recv(1000)
            except TimeoutError:
                continue
            except OSError:
                part = b""
            answers[number] += part
            if not part:
                open_ones.discard(number)
    assert not open_ones
    assert time.monotonic() - started < 8
    if b"{" in opening:
        assert all(b" 408 " in answer or not answer for answer in answers.values())


def test_body_that_trickles_in_after_its_answer_is_cut_off(server: serving.Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /v1/events/none HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        client.settimeout(10)
        answer = b""
        while not answer.endswith(b'{"error": "There is no such source."}'):
            answer += client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 404")
        client.sendall(b"x")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b"", "within the limit on bodies"


def test_endless_headers_are_cut_off(server: serving.Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(10)
        client.sendall(b"POST /v1/events/lake HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"\[Errno"):
            _send_headers(client)
    assert server.request("GET", "/healthz")[0] == 200


def _send_headers(client: socket.socket) -> None:
    for number in range(10_000):
        client.sendall(f"x-{number}: {'y' * 1000}\r\n".encode())
        time.sleep(0.0005)


def test_promotion_does_not_start_a_run(server: serving.Server) -> None:
    """MLflow tells of the alias that evernas moves: it is kept, seen as ours, and starts nothing."""
    for name, expected in (("evernas-watch", "ignored"), ("parent-model", "gathered")):
        data = {"name": name, "alias": "champion-laptop", "version": "4"}
        body = json.dumps({"entity": "model_version_alias", "action": "created", "data": data}).encode()
        headers = {k.replace("webhook-", "x-mlflow-"): v for k, v in serving.signed(body).items()}
        headers["x-mlflow-delivery-id"] = headers.pop("x-mlflow-id")
        assert server.post(body, headers, "registry")[0] == 202
        found = serving.wait_until(
            lambda name=name, expected=expected: [
                s for s in _states(server, f"{name}/champion-laptop") if s[0] == expected
            ]
        )
        assert found == [(expected, "written by evernas itself" if expected == "ignored" else "")]


def test_own_writes_and_unmatched_keys_start_nothing(server: serving.Server) -> None:
    for key, reason in (("state/journal/1", "written by evernas itself"), ("elsewhere/a", "no rule matches")):
        assert server.post(serving.change(key))[0] == 202
        assert _states(server, f"raw/{key}") == [("ignored", reason)]


def test_bearer_secret_needs_tls_which_the_trusted_proxy_ends(server: serving.Server) -> None:
    record = {
        "eventName": "s3:ObjectCreated:Put",
        "s3": {"bucket": {"name": "raw"}, "object": {"key": "watch%2Fm", "sequencer": "1"}},
    }
    body = json.dumps(
        {"Records": [record, {**record, "s3": {**record["s3"], "object": {"key": "watch%2Fn", "sequencer": "1"}}}]}
    ).encode()
    headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/json"}
    assert server.post(body, headers, "minio")[0] == 403
    secure = {**headers, "x-forwarded-proto": "https"}
    assert server.post(body, secure, "minio") == (202, {"kept": 2, "new": 2})
    assert server.post(body, secure, "minio") == (202, {"kept": 2, "new": 0})


def test_source_above_its_rate_is_told_to_wait(server: serving.Server) -> None:
    statuses = [server.post(serving.change(f"elsewhere/{n}"), source="trickle")[0] for n in range(4)]
    assert statuses[0] == 202
    assert 429 in statuses


def test_figures_have_no_series_of_the_senders_making(server: serving.Server) -> None:
    server.post(b"{}", source="made-up")
    text = server.request("GET", "/metrics")[1]
    assert "made-up" not in text
    assert 'evernas_refused_requests_total{project="watch",source="",status="404"}' in text
    assert 'outcome="new",project="watch",source="lake"' in text


def test_series_that_are_documented_are_those_that_there_are(server: serving.Server) -> None:
    documented = (serving.ROOT / "docs" / "triggers.md").read_text()
    said = server.request("GET", "/metrics")[1]
    told = {name for name in re.findall(r"^# TYPE (evernas_\w+)", said, re.MULTILINE) if not name.endswith("_created")}
    assert told == set(re.findall(r"\b(evernas_\w+)", documented))


def test_no_secret_is_ever_logged(server: serving.Server) -> None:
    body = serving.change("watch/logged")
    for headers in (
        serving.signed(body),
        {**serving.signed(body), "authorization": f"Bearer {BEARER}"},
        {"authorization": f"Bearer {serving.SECRET}", "x-forwarded-proto": "https", "content-type": "application/json"},
    ):
        server.post(body, headers)
        server.post(body, headers, "minio")
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert any(line["message"] == "kept" and line["events"] for line in lines), "logs carry the events' ids"
    assert any(line["message"] == "refused" for line in lines)
    mac = serving.signed(body)["webhook-signature"].removeprefix("v1,")
    for secret in (serving.SECRET, BEARER, base64.b64encode(serving.SECRET.encode()).decode(), mac):
        assert secret not in log


def test_term_signal_ends_gracefully_after_what_is_in_flight_while_senders_go_on(tmp_path: Path) -> None:
    server = serving.server(tmp_path, serving.triggers_config(debounce={"quiet_s": 3600, "max_wait_s": 3600})).start()
    answers: list[tuple[str, int]] = []

    def send(sender: int) -> None:
        # Until nobody takes connections any more.
        with contextlib.suppress(OSError, http.client.HTTPException):
            for number in range(100_000):
                body, name = serving.change(f"watch/{sender}-{number}"), f"e-{sender}-{number}"
                answers.append((name, server.post(body, serving.signed(body, name))[0]))

    senders = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    body = serving.change()
    headers = "".join(f"{name}: {value}\r\n" for name, value in serving.signed(body, "in-flight").items())
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(
            f"POST /v1/events/lake HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(body)}\r\n\r\n".encode()
        )
        client.sendall(body[:10])
        for sender in senders:
            sender.start()
        serving.wait_until(lambda: len(answers) > 100)
        assert server.process is not None
        server.process.terminate()
        for sender in senders:
            sender.join()
        client.sendall(body[10:])
        client.settimeout(10)
        assert client.recv(1000).startswith(b"HTTP/1.1 202")
    assert server.stop() == 0
    assert {status for _, status in answers} == {202}
    kept = [row[0] for row in server.rows("SELECT id FROM events")]
    assert len(kept) == len(set(kept))
    assert {name for name, _ in answers} | {"in-flight"} <= set(kept)


@pytest.fixture
def certified(tmp_path: Path) -> dict[str, str]:
    """A certificate for this machine and its key, as the config names them."""
    certificate, key = self_signed(tmp_path / "tls")
    return {"certificate": str(certificate), "key": str(key)}


def test_receiver_speaks_tls_itself_and_takes_bearer_secrets_then(tmp_path: Path, certified: dict[str, str]) -> None:
    sources = [{"name": "minio", "kind": "minio", "secrets": [{"env": "LAKE_SECRET"}]}]
    server = serving.server(tmp_path, serving.triggers_config(sources=sources, rules=[], tls=certified))
    server.start(ready=False)
    trusting = ssl.create_default_context(cafile=certified["certificate"])
    item = {"bucket": {"name": "raw"}, "object": {"key": "watch/a", "sequencer": "1"}}
    body = json.dumps({"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": item}]}).encode()

    def post(secret: str) -> int:
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=10, context=trusting)
        headers = {"content-type": "application/json", "authorization": f"Bearer {secret}"}
        connection.request("POST", "/v1/events/minio", body, headers)
        return connection.getresponse().status

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return post("not-the-secret-at-all") == 401
        return False

    try:
        serving.wait_until(answers)
        assert post(serving.SECRET) == 202
        with pytest.raises((OSError, http.client.HTTPException)):
            server.request("GET", "/healthz")
    finally:
        server.stop()
    assert _count(server) == 1


def test_port_that_is_taken_is_named(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from evernas.cli import app

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = serving.write_config(
            tmp_path / "evernas.yaml", serving.triggers_config(port=port, sources=[], rules=[])
        )
        done = CliRunner().invoke(app, ["serve", str(config), "--home", str(tmp_path / "home")])
    assert isinstance(done.exception, UsageError)
    assert f"cannot listen on 127.0.0.1, port {port} (Address already in use)" in str(done.exception)


def test_help_of_the_command_line_imports_no_server() -> None:
    code = "import sys, evernas.cli; print([m for m in ('fastapi', 'sqlalchemy', 'uvicorn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
