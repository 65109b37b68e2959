"""Limits let through what they say, and cost no memory for clients that come once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import serving
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


def test_client_above_its_rate_is_told_to_wait_before_anything_of_it_is_read(tmp_path: Path) -> None:
    from fuzzing import Target

    target, body = Target(tmp_path, requests_per_s=2), serving.change()

    def statuses(client: str, *sources: str) -> list[int]:
        return [asyncio.run(target.post(source, body, {}, client)) for source in sources]

    assert statuses("10.0.0.1", "lake", "none", "lake", "none") == [415, 404, 429, 429]
    assert statuses("10.0.0.2", "lake") == [415], "another client's limit is its own"
