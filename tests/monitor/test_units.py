"""What was counted is known in a bounded space, and nothing is counted twice however much came between."""

from __future__ import annotations

from typing import Any

import numpy as np

from evernas.monitor.units import NO_ANSWER, ROWS_OF_A_RECORDING, WAITING, Units, digest_of


def _rows(units: list[int], first: int = 0) -> Any:
    ids = [digest_of("id", str(first + n)) for n in range(len(units))]
    return np.array([(id, unit, 0, 0, 0) for id, unit in zip(ids, units, strict=True)], WAITING)


def _units(first: int, count: int) -> list[int]:
    return [digest_of("recording", str(n)) for n in range(first, first + count)]


def test_the_space_is_bounded_and_what_was_counted_never_counts_again() -> None:
    units, counted = Units(), set[int]()
    for day in range(40):
        # Each day's export overlaps all that came before.
        found = np.array(_units(0, 100 * (day + 1)), "<u8")
        new = found[~units.known(found) & units.sampled(found)]
        assert not counted & set(new.tolist())
        counted |= set(new.tolist())
        units.add(_rows(new.tolist(), 1000 * day), limit=500)
        assert len(units.seen) + len(units.waiting) <= 500
    assert units.halvings == 4
    assert 500 < len(counted) < 2000
    assert len(units.seen) > 100, "what is to come still counts"


def test_of_a_recording_so_many_rows_wait_and_it_is_settled_once_by_those_that_have_labels() -> None:
    units = Units()
    rows = _rows([7] * 1000 + [8])
    units.add(rows)
    assert len(units.waiting) == ROWS_OF_A_RECORDING + 1
    one, other = units.waiting["id"][units.waiting["unit"] == 7][:2]
    settled, wrong = units.settle(np.array([one, other, one], "<u8"), np.array([0, 1, 1], "<u2"))
    assert (len(settled), wrong.tolist()) == (2, [1.0, 1.0]), "of two labels the later one"
    assert units.waiting["unit"].tolist() == [8]
    assert units.known(np.array([7, 8, 9], "<u8")).tolist() == [True, True, False]
    nothing = units.settle(np.empty(0, "<u8"), np.empty(0, "<u2"))
    assert len(nothing[0]) == 0


def test_it_is_the_same_after_it_was_kept() -> None:
    units = Units()
    units.add(_rows(_units(0, 100)), limit=120)
    again = Units.from_json(units.to_json())
    assert (again.seen.tolist(), again.halvings) == (units.seen.tolist(), units.halvings)
    assert again.waiting.tolist() == units.waiting.tolist()
    again.add(_rows([1, 2], 500))
    assert np.uint16(NO_ANSWER) == NO_ANSWER
