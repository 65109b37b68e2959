"""Which events ask for a run, and which never do, because evernas wrote what they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evernas.config_outbox import TYPE_PREFIX
from evernas.config_triggers import RuleConfig, TriggersConfig
from evernas.triggers.events import RUN_ENDED, Event
from evernas.triggers.places import Place, model_of

OURS = "written by evernas itself"
NO_RULE = "no rule matches"


@dataclass(frozen=True)
class Match:
    """The rule that an event matches, or why it starts nothing."""

    rule: str | None
    reason: str


class Rules:
    """The rules of a project; `written` is where evernas writes."""

    def __init__(self, project: str, config: TriggersConfig, written: Sequence[Place]) -> None:
        self._model = model_of(project)
        # What says of a CloudEvent that it is of our own outbox, should that post to this receiver.
        self._source = f"/evernas/{project}"
        self._kinds = {source.name: source.kind for source in config.sources}
        self._own = [(place.bucket, place.prefix) for place in written]
        self._by_source: dict[str, list[RuleConfig]] = {}
        for rule in config.rules:
            self._by_source.setdefault(rule.source, []).append(rule)

    def match(self, source: str, event: Event) -> Match:
        """The first rule that the event matches. What evernas wrote matches none."""
        if event.label == RUN_ENDED or (self._kinds.get(source) == "mlflow" and event.bucket == self._model):
            return Match(None, OURS)
        if event.bucket == self._source and event.label.startswith(TYPE_PREFIX):
            return Match(None, OURS)
        for bucket, prefix in self._own:
            if event.bucket == bucket and event.key.startswith(prefix):
                return Match(None, OURS)
        for rule in self._by_source.get(source, ()):
            if event.bucket == rule.bucket and event.key.startswith(rule.prefix) and rule.label in (None, event.label):
                return Match(rule.name, "")
        return Match(None, NO_RULE)
