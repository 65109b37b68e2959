"""From a request to an answer: limits, proof, rules, inbox; the web framework is not known here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evernas.config_triggers import LimitConfig
from evernas.triggers.events import RefusedError
from evernas.triggers.inbox import Entry, Inbox, Outcome
from evernas.triggers.limits import Bucket, Clients
from evernas.triggers.metrics import Metrics
from evernas.triggers.rules import Rules
from evernas.triggers.sources import Heard, Request, Source

LOG = logging.getLogger("evernas.triggers")


@dataclass(frozen=True)
class Receiver:
    """Receives for one project."""

    sources: Mapping[str, Source]
    rules: Rules
    inbox: Inbox
    metrics: Metrics
    clients: Clients
    buckets: Mapping[str, Bucket]
    hint: Callable[[], None]

    @classmethod
    def of(
        cls,
        sources: Mapping[str, Source],
        rules: Rules,
        inbox: Inbox,
        metrics: Metrics,
        limits: LimitConfig,
        hint: Callable[[], None],
    ) -> Receiver:
        buckets = {name: Bucket(source.config.events_per_s) for name, source in sources.items()}
        return cls(sources, rules, inbox, metrics, Clients(limits.requests_per_s), buckets, hint)

    def admit(self, name: str, client: str) -> Source:
        """The source of a request before its body is read; RefusedError 429 or 404."""
        if not self.clients.take(client):
            raise RefusedError(429, "Too many requests: send again later.")
        source = self.sources.get(name)
        if source is None:
            raise RefusedError(404, "There is no such source.")
        return source

    async def receive(self, source: Source, request: Request) -> dict[str, Any]:
        """Keep what a request says; returns the answer for its sender. RefusedError for what is not accepted."""
        if source.waits:
            heard = await asyncio.to_thread(source.hear, request)
        else:
            heard = source.hear(request)
        if heard.confirmation is not None:
            await self._confirm(source, heard)
            return {"confirmed": True}
        return await self.keep(source, heard)

    async def keep(self, source: Source, heard: Heard) -> dict[str, Any]:
        """Keep the events of a proven request."""
        name = source.config.name
        if not self.buckets[name].take(len(heard.events)):
            raise RefusedError(429, "This source sends too many events: send again later.")
        entries = [Entry(name, event, self.rules.match(name, event), heard.signed_at) for event in heard.events]
        outcomes = await self.inbox.put(entries)
        for outcome in outcomes:
            self.metrics.events(name, outcome)
        self.hint()
        return _answer(outcomes)

    async def _confirm(self, source: Source, heard: Heard) -> None:
        assert source.topics is not None
        assert heard.confirmation is not None
        try:
            await asyncio.to_thread(source.topics.confirm, heard.confirmation)
        except OSError:
            raise RefusedError(503, "SNS did not take the confirmation: send again.") from None
        LOG.info("subscription confirmed", extra={"source": source.config.name})


def _answer(outcomes: list[Outcome]) -> dict[str, Any]:
    """What the sender is told; RefusedError 409 for a request that is a replay and nothing else."""
    if outcomes and all(outcome == "replayed" for outcome in outcomes):
        raise RefusedError(409, "This very request was received before and is kept: sign anew to send again.")
    return {"kept": len(outcomes), "new": sum(outcome in ("new", "ignored") for outcome in outcomes)}
