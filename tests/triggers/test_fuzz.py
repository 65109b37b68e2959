"""Whatever a proven sender sends is answered without a 5xx and leaves no memory behind; OpenAPI says what is done."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import psutil
import pytest

from fuzzing import Target, fuzz


def test_fuzzed_bodies_give_no_5xx_and_the_memory_stays_flat(tmp_path: Path) -> None:
    target = Target(tmp_path)
    process = psutil.Process()
    fuzz(target, 200)
    gc.collect()
    before = process.memory_info().rss
    target = Target(tmp_path)
    assert fuzz(target, 1000) >= 500
    gc.collect()
    assert process.memory_info().rss - before < 30 * 2**20
    assert target.statuses[202] > 50, "some of them are accepted"
    assert target.statuses[400] > 50, "and some are refused behind the proof"


def test_openapi_document_is_what_the_receiver_does(tmp_path: Path) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, settings

    target = Target(tmp_path)
    schema = schemathesis.openapi.from_asgi("/openapi.json", target.service.app)
    seen: set[tuple[str, int]] = set()
    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=40, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @_given(strategy)
        def check(case: Any) -> None:
            # Nobody waits for the lifespan here, so the service is not ready: a documented 503.
            answer = case.call()
            case.validate_response(answer)
            seen.add((case.path, answer.status_code))

        check()
    assert {path for path, _ in seen} == {"/v1/events/{source}", "/healthz", "/readyz", "/metrics"}
    assert all(status < 500 or path == "/readyz" for path, status in seen)


def _given(strategy: Any) -> Any:
    from hypothesis import given

    return given(case=strategy)
