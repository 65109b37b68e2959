"""Counting what is asked of a server of objects: what a step costs there."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class Traffic:
    """What a client has asked of the server: requests by kind, tries that failed among them, and bytes of objects."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.bytes_read = self.bytes_written = 0
        self._lock = threading.Lock()

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.requests.items()))
        return (
            f"{self.requests.total()} requests to S3 ({kinds or 'none'}), {self.bytes_read} bytes read, "
            f"{self.bytes_written} written"
        )

    def sent(self, request: Any, **_: Any) -> None:
        """Count a request; botocore calls this before each try."""
        kind = "list" if request.method == "GET" and "list-type=2" in request.url else request.method.lower()
        with self._lock:
            self.requests[kind] += 1

    def moved(self, read: int = 0, written: int = 0) -> None:
        """Count bytes of objects."""
        with self._lock:
            self.bytes_read += read
            self.bytes_written += written
