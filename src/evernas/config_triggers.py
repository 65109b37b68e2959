"""The config's `triggers` section: what starts runs. Every source is off until it is written here with its secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from evernas.section import SecretRef as SecretRef
from evernas.section import Section

Kind = Literal["signed", "cloudevents", "github", "mlflow", "eventbridge", "minio", "sns", "sqs"]
# Who proves itself how: an HMAC over the body, a secret in a header (TLS only), Amazon's certificate, an AWS account.
SIGNING: tuple[Kind, ...] = ("signed", "github", "mlflow")
BEARING: tuple[Kind, ...] = ("eventbridge", "minio")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
TOPIC = re.compile(r"^arn:(aws|aws-cn|aws-us-gov):sns:([a-z0-9-]{4,30}):(\d{12}):([A-Za-z0-9_-]{1,256})$")


class SourceConfig(Section):
    """Something that may post events, and how it proves who it is."""

    name: Name = Field(description="Name of the source; its events are posted to /v1/events/<name>.")
    kind: Kind = Field(
        description="Form of the events: signed (Standard Webhooks), cloudevents, github, mlflow, eventbridge, minio, "
        "sns, or sqs, which is polled."
    )
    authentication: Literal["signature", "bearer"] | None = Field(
        None,
        description="For cloudevents, which is a form and proves nothing: signature (Standard Webhooks headers; the "
        "structured form only, since attributes in headers are not signed) or bearer (over TLS).",
    )
    secrets: list[SecretRef] = Field(
        default=[], max_length=2, description="The secret, and while it is rotated the next one: both are valid."
    )
    topics: list[str] = Field(default=[], description="For sns: the TopicArns that are believed, and no others.")
    queue: str | None = Field(None, description="For sqs: the queue's URL.")
    region: str | None = Field(None, pattern=r"^[a-z0-9-]{4,30}$", description="For sqs: the queue's region.")
    endpoint: str | None = Field(None, description="For sqs: address of a server that is not Amazon's.")
    max_age_s: float = Field(
        300.0, gt=0, le=3600, description="Oldest signature that is accepted; also for clocks that are ahead."
    )
    events_per_s: float = Field(5000.0, gt=0, description="Most events a second of this source; more get 429.")

    @property
    def scheme(self) -> Literal["signature", "bearer", "certificate", "account"]:
        """How a request proves where it comes from."""
        if self.kind == "sns":
            return "certificate"
        if self.kind == "sqs":
            return "account"
        if self.kind in BEARING:
            return "bearer"
        return self.authentication if self.kind == "cloudevents" and self.authentication else "signature"

    @model_validator(mode="after")
    def _authenticated(self) -> SourceConfig:
        if self.kind == "cloudevents" and self.authentication is None:
            raise ValueError("a CloudEvent is a form and proves nothing: give authentication, signature or bearer")
        if self.kind != "cloudevents" and self.authentication is not None:
            raise ValueError(f"authentication is set for {self.kind}, which has its own: remove the key")
        if self.scheme in ("signature", "bearer") and not self.secrets:
            raise ValueError(f"the source {self.name!r} has no secret: name one under secrets, by env or file")
        if self.scheme in ("certificate", "account") and self.secrets:
            raise ValueError(f"the source {self.name!r} of kind {self.kind} takes no secret: remove secrets")
        if (self.kind == "sns") != bool(self.topics):
            raise ValueError("topics belong to sources of kind sns, which need at least one TopicArn")
        if (self.kind == "sqs") != (self.queue is not None and self.region is not None):
            raise ValueError("queue and region belong to sources of kind sqs, which need both")
        return self

    @field_validator("topics")
    @classmethod
    def _arns(cls, topics: list[str]) -> list[str]:
        for topic in topics:
            if not TOPIC.fullmatch(topic):
                raise ValueError(f"{topic!r} is no TopicArn: write arn:aws:sns:<region>:<account>:<name>")
        return topics


class RuleConfig(Section):
    """Which events of a source ask for a run; everything else is kept, seen as ignored, and starts nothing."""

    name: Name = Field(description="Name of the rule, for logs and for the list of events.")
    source: Name = Field(description="The source whose events are looked at.")
    bucket: str = Field(
        min_length=1,
        max_length=255,
        description="The bucket; for github the repository, for mlflow the registered model, for a CloudEvent its "
        "attribute `source`.",
    )
    prefix: str = Field(
        "",
        max_length=1024,
        description="What the key starts with; for github the ref, for mlflow the alias or version, for a CloudEvent "
        "its attribute `subject`.",
    )
    label: str | None = Field(
        None,
        max_length=200,
        description="What the event is: created or removed for objects; the event's name for github and mlflow; "
        "a CloudEvent's `type`. Any, if not given.",
    )


class DebounceConfig(Section):
    """Waiting until data has settled, so that many events become one run."""

    quiet_s: float = Field(60.0, ge=0, description="A run starts after this long without a further event,")
    max_wait_s: float = Field(900.0, ge=0, description="and at the latest this long after the first one.")

    @model_validator(mode="after")
    def _ordered(self) -> DebounceConfig:
        if self.max_wait_s < self.quiet_s:
            raise ValueError(
                f"max_wait_s is {self.max_wait_s:g}, less than quiet_s, {self.quiet_s:g}: wait at least as long"
            )
        return self


class KfpConfig(Section):
    """Where a cluster's runs are submitted to."""

    host: str = Field(description="Address of the KFP API, as http://ml-pipeline:8888.")
    namespace: str | None = Field(None, description="Kubernetes namespace, where KFP serves several users.")
    experiment: str | None = Field(None, description="Experiment of the runs; the project's name if not given.")
    pipeline: str | None = Field(None, description="Name of the uploaded pipeline; <project>-evernas if not given.")
    version: str | None = Field(
        None, description="Name of the pipeline version, pinned; the newest one of the pipeline if not given."
    )
    service_account: str | None = Field(None, description="Kubernetes service account of the runs.")
    home: str = Field(
        "/var/lib/evernas",
        description="The state's address, which every step of a run gets as its parameter `home`: s3://bucket/prefix "
        "(and if need be ?endpoint=https://host&region=name), or a folder that all steps share.",
    )
    token: SecretRef | None = Field(None, description="A bearer token for the API.")


class SubmitConfig(Section):
    """How a run is started, and how often it is tried."""

    to: Literal["local", "kfp"] = Field("local", description="local starts `evernas run` on this machine.")
    kfp: KfpConfig | None = Field(None, description="For kfp: where it is.")
    attempts: int = Field(3, ge=1, le=20, description="Runs that are tried for one change before it is given up.")
    retry_s: float = Field(60.0, ge=0, description="Seconds before the next attempt; doubled with each.")
    poll_s: float = Field(5.0, gt=0, description="Seconds between two looks at a run.")
    decision: Path | None = Field(
        None,
        description="For kfp: file with the Job that decides on what a run has handed over (`evernas decide`), which "
        "the receiver then makes in its own namespace. Without it, somebody else starts that command.",
    )

    @model_validator(mode="after")
    def _complete(self) -> SubmitConfig:
        if self.decision is not None and self.to != "kfp":
            raise ValueError("decision is for runs that are submitted to kfp: a run on this machine decides itself")
        if (self.to == "kfp") != (self.kfp is not None):
            raise ValueError("kfp must be given when runs are submitted to kfp, and only then")
        return self


class ScheduleConfig(Section):
    """The nightly run, which KFP starts."""

    cron: str = Field("0 0 2 * * *", description="KFP's cron of six fields, seconds first; UTC.")

    @field_validator("cron")
    @classmethod
    def _six_fields(cls, cron: str) -> str:
        if len(cron.split()) != 6:
            raise ValueError(f"cron is {cron!r}: KFP wants six fields, seconds first, as '0 0 2 * * *'")
        return cron


class LimitConfig(Section):
    """What one request and one client may cost."""

    body_bytes: int = Field(262_144, ge=1024, le=4_194_304, description="Largest body; a larger one gets 413.")
    header_s: float = Field(5.0, gt=0, description="Seconds for all headers; a slower client is cut off.")
    body_s: float = Field(10.0, gt=0, description="Seconds for the whole body; a slower client gets 408.")
    connections: int = Field(1000, ge=1, description="Open connections; more get 503.")
    requests_per_s: float = Field(
        5000.0, gt=0, description="Most requests a second of one client address, before any is verified."
    )
    waiting: int = Field(10_000, ge=1, description="Events that may wait for the disk; more get 503.")


class TlsConfig(Section):
    """The certificate with which `evernas serve` speaks TLS itself."""

    certificate: Path = Field(description="PEM file of the certificate chain.")
    key: Path = Field(description="PEM file of its key.")


class TriggersConfig(Section):
    """What starts runs: `evernas serve` receives events, and a schedule starts the nightly run."""

    database: SecretRef | None = Field(
        None,
        description="Where the address of the database is (postgresql://…, or sqlite:///…); a file in the state "
        "folder if not given.",
    )
    host: str = Field("127.0.0.1", description="Address that `evernas serve` listens on.")
    port: int = Field(8750, ge=0, le=65535, description="Port that `evernas serve` listens on.")
    tls: TlsConfig | None = Field(None, description="Speak TLS; bearer secrets are accepted over TLS only.")
    trusted_proxies: list[str] = Field(
        default=[], description="Addresses of proxies that end TLS and whose X-Forwarded headers are believed."
    )
    sources: list[SourceConfig] = Field(default=[], description="Who may post events.")
    rules: list[RuleConfig] = Field(default=[], description="Which events ask for a run.")
    own: list[str] = Field(
        default=[],
        description="Places that evernas itself writes to, as bucket/prefix; no rule may overlap them, and events "
        "about them are dropped.",
    )
    watch_config: bool = Field(
        True, description="A changed config, device, code or image asks for a run, also while `evernas serve` runs."
    )
    debounce: DebounceConfig = Field(default_factory=DebounceConfig, description="When events become a run.")
    submit: SubmitConfig = Field(default_factory=SubmitConfig, description="How a run is started.")
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig, description="The nightly run.")
    limits: LimitConfig = Field(default_factory=LimitConfig, description="What a request may cost.")
    retention_days: float = Field(30.0, gt=1, description="Days that events which are done with are kept.")

    @model_validator(mode="after")
    def _consistent(self) -> TriggersConfig:
        sources = [source.name for source in self.sources]
        for what, names in (("sources", sources), ("rules", [rule.name for rule in self.rules])):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} has the names {names}: name each once")
        for rule in self.rules:
            if rule.source not in sources:
                raise ValueError(f"the rule {rule.name!r} names the source {rule.source!r}, which sources lacks")
        bearing = [source.name for source in self.sources if source.scheme == "bearer"]
        if bearing and self.tls is None and not self.trusted_proxies:
            raise ValueError(
                f"the sources {', '.join(bearing)} send a secret that anyone on the way could read: "
                "give tls, or trusted_proxies that end TLS"
            )
        return self
