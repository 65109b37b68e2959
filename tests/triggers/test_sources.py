"""A source proves itself before anything it says is read; what it says becomes events, and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import serving
from evernas.config_triggers import SourceConfig, TriggersConfig
from evernas.errors import UsageError
from evernas.triggers.events import Event, RefusedError
from evernas.triggers.sources import Request, Source

SECRET, NEXT = "the-first-secret-0123456789", "the-next-secret-9876543210"
JSON = {"content-type": "application/json"}


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FIRST", SECRET)
    monkeypatch.setenv("NEXT", NEXT)

    def source(kind: str, **more: Any) -> Source:
        return Source.of(SourceConfig(name="s", kind=kind, **{"secrets": [{"env": "FIRST"}, {"env": "NEXT"}], **more}))

    return source


def _hear(source: Source, body: bytes, headers: dict[str, str], scheme: str = "https") -> list[Event]:
    return source.hear(Request(headers, body, scheme)).events


def _refused(source: Source, body: bytes, headers: dict[str, str], scheme: str = "https") -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        _hear(source, body, headers, scheme)
    return refused.value


def test_plain_post_is_believed_under_both_secrets_of_a_rotation(make: Any) -> None:
    body = serving.change("watch/a", "7")
    for secret in (SECRET, NEXT):
        assert _hear(make("signed"), body, serving.signed(body, "m1", secret=secret)) == [
            Event("m1", "7", "raw", "watch/a", "created")
        ]


@pytest.mark.parametrize("age", [-400, 400])
def test_signature_that_is_late_or_early_is_refused(make: Any, age: float) -> None:
    body = serving.change()
    refused = _refused(make("signed"), body, serving.signed(body, at=time.time() - age, secret=SECRET))
    assert (refused.status, "at most 300 s" in refused.sentence) == (401, True)


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_no_signed_part_can_be_changed_or_left_out(make: Any, header: str) -> None:
    body, source = serving.change(), make("signed")
    headers = serving.signed(body, secret=SECRET)
    changed = {"webhook-id": "other", "webhook-timestamp": str(int(time.time()) - 9), "webhook-signature": "v1,AAAA"}
    assert _refused(source, body, {**headers, header: changed[header]}).status == 401
    assert _refused(source, body, {k: v for k, v in headers.items() if k != header}).status == 401
    assert _refused(source, body + b" ", headers).status == 401


def test_signature_of_another_version_or_in_odd_characters_is_refused(make: Any) -> None:
    body = serving.change()
    headers = serving.signed(body, secret=SECRET)
    for signature in (headers["webhook-signature"].replace("v1", "v1a"), "v1,ü", "", "v1", "v1," * 100):
        assert _refused(make("signed"), body, {**headers, "webhook-signature": signature}).status == 401
    for moment in ("nan", "1e9", "-1", "²", "9" * 40):
        assert _refused(make("signed"), body, {**headers, "webhook-timestamp": moment}).status == 401


def test_mlflow_registry_webhook_is_verified_as_mlflow_signs_it(make: Any) -> None:
    delivery = pytest.importorskip("mlflow.webhooks.delivery")
    from mlflow.webhooks import constants

    data = {"name": "parent", "alias": "best", "version": "3"}
    body = json.dumps({"entity": "model_version_alias", "action": "created", "timestamp": "t", "data": data})
    moment = str(int(time.time()))
    headers = {
        constants.WEBHOOK_DELIVERY_ID_HEADER.lower(): "d1",
        constants.WEBHOOK_TIMESTAMP_HEADER.lower(): moment,
        constants.WEBHOOK_SIGNATURE_HEADER.lower(): delivery._generate_hmac_signature(SECRET, "d1", moment, body),
        **JSON,
    }
    expected = [Event("d1", "3", "parent", "best", "model_version_alias.created")]
    assert _hear(make("mlflow"), body.encode(), headers) == expected
    assert _refused(make("mlflow"), body.encode().replace(b"best", b"next"), headers).status == 401


def _github(body: bytes, event: str = "push", secret: str = SECRET) -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={mac}", "x-github-event": event, "x-github-delivery": "d", **JSON}


def test_github_push_is_known_by_its_signed_body_and_not_by_its_delivery_header(make: Any) -> None:
    body = json.dumps({"ref": "refs/heads/main", "after": "c0ffee", "repository": {"full_name": "o/r"}}).encode()
    headers = _github(body)
    (event,) = _hear(make("github"), body, headers)
    assert (event.bucket, event.key, event.label, event.version) == ("o/r", "refs/heads/main", "push", "c0ffee")
    assert _hear(make("github"), body, {**headers, "x-github-delivery": "another"}) == [event]
    assert _hear(make("github"), b"{}", _github(b"{}", "ping")) == []
    assert _refused(make("github"), body, _github(body, secret="x" * 20)).status == 401
    assert _refused(make("github"), body, {**headers, "x-hub-signature-256": "sha1=aa"}).status == 401


def test_bearer_secret_is_accepted_over_tls_only(make: Any) -> None:
    detail = {"bucket": {"name": "raw"}, "object": {"key": "a b+c", "sequencer": "0A"}}
    body = json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": detail}).encode()
    headers = {**JSON, "authorization": f"Bearer {NEXT}"}
    assert _hear(make("eventbridge"), body, headers) == [Event("raw/a b+c", "0A", "raw", "a b+c", "created")]
    assert _refused(make("eventbridge"), body, headers, "http").status == 403
    for wrong in ("", "Bearer", f"Basic {NEXT}", f"Bearer {NEXT}x"):
        assert _refused(make("eventbridge"), body, {**JSON, "authorization": wrong}).status == 401


def _record(key: str, **item: Any) -> dict[str, Any]:
    about = {"bucket": {"name": "raw"}, "object": {"key": key, **item}}
    return {"eventName": "s3:ObjectCreated:Put", "eventTime": "2026-01-01T00:00:00Z", "s3": about}


def test_minio_notification_names_decoded_keys_and_each_record_is_an_event(make: Any) -> None:
    body = json.dumps({"Records": [_record("watch/a%2Fb+c", sequencer="1"), _record("d", eTag="e")]}).encode()
    first, second = _hear(make("minio"), body, {**JSON, "authorization": f"Bearer {SECRET}"})
    assert (first.key, first.version) == ("watch/a/b c", "1")
    assert second.version == "2026-01-01T00:00:00Z//e", "an ETag alone would make A, B, A one change less"


def test_cloudevent_is_a_form_and_needs_an_authentication(make: Any) -> None:
    with pytest.raises(ValidationError, match="proves nothing"):
        make("cloudevents")


def test_cloudevent_in_both_forms(make: Any) -> None:
    attributes = {"specversion": "1.0", "id": "e1", "source": "raw", "subject": "watch/a", "type": "created"}
    expected = [Event("e1", "", "raw", "watch/a", "created")]
    bearer = make("cloudevents", authentication="bearer")
    proof = {"authorization": f"Bearer {SECRET}"}
    binary = {f"ce-{name}": value.replace("/", "%2F") for name, value in attributes.items()}
    assert _hear(bearer, b"anything", {**proof, **binary, "content-type": "application/octet-stream"}) == expected
    structured = json.dumps({**attributes, "data": {"path": "/etc/passwd"}}).encode()
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    assert _hear(bearer, structured, {**proof, **headers}) == expected
    signed = make("cloudevents", authentication="signature")
    assert _hear(signed, structured, {**serving.signed(structured, secret=SECRET), **headers}) == expected


def test_signed_cloudevent_in_binary_form_is_refused_since_headers_are_not_signed(make: Any) -> None:
    source = make("cloudevents", authentication="signature")
    headers = {**serving.signed(b"{}", secret=SECRET), "ce-id": "e1", "ce-specversion": "1.0"}
    assert _refused(source, b"{}", headers).status == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"[" * 100_000,
        b'{"bucket": 1}',
        b'{"bucket": "\\ud800"}',
        b'{"bucket": "a\\u0000"}',
        b"\xff",
        b'{"bucket": "raw", "key": "' + b"k" * 1025 + b'"}',
        b'{"bucket": ' + b"9" * 5000 + b"}",
    ],
)
def test_proven_body_in_no_form_is_refused_with_a_sentence(make: Any, body: bytes) -> None:
    assert _refused(make("signed"), body, serving.signed(body, secret=SECRET)).status == 400


@pytest.mark.parametrize("more", [{"content-type": "text/html"}, {"content-encoding": "gzip"}, {"content-type": ""}])
def test_wrong_content_is_refused(make: Any, more: dict[str, str]) -> None:
    body = serving.change()
    assert _refused(make("signed"), body, {**serving.signed(body, secret=SECRET), **more}).status == 415


def test_secret_that_is_missing_or_short_is_refused_at_the_start_without_being_told(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHORT", "hunter2")
    with pytest.raises(UsageError, match="7 characters") as refused:
        make("signed", secrets=[{"env": "SHORT"}])
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UsageError, match="not set"):
        make("signed", secrets=[{"env": "NOT_THERE"}])
    with pytest.raises(UsageError, match="cannot be read"):
        make("signed", secrets=[{"file": str(tmp_path / "none")}])


def test_secret_in_a_file_rotates_without_a_restart(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evernas.triggers.secrets.LOOK_AGAIN_S", 0.0)
    file = tmp_path / "secret"
    file.write_text(SECRET)
    source, body = make("signed", secrets=[{"file": str(file)}]), serving.change()
    assert _hear(source, body, serving.signed(body, secret=SECRET))
    file.unlink()
    assert _hear(source, body, serving.signed(body, secret=SECRET)), "while it is replaced, the old one holds"
    file.write_text(NEXT)
    assert _hear(source, body, serving.signed(body, secret=NEXT))
    assert _refused(source, body, serving.signed(body, secret=SECRET)).status == 401


def test_source_without_secret_and_bearer_without_tls_are_refused_in_the_config() -> None:
    with pytest.raises(ValidationError, match="has no secret"):
        SourceConfig(name="s", kind="signed")
    minio = {"name": "m", "kind": "minio", "secrets": [{"env": "FIRST"}]}
    with pytest.raises(ValidationError, match="anyone on the way could read"):
        TriggersConfig(sources=[minio])
    assert TriggersConfig(sources=[minio], trusted_proxies=["10.0.0.1"]).sources
