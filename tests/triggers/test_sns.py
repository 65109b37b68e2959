"""SNS is believed by its certificate, from its own host, for the topics on the list; nothing else is ever fetched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from evernas.config_triggers import SourceConfig
from evernas.triggers.events import RefusedError
from evernas.triggers.sns import fetch_without_redirects
from evernas.triggers.sources import Heard, Request, Source
from sns_messages import CERTIFICATE, HOST, TOPIC, Amazon


@pytest.fixture(scope="module")
def key() -> Amazon:
    return Amazon()


@pytest.fixture
def amazon(key: Amazon) -> Amazon:
    key.fetched.clear()
    return key


@pytest.fixture
def hear(amazon: Amazon) -> Callable[[Any], Heard]:
    source = Source.of(SourceConfig(name="s", kind="sns", topics=[TOPIC]), amazon.fetch)
    headers = {"content-type": "text/plain; charset=UTF-8"}
    return lambda message: source.hear(Request(headers, json.dumps(message).encode(), "https"))


def test_notification_of_a_listed_topic_is_heard_and_its_certificate_fetched_once(amazon: Amazon, hear: Any) -> None:
    for _ in range(2):
        (event,) = hear(amazon.message()).events
        assert (event.bucket, event.key, event.version) == ("raw", "watch/a", "1")
    assert amazon.fetched == [CERTIFICATE]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"TopicArn": TOPIC.replace("raw", "evil")}, 403),
        ({"SignatureVersion": "1"}, 401),
        ({"Type": "UnsubscribeConfirmation"}, 400),
        *[
            ({"SigningCertURL": address}, 403)
            for address in (
                CERTIFICATE.replace("https", "http"),
                CERTIFICATE.replace("sns.eu", "sns.evil.eu"),
                CERTIFICATE.replace("amazonaws.com", "amazonaws.com.evil.org"),
                CERTIFICATE.replace("https://", "https://evil.org@"),
                CERTIFICATE.replace(".com/", ".com:8443/"),
                CERTIFICATE.replace("eu-central-1", "us-east-1"),
                f"{HOST}/../evil.pem",
                f"{HOST}/SimpleNotificationService-1.pem?x=1",
                "https://[",
            )
        ],
    ],
)
def test_what_is_not_amazons_is_refused_before_anything_is_fetched(
    amazon: Amazon, hear: Any, change: dict[str, Any], status: int
) -> None:
    with pytest.raises(RefusedError) as refused:
        hear(amazon.message(**change))
    assert refused.value.status == status
    assert amazon.fetched == []


def test_message_that_was_changed_after_signing_is_refused(amazon: Amazon, hear: Any) -> None:
    for name in ("Message", "MessageId", "Signature"):
        with pytest.raises(RefusedError) as refused:
            hear({**amazon.message(), name: "AAAA"})
        assert refused.value.status == 401


def test_message_that_is_late_is_refused(amazon: Amazon, hear: Any) -> None:
    late = datetime.fromtimestamp(time.time() - 4000, UTC).isoformat()
    with pytest.raises(RefusedError, match="s old"):
        hear(amazon.message(Timestamp=late))


@pytest.mark.parametrize(
    "address", ["https://evil.org/", "http://sns.eu-central-1.amazonaws.com/", "file:///etc/passwd"]
)
def test_forged_subscribe_url_is_refused_and_never_visited(amazon: Amazon, hear: Any, address: str) -> None:
    with pytest.raises(RefusedError) as refused:
        hear(amazon.message("SubscriptionConfirmation", SubscribeURL=address))
    assert refused.value.status == 403
    assert amazon.fetched == []


def test_subscription_is_confirmed_at_an_address_that_we_make(amazon: Amazon) -> None:
    source = Source.of(SourceConfig(name="s", kind="sns", topics=[TOPIC]), amazon.fetch)
    message = amazon.message("SubscriptionConfirmation")
    heard = source.hear(Request({"content-type": "text/plain"}, json.dumps(message).encode(), "https"))
    assert heard.events == []
    assert source.topics is not None
    source.topics.confirm(heard.confirmation)  # type: ignore[arg-type]
    made = f"{HOST}/?Action=ConfirmSubscription&TopicArn=arn%3Aaws%3Asns%3Aeu-central-1%3A123456789012%3Araw"
    assert amazon.fetched[-1] == f"{made}&Token=t0ken%26Action%3DEvil"


def test_redirects_are_not_followed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import http.server
    import threading
    import urllib.request

    class Redirects(http.server.BaseHTTPRequestHandler):
        visits: list[str] = []  # noqa: RUF012

        def do_GET(self) -> None:
            self.visits.append(self.path)
            self.send_response(302)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The same opener, but to a server without TLS: https is what `fetch` demands of its caller.
    plain = f"http://127.0.0.1:{server.server_address[1]}/"
    original = urllib.request.OpenerDirector.open
    monkeypatch.setattr(
        urllib.request.OpenerDirector, "open", lambda self, url, timeout: original(self, plain, timeout=timeout)
    )
    with pytest.raises(OSError, match="redirects"):
        fetch_without_redirects("https://sns.eu-central-1.amazonaws.com/")
    server.shutdown()
    assert Redirects.visits == ["/"]
