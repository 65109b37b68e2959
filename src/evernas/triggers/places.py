"""Where evernas writes; and the refusal, before anything is served, of rules and sources that overlap it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from evernas.config import Config, source_address
from evernas.config_triggers import TriggersConfig
from evernas.errors import UsageError
from evernas.state.layout import AREAS

STATE_FOLDERS = ("projects", "runs", "artifacts", "latest")


@dataclass(frozen=True)
class Place:
    """A prefix of a bucket, as `name` calls it; on the server `endpoint`, where that is said."""

    bucket: str
    prefix: str
    name: str
    endpoint: str | None = None

    @classmethod
    def of_prefix(cls, text: str) -> Place:
        """The keys of a bucket that begin as `bucket/prefix` says."""
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        return cls(bucket, prefix, text)

    @classmethod
    def of_address(cls, url: str) -> Place:
        """The folder that an s3:// address names."""
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        endpoint = parse_qs(parts.query).get("endpoint", [None])[0]
        return cls(parts.netloc, prefix and f"{prefix}/", url.partition("?")[0], endpoint)

    def under(self, folder: str) -> Place:
        """A folder in this one."""
        return replace(self, prefix=self.prefix + folder, name=f"{self.name.rstrip('/')}/{folder}")

    def overlaps(self, other: Place) -> bool:
        """Whether a key can lie in both. Places of which one does not say its server may be on the same."""
        if self.endpoint and other.endpoint and self.endpoint != other.endpoint:
            return False
        nested = self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        return self.bucket == other.bucket and nested


def model_of(project: str) -> str:
    """The registered model whose versions and aliases evernas writes."""
    return f"evernas-{project}"


def written(config: Config, triggers: TriggersConfig, lease: str | None) -> list[Place]:
    """Where evernas writes in buckets: what the config calls its own, and what it says of state, journal and artifacts.

    `lease` is the address of the state that has the lease, where it is not that of the runs.
    """
    kfp, journal, cluster = triggers.submit.kfp, config.registry.journal, config.cluster
    states = _buckets(kfp.home if kfp else None, lease)
    return [
        *map(Place.of_prefix, triggers.own),
        *(state.under(area) for state in states for area in AREAS),
        *(place.under(f"{config.project}/journal/") for place in _buckets(journal and os.path.expandvars(journal))),
        *_buckets(cluster.root if cluster else None),
    ]


def refuse_overlaps(config: Config, triggers: TriggersConfig, home: Path, places: Sequence[Place]) -> None:
    """UsageError if something that evernas writes could ask for a run: that loop would never end."""
    kinds = {source.name: source.kind for source in triggers.sources}
    for rule in triggers.rules:
        kind, watched = kinds[rule.source], Place(rule.bucket, rule.prefix, f"{rule.bucket}/{rule.prefix}")
        if kind == "mlflow" and rule.bucket == model_of(config.project):
            raise UsageError(
                f"The rule {rule.name!r} asks for a run when {rule.bucket} changes, which evernas itself promotes: "
                "name another registered model."
            )
        for own in places:
            if watched.overlaps(own):
                raise UsageError(
                    f"The rule {rule.name!r} watches {watched.name}, which overlaps {own.name}, where evernas "
                    "writes: its own writes would start runs without end. Give data and state prefixes of their own."
                )
    _refuse_source_in_state(source_address(config, home), home, places)


def _refuse_source_in_state(address: str, home: Path, places: Sequence[Place]) -> None:
    for source in _buckets(address):
        for own in filter(source.overlaps, places):
            raise UsageError(
                f"data.source is {source.name}, which overlaps {own.name}, where evernas writes: "
                "give data and state prefixes of their own."
            )
    if "://" in address:
        return
    folder = Path(address)
    for name in STATE_FOLDERS:
        state = home / name
        if folder == state or state in folder.parents or folder in state.parents:
            raise UsageError(
                f"data.source is {folder}, which overlaps {state}, where evernas writes: "
                "keep data in a folder that is neither in nor above the state's."
            )


def _buckets(*addresses: str | None) -> list[Place]:
    """The places of those addresses that are in buckets."""
    return [Place.of_address(one) for one in addresses if one is not None and one.startswith("s3://")]
