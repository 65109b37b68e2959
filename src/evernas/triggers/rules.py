"""Which events ask for a run; and the refusal, before anything is served, of rules that our own writes would match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evernas.config import Config, source_address
from evernas.config_triggers import RuleConfig, TriggersConfig
from evernas.errors import UsageError
from evernas.triggers.events import Event

OURS = "written by evernas itself"
NO_RULE = "no rule matches"
STATE_FOLDERS = ("projects", "runs", "artifacts", "latest")


def model_of(project: str) -> str:
    """The registered model whose versions and aliases evernas writes."""
    return f"evernas-{project}"


@dataclass(frozen=True)
class Match:
    """The rule that an event matches, or why it starts nothing."""

    rule: str | None
    reason: str


class Rules:
    """The rules of a project."""

    def __init__(self, project: str, config: TriggersConfig) -> None:
        self._model = model_of(project)
        self._kinds = {source.name: source.kind for source in config.sources}
        self._own = [place(own) for own in config.own]
        self._by_source: dict[str, list[RuleConfig]] = {}
        for rule in config.rules:
            self._by_source.setdefault(rule.source, []).append(rule)

    def match(self, source: str, event: Event) -> Match:
        """The first rule that the event matches. What evernas wrote matches none."""
        if self._kinds.get(source) == "mlflow" and event.bucket == self._model:
            return Match(None, OURS)
        if any(event.bucket == bucket and event.key.startswith(prefix) for bucket, prefix in self._own):
            return Match(None, OURS)
        for rule in self._by_source.get(source, ()):
            if event.bucket == rule.bucket and event.key.startswith(rule.prefix) and rule.label in (None, event.label):
                return Match(rule.name, "")
        return Match(None, NO_RULE)


def place(text: str) -> tuple[str, str]:
    """Bucket and prefix of `bucket/prefix`."""
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    return bucket, prefix


def refuse_overlaps(config: Config, triggers: TriggersConfig, home: Path) -> None:
    """UsageError if something that evernas writes could ask for a run: that loop would never end."""
    kinds = {source.name: source.kind for source in triggers.sources}
    for rule in triggers.rules:
        if kinds[rule.source] == "mlflow" and rule.bucket == model_of(config.project):
            raise UsageError(
                f"The rule {rule.name!r} asks for a run when {rule.bucket} changes, which evernas itself promotes: "
                "name another registered model."
            )
        for own in triggers.own:
            bucket, prefix = place(own)
            if bucket == rule.bucket and (prefix.startswith(rule.prefix) or rule.prefix.startswith(prefix)):
                raise UsageError(
                    f"The rule {rule.name!r} watches {rule.bucket}/{rule.prefix}, which overlaps {own}, where evernas "
                    "writes: its own writes would start runs without end. Give data and state prefixes of their own."
                )
    _refuse_source_in_state(config, home)


def _refuse_source_in_state(config: Config, home: Path) -> None:
    address = source_address(config, home)
    if "://" in address:
        return
    source = Path(address)
    for name in STATE_FOLDERS:
        state = home / name
        if source == state or state in source.parents or source in state.parents:
            raise UsageError(
                f"data.source is {source}, which overlaps {state}, where evernas writes: "
                "keep data in a folder that is neither in nor above the state's."
            )
