"""Numbers print with units and sensible digits, and what is missing says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evernas.report import quantities as q


def shown(text: str) -> str:
    return text.replace(q.THIN, " ").replace(q.MINUS, "-")


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (q.percent, 0.0931, "9.3 %"),
        (q.percent, 0, "0.0 %"),
        (q.points, -0.012, "-1.2 points"),
        (q.points, 0.03, "+3.0 points"),
        (q.milliseconds, 0.18371, "0.184 ms"),
        (q.milliseconds, 12.345, "12.3 ms"),
        (q.milliseconds, 1234.5, "1,234 ms"),
        (q.milliseconds, 0.999999, "1.00 ms"),
        (q.kilobytes, 118.44, "118 kB"),
        (q.megabytes, 5.625, "5.62 MB"),
        (q.seconds, 0.04, "0.0 s"),
        (q.seconds, 59.6, "1 min 0 s"),
        (q.seconds, 192, "3 min 12 s"),
        (q.seconds, 7500, "2 h 5 min"),
        (q.thousands, 1_620_000, "1.62 M"),
        (q.thousands, 999_999, "1.00 M"),
        (q.thousands, 77, "77.0"),
        (q.count, 1234, "1,234"),
        (q.count, "18526321728", "18,526,321,728"),
        (q.count, "1234567" + "0" * 20, f"1.23 {q.TIMES} 10²⁶"),
    ],
)
def test_value_prints_with_its_unit(write: Callable[[object], str], value: object, text: str) -> None:
    assert shown(write(value)) == text


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "0.3", True, 10**400])
@pytest.mark.parametrize(
    "write", [q.percent, q.points, q.milliseconds, q.kilobytes, q.megabytes, q.seconds, q.thousands]
)
def test_what_is_no_number_is_not_measured(write: Callable[[object], str], value: object) -> None:
    assert write(value) == "not measured"


def test_change_is_relative_and_empty_where_a_side_is_missing() -> None:
    assert shown(q.change(0.25, 0.24)) == "-4.0 %"
    assert q.change(None, 1.0) == ""
    assert q.change(0.0, 1.0) == ""
    assert q.change(2.0, 2.0) == "unchanged"


def test_names_with_numbers_sort_as_a_person_would() -> None:
    assert sorted(["s10", "s2", "s1", "a", "10", "9"], key=q.natural) == ["9", "10", "a", "s1", "s2", "s10"]


def test_moment_prints_to_the_minute_and_leaves_other_text_alone() -> None:
    assert q.moment("2026-11-24T02:05:33+00:00") == "24 November 2026, 02:05 UTC"
    assert q.moment("yesterday") == "yesterday"
