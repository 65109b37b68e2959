"""When measured networks say that the latency model is of another machine."""

from __future__ import annotations

import pytest

from evernas.hardware.departure import FEWEST, NARROWEST, SPREADS, Departure


def test_the_median_of_the_ratios_is_what_counts() -> None:
    found = Departure.of([1.1, 2.0, 9.0], [1.0, 1.0, 1.0], 0.01)
    assert found == Departure(2.0, NARROWEST, 3)
    said = {"ratio": 2.0, "band": NARROWEST, "networks": 3, "before": None, "drift": 1.0, "last": None}
    findings = {"since_profile": 2.0, "departed": True, "stale": True, "lasting": False, "misled": False}
    assert found.to_json() == {**said, **findings}


@pytest.mark.parametrize("residual", [0.01, 0.2])
def test_the_band_is_as_wide_as_the_models_own_errors_either_way(residual: float) -> None:
    band = max(SPREADS * residual, NARROWEST)
    inside, outside = 1 + 0.99 * band, 1 + 1.01 * band
    for ratio, stale in ((inside, False), (outside, True), (1 / inside, False), (1 / outside, True), (1.0, False)):
        found = Departure.of([3 * ratio, 5 * ratio], [3.0, 5.0], residual)
        assert found is not None
        assert found.stale == stale


@pytest.mark.parametrize(
    ("before", "lasting"), [(None, False), (1.0, False), (1.6, True), (1.8, True), (2.4, False), (0.6, False)]
)
def test_a_departure_that_a_new_profile_left_where_it_was_is_lasting(before: float | None, lasting: bool) -> None:
    found = Departure.of([1.6, 1.7, 1.8], [1.0, 1.0, 1.0], 0.01, before)
    assert found is not None
    assert (found.stale, found.lasting) == (True, lasting)


def test_a_ratio_inside_the_band_is_no_lasting_departure() -> None:
    found = Departure.of([1.1, 1.1], [1.0, 1.0], 0.01, 1.1)
    assert found is not None
    assert not found.lasting


@pytest.mark.parametrize(
    ("ratio", "drift", "last", "departed", "stale"),
    [
        (1.0, 1.6, None, True, False),
        (1.0, 1.6, 1.5, True, True),
        (1.0, 1.6, 2.4, True, False),
        (1.0, 1.6, 0.6, True, False),
        (1.0, 0.6, 0.65, True, True),
        (1.0, 1.1, 1.6, False, False),
        (1.5, 1.1, None, True, True),
        (0.65, 1.6, None, False, False),
        (0.65, 1.6, 1.05, False, False),
    ],
)
def test_what_the_predictions_follow_is_this_days_until_it_is_the_next_days_too(
    ratio: float, drift: float, last: float | None, departed: bool, stale: bool
) -> None:
    """The last two: a probe met a slow moment, and by what the finalists take the profile is right."""
    found = Departure.of([ratio] * 3, [1.0] * 3, 0.01, drift=drift, last=last)
    assert found is not None
    assert (found.departed, found.stale) == (departed, stale)


@pytest.mark.parametrize(
    ("ratio", "drift", "networks", "misled"),
    [(0.65, 1.6, 3, True), (1.6, 0.65, 3, True), (0.65, 1.6, 1, False), (1.6, 1.0, 3, False), (1.0, 1.6, 3, False)],
)
def test_what_probes_raised_without_need_is_told(ratio: float, drift: float, networks: int, misled: bool) -> None:
    found = Departure.of([ratio] * networks, [1.0] * networks, 0.01, drift=drift)
    assert found is not None
    assert found.misled == misled


def test_a_drift_that_a_new_profile_left_where_it_was_is_lasting() -> None:
    found = Departure.of([1.0] * 3, [1.0] * 3, 0.01, before=1.55, drift=1.6, last=1.6)
    assert found is not None
    assert found.lasting


def test_one_network_is_no_alarm_and_none_says_nothing() -> None:
    alone = Departure.of([5.0] * (FEWEST - 1), [1.0] * (FEWEST - 1), 0.01)
    assert alone is not None
    assert not alone.stale
    assert Departure.of([], [], 0.01) is None


def test_every_measurement_needs_its_prediction() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        Departure.of([1.0], [1.0, 2.0], 0.01)
