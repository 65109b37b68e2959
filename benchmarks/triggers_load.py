"""An open-loop load generator: signed events fall due at a fixed rate, whether or not the receiver keeps up.

Run as a program of its own, so that it has a processor of its own: `python triggers_load.py PORT RATE SECONDS`. Prints
one JSON object: latencies count from the moment each event was due.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from typing import Any

import uvloop

CONNECTIONS = 48
GIVE_UP_S = 30.0
LONGEST_S = 200.0


class Connection(asyncio.Protocol):
    """A keep-alive connection with one request in flight."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.answer: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) >= length:
            self._buffer = rest[length:]
            self._set(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._set(0)

    def _set(self, status: int) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(status)


def requests(count: int, secret: str, prefix: str) -> list[bytes]:
    """Signed requests with distinct ids, made before the clock starts."""
    made = []
    moment = str(int(time.time()))
    for number in range(count):
        message = f"{prefix}-{number:07d}"
        key = f"watch/batch-{number:07d}.parquet"
        body = json.dumps({"bucket": "raw", "key": key, "label": "created", "version": str(number)}).encode()
        mac = hmac.digest(secret.encode(), f"{message}.{moment}.".encode() + body, hashlib.sha256)
        made.append(
            b"POST /v1/events/lake HTTP/1.1\r\nhost: lake\r\ncontent-type: application/json\r\n"
            + f"webhook-id: {message}\r\nwebhook-timestamp: {moment}\r\n".encode()
            + b"webhook-signature: v1,"
            + base64.b64encode(mac)
            + f"\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
    return made


async def load(port: int, rate: float, seconds: float, secret: str, prefix: str, again: bool) -> dict[str, Any]:
    """Send, and say how long each took, what was answered, and which were acknowledged."""
    loop = asyncio.get_running_loop()
    made = requests(int(rate * seconds), secret, prefix)
    latencies: list[float] = [0.0] * len(made)
    statuses: list[int] = [0] * len(made)
    following = iter(range(len(made)))
    # Not the loop's clock, which stands still while it works, and counts in ms.
    start, cpu = time.perf_counter() + 0.5, time.process_time()

    async def worker() -> None:
        connection: Connection | None = None
        for number in following:
            due = start + number / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            while True:
                try:
                    if connection is None or connection.transport is None:
                        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
                    connection.answer = loop.create_future()
                    connection.transport.write(made[number])
                    statuses[number] = await asyncio.wait_for(connection.answer, GIVE_UP_S)
                except OSError:
                    statuses[number] = 0
                latencies[number] = time.perf_counter() - due
                if not again or statuses[number] in (202, 409) or latencies[number] > LONGEST_S:
                    break
                # Nobody has answered for it, as after a kill: a sender sends the very same request again.
                await asyncio.sleep(0.1)

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    took = time.perf_counter() - start
    accepted = [latency for latency, status in zip(latencies, statuses, strict=True) if status == 202]
    return {
        "sent": len(made),
        "seconds": took,
        "per_second": len(accepted) / took,
        "statuses": dict(Counter(map(str, statuses))),
        "latency_ms": quantiles(accepted),
        "cpu_ms_per_event": 1000 * (time.process_time() - cpu) / len(made),
        # 409 says that it was received before and is kept: its 202 was lost on the way.
        "acknowledged": [number for number, status in enumerate(statuses) if status in (202, 409)],
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Median, p99, p99.9 and the largest, in ms."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("rate", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--prefix", default="load")
    parser.add_argument("--again", action="store_true", help="Send again what was not answered.")
    asked = parser.parse_args()
    print(json.dumps(uvloop.run(load(asked.port, asked.rate, asked.seconds, asked.secret, asked.prefix, asked.again))))


if __name__ == "__main__":
    main()
