"""What happens is told at least once, signed, through sinks that fail and senders that are killed; and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from evernas.config_outbox import SinkConfig
from evernas.errors import UsageError
from evernas.outbox.posting import NotDeliveredError, Target, is_public, public_key
from evernas.outbox.sending import Sender, counts, database_of, listed, replay
from evernas.registry.opening import open_journal
from evernas.state.notices import notices, record
from evernas.triggers.events import RefusedError
from evernas.triggers.signatures import STANDARD, timed
from sinks import SECRET, Sink, entry, flaky
from small_project import Place


class Desk:
    """A sender of a place."""

    def __init__(self, place: Place) -> None:
        self.config = place.config
        self.database = database_of(self.config, place.home)
        self.database.migrate()
        self.sender = Sender(self.config, self.database, place.home, open_journal(place.home, self.config))

    def until_all_sent(self, project: str, most: int = 200) -> None:
        for _ in range(most):
            self.sender.look()
            if counts(self.database, project)["sending"] == 0:
                return
        raise AssertionError(f"{counts(self.database, project)} after {most} looks")


@pytest.fixture
def desk(place: Place, kept_in: str) -> Any:
    made = Desk(place)
    yield made
    made.database.close()


def test_promotions_rollbacks_and_notices_are_told_as_signed_cloudevents(desk: Desk, place: Place, sink: Sink) -> None:
    entry(place, 1)
    entry(place, 2, "rollback")
    record(place.home, place.project, "hold", "laptop", "Hold: it is not better.", {"run": "run-3"})
    desk.until_all_sent(place.project)
    assert [post.event["type"] for post in sink.posts] == [
        "dev.evernas.champion.promoted",
        "dev.evernas.champion.rolled-back",
        "dev.evernas.hold",
    ]
    for post in sink.posts:
        event = post.event
        assert post.headers["content-type"] == "application/cloudevents+json"
        assert (event["specversion"], event["source"]) == ("1.0", f"/evernas/{place.project}")
        keyed = [hmac.new(SECRET.encode(), digestmod=hashlib.sha256)]
        proof = timed(STANDARD, post.headers, post.body, keyed, time.time(), 300)
        assert proof.id == event["id"]
        with pytest.raises(RefusedError):
            timed(STANDARD, post.headers, post.body + b" ", keyed, time.time(), 300)
    assert sink.posts[0].event["data"]["bundle"] == f"{1:064x}"
    assert sink.posts[2].event["data"]["sentence"] == "Hold: it is not better."
    assert notices(place.home, place.project) == {}, "what the outbox has is not kept twice"


def test_nothing_is_told_twice_when_nothing_fails(desk: Desk, place: Place, sink: Sink) -> None:
    for number in (1, 2, 3):
        entry(place, number)
        record(place.home, place.project, "hold", "laptop", "Hold.", {"run": f"run-{number}"})
        desk.until_all_sent(place.project)
    record(place.home, place.project, "hold", "laptop", "Hold.", {"run": "run-3"})
    desk.until_all_sent(place.project)
    assert Counter(sink.ids).most_common(1)[0][1] == 1
    assert len(sink.ids) == 6


def test_a_flaky_sink_hears_of_everything_in_the_end(desk: Desk, place: Place, sink: Sink) -> None:
    sink.answer = flaky(1)
    for number in range(1, 21):
        entry(place, number)
    desk.until_all_sent(place.project)
    assert set(sink.ids) == {f"{place.project}/laptop/{number}" for number in range(1, 21)}
    assert len(sink.ids) > 20, "it did fail"
    assert counts(desk.database, place.project) == {"sending": 0, "sent": 20, "dead": 0}


KILLED = """
import sys
from pathlib import Path
from evernas.config import load_config
from evernas.outbox.sending import Sender, database_of
from evernas.registry.opening import open_journal
from evernas.state import Home
config, home = load_config(Path(sys.argv[1])), Home(Path(sys.argv[2]))
database = database_of(config, home)
database.migrate()
sender = Sender(config, database, home, open_journal(home, config))
print("sending", flush=True)
while True:
    sender.look()
"""


def test_a_sender_that_is_killed_again_and_again_loses_nothing(place: Place, sink: Sink) -> None:
    """On SQLite; killed while it sends, and while it collects what is claimed meanwhile."""
    sink.answer = flaky(2)
    number = 0
    for turn in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(place.path), str(place.home.path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "sending\n"
        heard = len(sink.posts)
        while len(sink.posts) < heard + 3 + turn:
            number += 1
            entry(place, number)
            record(place.home, place.project, "hold", "laptop", "Hold.", {"run": f"run-{number}"})
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    desk = Desk(place)
    desk.until_all_sent(place.project)
    assert {name for name in sink.ids if "/notice/" not in name} == {
        f"{place.project}/laptop/{n}" for n in range(1, number + 1)
    }
    runs = {post.event["data"]["run"] for post in sink.posts if post.event["type"] == "dev.evernas.hold"}
    assert runs == {f"run-{n}" for n in range(1, number + 1)}
    desk.database.close()


def test_tries_come_later_and_later_and_a_sink_that_never_takes_an_event_is_given_up_and_can_be_replayed(
    desk: Desk, place: Place, sink: Sink
) -> None:
    place.change(outbox={"sinks": [{**_sinks(place)[0], "attempts": 3, "retry_s": 100.0}]})
    slow = Desk(place)
    sink.answer = lambda number: 500
    entry(place, 1)
    waits = []
    for _ in range(3):
        slow.sender.look()
        with slow.database.write() as connection:
            (until,) = connection.exec_driver_sql(
                f"SELECT not_before FROM deliveries WHERE project = '{place.project}'"
            ).one()
            waits.append(until - time.time())
            connection.exec_driver_sql(f"UPDATE deliveries SET not_before = 0 WHERE project = '{place.project}'")
    assert [round(wait / 100) for wait in waits[:2]] in ([1, 1], [1, 2]), "from 75 to 125 s, then twice that"
    assert waits[1] > 1.2 * 100
    slow.sender.look()
    assert len(sink.posts) == 3
    (row,) = listed(slow.database, place.project, "dead", 10)
    assert row["deliveries"] == [{"sink": "ops", "state": "dead", "attempts": 3, "reason": "it answers 500"}]
    sink.answer = lambda number: 204
    assert replay(slow.database, place.config, [], True, None) == 1
    slow.sender.look()
    assert replay(slow.database, place.config, [row["number"]], False, "ops") == 1
    slow.sender.look()
    assert len(set(sink.ids)) == 1
    assert len(sink.ids) == 5
    with pytest.raises(UsageError, match="None of these events"):
        replay(slow.database, place.config, [10**6], False, None)
    slow.database.close()


def test_what_waits_for_a_sink_that_was_taken_out_of_the_config_is_given_up_and_goes_with_its_event(
    desk: Desk, place: Place, sink: Sink
) -> None:
    (ops,) = _sinks(place)
    away = {**ops, "name": "away", "url": f"http://127.0.0.1:{_closed_port()}/"}
    place.change(outbox={"sinks": [away, ops]})
    both = Desk(place)
    entry(place, 1)
    both.sender.look()
    both.database.close()
    assert counts(desk.database, place.project) == {"sending": 1, "sent": 1, "dead": 0}
    desk.sender.look()
    assert counts(desk.database, place.project)["sending"] == 1, "another release may name it still"
    for table, column, days in (("deliveries", "changed_at", 1), ("outbox", "made_at", 31)):
        with desk.database.write() as connection:
            connection.exec_driver_sql(
                f"UPDATE {table} SET {column} = {column} - {days * 86400} WHERE project = '{place.project}'"
            )
        if table == "deliveries":
            desk.sender.look()
            assert counts(desk.database, place.project) == {"sending": 0, "sent": 1, "dead": 1}
            (row,) = listed(desk.database, place.project, "dead", 10)
            assert row["deliveries"][0]["reason"] == "outbox.sinks does not name it any more"
    desk.sender.look()
    assert counts(desk.database, place.project) == {"sending": 0, "sent": 0, "dead": 0}


def _sinks(place: Place) -> list[dict[str, Any]]:
    assert place.config.outbox is not None
    return [sink.model_dump(mode="json", exclude_none=True) for sink in place.config.outbox.sinks]


def test_a_sink_hears_of_the_types_that_it_asked_for_and_one_that_fails_does_not_hold_up_another(
    desk: Desk, place: Place, sink: Sink
) -> None:
    away = {**_sinks(place)[0], "name": "away", "url": f"http://127.0.0.1:{_closed_port()}/", "retry_s": 60.0}
    place.change(outbox={"sinks": [away, {**_sinks(place)[0], "types": ["incident"]}]})
    both = Desk(place)
    entry(place, 1)
    record(place.home, place.project, "incident", "laptop", "It is slow.", {"run": "run-1"})
    both.sender.look()
    assert [post.event["type"] for post in sink.posts] == ["dev.evernas.incident"]
    assert counts(both.database, place.project) == {"sending": 2, "sent": 1, "dead": 0}
    both.database.close()


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_of_two_senders_at_once_one_works(desk: Desk, place: Place, sink: Sink) -> None:
    other = Desk(place)
    entry(place, 1)
    with other.database.exclusive(f"outbox-{place.project}") as held:
        assert held
        assert desk.sender.look().sent == 0
    assert desk.sender.look().sent == 1
    assert len(sink.posts) == 1
    other.database.close()


def test_an_outbox_that_is_new_does_not_tell_of_years_ago(desk: Desk, place: Place, sink: Sink) -> None:
    place.change(outbox={"sinks": _sinks(place), "retention_days": 1e-9})
    late = Desk(place)
    entry(place, 1)
    time.sleep(1.1)
    late.sender.look()
    assert sink.posts == []
    late.database.close()
    entry(place, 2)
    desk.until_all_sent(place.project)
    assert sink.ids == [f"{place.project}/laptop/2"]


def test_a_key_signs_so_that_a_sink_need_share_no_secret(
    place: Place, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    monkeypatch.setenv("SINK_KEY", pem)
    config = SinkConfig.model_validate(
        {"name": "ops", "url": sink.url, "private": True, "key": {"env": "SINK_KEY"}, "secret": {"env": "SINK_SECRET"}}
    )
    Target.of(config).post("an-id", b"{}")
    (post,) = sink.posts
    first, second = post.headers["webhook-signature"].split(" ")
    assert first.startswith("v1,")
    content = f"an-id.{post.headers['webhook-timestamp']}.".encode() + b"{}"
    key.public_key().verify(base64.b64decode(second.removeprefix("v1a,")), content)
    assert public_key(config) == f"whpk_{base64.b64encode(key.public_key().public_bytes_raw()).decode()}"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "fe80::1", "fc00::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "64:ff9b:1::a9fe:a9fe", "fec0::1", "::10.0.0.1", "::ffff:0:10.0.0.1",
    ],
)  # fmt: skip
def test_addresses_inside_are_no_public_ones(address: str) -> None:
    assert not is_public(address)


def test_public_addresses_are() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")


def _target(url: str, private: bool = False) -> Target:
    return Target(url, private, 2.0, b"secret", None)


def test_a_name_that_leads_inside_is_not_posted_to_and_a_redirect_is_not_followed(sink: Sink) -> None:
    with pytest.raises(NotDeliveredError, match="not public"):
        _target(sink.url.replace("127.0.0.1", "localhost")).post("id", b"{}")
    assert sink.posts == []
    sink.answer, sink.headers = lambda number: 302, {"location": sink.url + "/elsewhere"}
    with pytest.raises(NotDeliveredError, match="answers 302, and redirects are not followed"):
        _target(sink.url, private=True).post("id", b"{}")
    assert [post.path for post in sink.posts] == ["/hook"]


@pytest.mark.parametrize("url", ["https://host:99999/x", "https://a..b/x", "https://{}.example/x".format("a" * 64)])
def test_an_address_that_no_post_can_go_to_is_a_post_that_was_not_taken(url: str) -> None:
    """As when it comes from where a secret is, and was changed there."""
    with pytest.raises(NotDeliveredError, match="does not answer"):
        _target(url).post("id", b"{}")


def test_a_name_that_answers_otherwise_the_second_time_leads_nowhere_else(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked: the name is asked for once."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: str, *rest: Any, **named: Any) -> Any:
        if host == "rebinding.example":
            asked.append(host)
            return real("127.0.0.1", *rest, **named)
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    _target(sink.url.replace("127.0.0.1", "rebinding.example"), private=True).post("id", b"{}")
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "ftp://host/x"}, "no web address"),
        ({"url": "http://host/x"}, "not https"),
        ({"url": "https://user:word@host/x"}, "has a user, a password"),
        ({"url": "https://word-host:99999/x"}, "no host or port that there can be"),
        ({"url": "https://word..host/x"}, "no host or port that there can be"),
        ({"url": "https://[word/x"}, "no host or port that there can be"),
        ({"url": "https://host:0/x"}, "has port 0"),
        ({"url": "https://host/a word"}, "percent-encode"),
        ({"secret": None}, "cannot tell who posts"),
        ({"url_from": {"env": "X"}}, "exactly one of url and url_from"),
        ({"types": ["birthdays"]}, "types has birthdays"),
    ],
)
def test_sinks_that_could_not_be_trusted_are_refused(change: dict[str, Any], said: str) -> None:
    good = {"name": "ops", "url": "https://host/x", "secret": {"env": "S"}}
    SinkConfig.model_validate(good)
    with pytest.raises(ValueError, match=said) as refused:
        SinkConfig.model_validate({**good, **change})
    assert "word" not in str(refused.value).partition("[type=")[0].replace("password", "")


def test_the_commands_list_send_and_replay(place: Place, sink: Sink) -> None:
    entry(place, 1)
    code, said = place.evernas("outbox", "send", place.path)
    assert (code, said.strip()) == (0, "1 new events, 1 posts taken, 0 not taken.")
    rows = json.loads(place.evernas("outbox", "list", place.path, "--json")[1])
    assert rows[0]["event"]["id"] == f"{place.project}/laptop/1"
    assert "champion.promoted  laptop" in place.evernas("outbox", "list", place.path)[1]
    assert json.loads(place.evernas("outbox", "replay", place.path, rows[0]["number"], "--json")[1]) == {"posts": 1}
    assert json.loads(place.evernas("outbox", "send", place.path, "--json")[1])["sent"] == 1
    assert len(sink.posts) == 2
    assert place.evernas("outbox", "keys", place.path)[1].strip() == "ops: signed by its secret alone"
    assert json.loads(place.evernas("outbox", "keys", place.path, "--json")[1]) == {"ops": None}
    assert place.evernas("outbox", "replay", place.path, "--dead")[0] == 2
