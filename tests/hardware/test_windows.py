"""Which restarts are believed."""

from __future__ import annotations

from typing import Any

import pytest

from evernas.hardware.measurement import figures_of_calls, latency_over_restarts, variation
from evernas.hardware.windows import all_quiet, best_window, fastest, least_share, starved, unstable


def restart(median_ms: float, reference_ms: float = 1.0, quiet: bool = True, cpu_share: float = 0.99) -> dict[str, Any]:
    models = {"a": {"median_ms": median_ms}, "ref": {"median_ms": reference_ms}}
    found = {"models": models, "reference": "ref", "quiet": quiet, "fastest_reference_ms": reference_ms}
    return {**found, "cpu_share": cpu_share}


def test_a_disturbed_restart_is_left_out_once_enough_others_remain() -> None:
    disturbed = restart(2.0, reference_ms=1.9)
    steady = [restart(1.0), restart(1.01)]
    assert best_window([disturbed, *steady], 2, ["a"], 0.1, 0.6) == steady
    assert best_window([steady[0], disturbed, steady[1]], 2, ["a"], 0.1, 0.6) == steady


def test_a_restart_that_lacked_a_processor_is_left_out_before_a_disturbed_one_is() -> None:
    lacking, disturbed = restart(1.0, cpu_share=0.33), restart(1.0, quiet=False)
    fed = [restart(1.0), restart(1.01, cpu_share=0.6)]
    assert best_window([*fed, lacking], 2, ["a"], 0.1, 0.6) == fed
    assert best_window([fed[0], disturbed, lacking], 2, ["a"], 0.1, 0.6) == [fed[0], disturbed]
    assert best_window([fed[0], lacking], 2, ["a"], 0.1, 0.6) == [fed[0], lacking]
    assert best_window([*fed, lacking], 2, ["a"], 0.1, 0.0) == [fed[1], lacking], "nothing is asked for"


def test_one_restart_without_a_processor_is_enough_to_believe_none() -> None:
    assert starved([restart(1.0), restart(1.0, cpu_share=0.59)], 0.6)
    assert not starved([restart(1.0), restart(1.0, cpu_share=0.6)], 0.6)
    assert starved([restart(1.0, cpu_share=float("nan"))], 0.6)
    assert not starved([restart(1.0, cpu_share=0.0)], 0.0)
    assert not starved([], 0.6)
    assert least_share([restart(1.0), restart(1.0, cpu_share=0.4)]) == 0.4


def test_a_machine_that_was_slow_at_first_is_known_as_such_only_later() -> None:
    slow = [restart(2.0, reference_ms=2.0)] * 2
    assert all_quiet(slow, slow)
    assert not all_quiet(slow, [*slow, restart(1.0)])


def test_with_too_few_undisturbed_restarts_all_count_and_the_variation_shows() -> None:
    restarts = [restart(1.0), restart(2.0, quiet=False)]
    chosen = best_window(restarts, 2, ["a"], 0.1, 0.6)
    assert chosen == restarts
    assert unstable(chosen, ["a"], 0.1) == {"a"}


def test_the_last_steady_window_is_taken_whatever_its_speed() -> None:
    restarts = [restart(1.0), restart(1.0), restart(1.5), restart(1.5)]
    assert best_window(restarts, 2, ["a"], 0.1, 0.6) == restarts[2:]


def test_a_median_that_is_no_number_is_never_steady() -> None:
    assert unstable([restart(float("nan")), restart(1.0)], ["a"], 0.1) == {"a"}


def test_no_restarts_yet() -> None:
    assert best_window([], 2, ["a"], 0.1, 0.6) == []
    assert fastest([]) == {}
    assert fastest([restart(1.0), restart(1.0, reference_ms=0.9)]) == {"fastest_reference_ms": 0.9}


def test_figures_of_calls_are_in_ms() -> None:
    figures = figures_of_calls([1_000_000] * 98 + [5_000_000, 9_000_000])
    assert figures["median_ms"] == 1.0
    assert figures["mad_ms"] == 0.0
    assert 1.0 <= figures["p95_ms"] <= figures["p99_ms"] <= 9.0
    assert figures["mean_ms"] == pytest.approx(1.12)
    assert figures["count"] == 100


def test_restarts_are_joined_by_their_medians() -> None:
    rows = [{"median_ms": m, "p95_ms": 2 * m, "p99_ms": 3 * m, "mad_ms": 0.1} for m in (1.0, 1.2, 5.0)]
    latency = latency_over_restarts(rows)
    assert (latency.median_ms, latency.p95_ms, latency.p99_ms) == (1.2, 2.4, pytest.approx(3.6))
    assert latency.per_restart_p95_ms == (2.0, 2.4, 10.0)
    assert latency.cv == variation([1.0, 1.2, 5.0]) == pytest.approx(0.940, abs=1e-3)
