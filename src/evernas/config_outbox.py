"""The config's `outbox` section: who hears of promotions, holds, rollbacks, incidents and failures."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from evernas.section import SecretRef, Section

SinkName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
TYPE_PREFIX = "dev.evernas."
TYPES = (
    "champion.promoted",
    "champion.rolled-back",
    "champion.imported",
    "champion.anchored",
    "hold",
    "incident",
    "rollback.proposed",
    "gate-budget.spent",
    "budget.spent",
    "run.failed",
)


class SinkConfig(Section):
    """Somebody who is told of events, by signed posts."""

    name: SinkName = Field(description="Name of the sink, for lists and logs.")
    url: str | None = Field(None, description="Where events are posted to: https://host/path.")
    url_from: SecretRef | None = Field(None, description="Where the address is, where it is a secret itself.")
    secret: SecretRef | None = Field(
        None, description="Where the secret is that signs each post by HMAC-SHA256 (Standard Webhooks, v1)."
    )
    key: SecretRef | None = Field(
        None, description="Where an Ed25519 private key (PEM) is that signs each post (Standard Webhooks, v1a)."
    )
    types: list[str] = Field(
        default=[], description=f"Which events it is told of, without the prefix {TYPE_PREFIX}; all if empty."
    )
    private: bool = Field(
        False,
        description="Whether it may lie at an address that the internet does not route, such as this machine or a "
        "service of the cluster, and be posted to without TLS.",
    )
    timeout_s: float = Field(10.0, gt=0, le=60, description="Seconds to wait for an answer.")
    attempts: int = Field(12, ge=1, le=100, description="Posts that are tried before an event is given up for it.")
    retry_s: float = Field(5.0, ge=0, description="Seconds before the next try; doubled with each, up to an hour.")

    @model_validator(mode="after")
    def _usable(self) -> SinkConfig:
        if (self.url is None) == (self.url_from is None):
            raise ValueError("a sink is addressed by exactly one of url and url_from: give one of them")
        if self.secret is None and self.key is None:
            raise ValueError("a sink that cannot tell who posts would believe anybody: give secret, key or both")
        if self.url is not None:
            check_url(self.url, self.private)
        unknown = [name for name in self.types if name not in TYPES]
        if unknown:
            raise ValueError(f"types has {', '.join(unknown)}: use some of {', '.join(TYPES)}")
        return self


def check_url(url: str, private: bool) -> None:
    """ValueError, without the address, for one that nothing may be posted to."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        # Its text repeats parts of the address.
        raise ValueError(
            "the sink's address has no host or port that there can be: write https://host/path, a port up to 65535"
        ) from None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("the sink's address is no web address: write https://host/path")
    if port == 0:
        raise ValueError("the sink's address has port 0, which nobody listens at: write the sink's port")
    if not all("!" <= sign <= "~" for sign in parts.path + parts.query):
        raise ValueError("the sink's address has blanks or letters that no web address has: percent-encode them")
    if parts.scheme == "http" and not private:
        raise ValueError("the sink's address is not https, so that anybody on the way could read it: write https://")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("the sink's address has a user, a password or a fragment: name secrets by reference")


class OutboxConfig(Section):
    """Events go out through an outbox: at least once, tried again, and kept until they are delivered or given up."""

    sinks: list[SinkConfig] = Field(default=[], description="Who is told.")
    retention_days: float = Field(30.0, gt=0, description="Days that delivered events are kept, to be replayed.")

    @model_validator(mode="after")
    def _once(self) -> OutboxConfig:
        names = [sink.name for sink in self.sinks]
        if len(set(names)) != len(names):
            raise ValueError(f"sinks has the names {names}: name each once")
        return self
