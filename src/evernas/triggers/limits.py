"""Token buckets: how many requests a second a source or a client may send; memory is bounded whoever asks."""

from __future__ import annotations

import time
from collections import OrderedDict

MOST_CLIENTS = 10_000


class Bucket:
    """Lets `rate` through a second, and as many at once."""

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = max(rate, 1.0)
        self._at = time.monotonic()

    def take(self, count: int = 1) -> bool:
        """Whether `count` more may pass now. A count above the burst passes when the bucket is full."""
        moment = time.monotonic()
        burst = max(self._rate, 1.0)
        self._tokens = min(burst, self._tokens + (moment - self._at) * self._rate)
        self._at = moment
        if self._tokens < min(count, burst):
            return False
        self._tokens -= count
        return True


class Clients:
    """A bucket a client address; the least recently seen is forgotten when there are too many."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str) -> bool:
        """Whether this client may send one more now."""
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = Bucket(self._rate)
            if len(self._buckets) > MOST_CLIENTS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(client)
        return bucket.take()
