"""A source as the receiver meets it: a request is proven to come from it first, and read as events only then."""

from __future__ import annotations

import time
from dataclasses import dataclass

from evernas.config_triggers import SourceConfig
from evernas.triggers import messages, objects, signatures, sns
from evernas.triggers.events import Event, RefusedError, parse_json
from evernas.triggers.secrets import Secrets
from evernas.triggers.signatures import Headers, Proof

JSON = ("application/json",)
CONTENT_TYPES = {
    "sns": ("text/plain", "application/json"),
    "cloudevents": (messages.STRUCTURED, "application/json", "application/octet-stream", "text/plain", ""),
}


@dataclass(frozen=True)
class Request:
    """A request as it came: nothing in it is believed yet. Header names are in lower case."""

    headers: Headers
    body: bytes
    scheme: str


@dataclass(frozen=True)
class Heard:
    """What a verified request said. A repeat of the very same signature is a replay; `signed_at` tells it."""

    events: list[Event]
    signed_at: float = 0.0
    confirmation: dict[str, object] | None = None


@dataclass(frozen=True)
class Source:
    """One configured source."""

    config: SourceConfig
    secrets: Secrets
    topics: sns.Sns | None = None

    @classmethod
    def of(cls, config: SourceConfig, fetch: sns.Fetch | None = None) -> Source:
        """The source of a config; UsageError if a secret is not there."""
        return cls(config, Secrets(config.secrets), sns.Sns(config.topics, fetch) if config.kind == "sns" else None)

    @property
    def waits(self) -> bool:
        """Whether hearing a request may wait for another machine."""
        return self.topics is not None

    def hear(self, request: Request) -> Heard:
        """The events of a request; RefusedError with a status for anything unproven, late or not in form."""
        content_type = self._content_type(request)
        proof = self._prove(request)
        kind, body, headers = self.config.kind, request.body, request.headers
        if kind == "cloudevents":
            signed = self.config.scheme == "signature"
            return Heard(messages.cloudevent(headers, content_type, body, signed), proof.signed_at)
        document = parse_json(body)
        if kind == "signed":
            return Heard(messages.plain(document, proof.id), proof.signed_at)
        if kind == "github":
            return Heard(messages.github(headers, document, body))
        if kind == "mlflow":
            return Heard(messages.mlflow(document, proof.id), proof.signed_at)
        if kind == "eventbridge":
            return Heard(objects.eventbridge(document))
        if kind == "minio":
            return Heard(objects.notification(document))
        return self._hear_sns(document)

    def _content_type(self, request: Request) -> str:
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        accepted = CONTENT_TYPES.get(self.config.kind, JSON)
        if given not in accepted and not (self.config.kind == "cloudevents" and given.startswith("application/")):
            raise RefusedError(415, f"The content type is not one of {', '.join(filter(None, accepted))}.")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RefusedError(415, "Compressed bodies are not accepted.")
        return given

    def _prove(self, request: Request) -> Proof:
        kind, secrets = self.config.kind, self.secrets
        if self.config.scheme == "bearer":
            signatures.bearer(request.headers, secrets.values(), request.scheme)
        elif kind == "github":
            signatures.github(request.headers, request.body, secrets.keyed())
        elif self.config.scheme == "signature":
            names = signatures.MLFLOW if kind == "mlflow" else signatures.STANDARD
            now, most = time.time(), self.config.max_age_s
            return signatures.timed(names, request.headers, request.body, secrets.keyed(), now, most)
        elif kind != "sns":
            raise RefusedError(404, "This source takes no posts: it is polled.")
        return Proof("", 0.0)

    def _hear_sns(self, document: object) -> Heard:
        assert self.topics is not None
        message = self.topics.verify(document, time.time(), self.config.max_age_s)
        if message["Type"] == sns.CONFIRMATION:
            return Heard([], confirmation=message)
        return Heard(objects.change(parse_json(str(message["Message"]).encode("utf-8", "surrogatepass"))))
