"""Polling an SQS queue for events: messages are deleted only once their events are on disk."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from evernas.config_triggers import SourceConfig
from evernas.triggers import objects
from evernas.triggers.events import Event, RefusedError, mapping, parse_json
from evernas.triggers.metrics import Metrics
from evernas.triggers.receiver import Receiver
from evernas.triggers.sources import Heard, Source

LOG = logging.getLogger("evernas.triggers")
MESSAGES = 10
LONG_POLL_S = 10
AFTER_ERROR_S = 5.0
KEEP_S = 60.0


class Poller:
    """Polls one queue, from a thread of its own, until it is stopped."""

    def __init__(self, source: Source, receiver: Receiver, loop: asyncio.AbstractEventLoop, metrics: Metrics) -> None:
        self._source = source
        self._receiver = receiver
        self._loop = loop
        self._metrics = metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name=f"sqs-{source.config.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current poll; what it received and did not keep, SQS delivers again."""
        self._stop.set()

    def _poll(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        client = _client(self._source.config)
        while not self._stop.is_set():
            try:
                self._once(client)
            except (BotoCoreError, ClientError, RefusedError, TimeoutError) as error:
                self._metrics.refused(self._source.config.name, getattr(error, "status", 502))
                LOG.warning("unavailable", extra={"source": self._source.config.name, "error": type(error).__name__})
                self._stop.wait(AFTER_ERROR_S)
            except Exception:
                # Polling must outlive whatever a message holds; what was not deleted comes again.
                LOG.exception("poll failed", extra={"source": self._source.config.name})
                self._stop.wait(AFTER_ERROR_S)

    def _once(self, client: Any) -> None:
        """Receive some messages, keep all their events in one commit, and only then delete them."""
        queue = self._source.config.queue
        received = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=MESSAGES, WaitTimeSeconds=LONG_POLL_S)
        understood, events = [], []
        for message in received.get("Messages", []):
            try:
                events += events_of(message["Body"])
                understood.append(message)
            except RefusedError as refused:
                self._say_refused(message["MessageId"], refused)
        if not understood:
            return
        keeping = self._receiver.keep(self._source, Heard(events))
        asyncio.run_coroutine_threadsafe(keeping, self._loop).result(KEEP_S)
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(understood)
        ]
        # What cannot be deleted comes again, and is known then.
        client.delete_message_batch(QueueUrl=queue, Entries=entries)

    def _say_refused(self, message: str, refused: RefusedError) -> None:
        """Say that a message is none of ours. It stays, until the queue's redrive policy moves it to the dead ones."""
        name = self._source.config.name
        self._metrics.refused(name, refused.status)
        LOG.warning("refused", extra={"source": name, "event": message, "reason": refused.sentence})


def events_of(body: str) -> list[Event]:
    """The events of a message, which SNS may have wrapped."""
    document = mapping(parse_json(body.encode("utf-8", "surrogatepass")), "The message")
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str):
        document = mapping(parse_json(document["Message"].encode("utf-8", "surrogatepass")), "The message")
    return objects.change(document)


def _client(config: SourceConfig) -> Any:
    import boto3

    return boto3.client("sqs", region_name=config.region, endpoint_url=config.endpoint)
