"""Limits let through what they say, and cost no memory for clients that come once."""

from __future__ import annotations

import pytest

from evernas.triggers.limits import MOST_CLIENTS, Bucket, Clients


def test_bucket_lets_its_rate_through_and_refills(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [0.0]
    monkeypatch.setattr("evernas.triggers.limits.time.monotonic", lambda: moment[0])
    bucket = Bucket(5)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    moment[0] += 0.4
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    moment[0] += 100
    assert bucket.take(50), "a full bucket lets one large request through"
    assert not bucket.take(), "which the next ones wait for"


def test_many_clients_cost_bounded_memory_and_do_not_share_a_limit() -> None:
    clients = Clients(1)
    assert clients.take("steady")
    assert not clients.take("steady")
    assert all(clients.take(f"once-{number}") for number in range(MOST_CLIENTS + 100))
    assert len(clients._buckets) == MOST_CLIENTS
