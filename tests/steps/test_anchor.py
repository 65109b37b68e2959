"""The anchor: the best model since a person last set it, so that margins do not add up over nights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evernas.gate import Reason, Verdict
from evernas.registry import promotion
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.slots import StorageSlots
from evernas.state import Guard, Home
from evernas.state.ownership import claim as own
from evernas.steps.anchor import anchor_of
from evernas.steps.ledger import claim_decision, record_told
from evernas.storage import FileStorage

PROJECT, DEVICE = "watch", "laptop"
DONE = Verdict("promote", (Reason("better", True, -0.02, -0.01, -0.005, "Better."),), 1, 0.01, "")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def guard(home: Home) -> Iterator[Guard]:
    with own(home, 0, lambda text: None) as ownership:
        yield ownership.guard


def enter(home: Home, number: int, bundle: str) -> None:
    """An entry of the journal that no decision stands behind, as a roll-back makes one."""
    journal(home).claim(Entry(number, DEVICE, bundle, {}, "run", "verdict", "model", "now", f"token-{number}"))


def journal(home: Home) -> Journal:
    folder = home.journal(PROJECT)
    return Journal(StorageSlots(FileStorage(folder), str(folder)))


def reset(home: Home, reason: str) -> None:
    """What `evernas champion anchor` journals."""
    head = journal(home).head(DEVICE)
    assert head is not None
    promotion.anchor(journal(home), head, "by hand", reason)


def promote(home: Home, guard: Guard, number: int, bundle: str, *, better: bool, device: str = DEVICE) -> None:
    """A promotion through the ledger: the decision, what it told, the entry."""
    what = {"token": f"{device}-{number}", "run": "r", "device": device, "candidate": bundle, "champion": "old"}
    more = {"anchor": None, "journal": number - 1, "people": ["ann"]}
    decision = claim_decision(home, PROJECT, guard, what | more, 0.05, 365)
    facts = {"told": "promotion", "verdict": {}, "moves_anchor": better, "gate_error_by_domain": {}}
    record_told(home, PROJECT, guard, decision, DONE.to_json(), facts)
    if device == DEVICE:
        enter(home, number, bundle)


def anchor(home: Home, number: int) -> str | None:
    return anchor_of(home, PROJECT, journal(home), DEVICE, number)


def test_the_first_champion_is_the_first_anchor(home: Home, guard: Guard) -> None:
    assert anchor(home, 0) is None
    promote(home, guard, 1, "one", better=True)
    assert anchor(home, 1) == "one"


def test_a_model_from_elsewhere_is_the_anchor_until_a_better_one_is_shown(home: Home, guard: Guard) -> None:
    enter(home, 1, "imported")
    assert anchor(home, 1) == "imported"
    promote(home, guard, 2, "two", better=True)
    assert anchor(home, 2) == "two"


def test_many_small_trades_leave_the_anchor_where_it_was(home: Home, guard: Guard) -> None:
    promote(home, guard, 1, "one", better=True)
    for number in range(2, 6):
        promote(home, guard, number, f"faster-{number}", better=False)
    assert [anchor(home, number) for number in range(1, 6)] == ["one"] * 5


def test_a_roll_back_does_not_lower_the_anchor(home: Home, guard: Guard) -> None:
    promote(home, guard, 1, "one", better=True)
    promote(home, guard, 2, "two", better=True)
    enter(home, 3, "one")
    assert anchor(home, 3) == "two"


def test_a_decision_that_never_reached_the_journal_moves_nothing(home: Home, guard: Guard) -> None:
    promote(home, guard, 1, "one", better=True)
    promote(home, guard, 2, "elsewhere", better=True, device="phone")
    enter(home, 2, "one-again")
    assert anchor(home, 2) == "one"
    enter(home, 3, "elsewhere")
    assert anchor(home, 3) == "one"


def test_a_person_sets_the_anchor_to_the_champion_and_the_journal_knows(home: Home, guard: Guard) -> None:
    promote(home, guard, 1, "one", better=True)
    promote(home, guard, 2, "two", better=False)
    reset(home, "speed matters more now")
    assert anchor(home, 3) == "two"
    assert anchor(home, 2) == "one", "what was before it stays as it was"
    promote(home, guard, 4, "three", better=False)
    assert anchor(home, 4) == "two"
    reset(home, "again")
    assert anchor(home, 5) == "three"
    promote(home, guard, 6, "four", better=True)
    assert anchor(home, 6) == "four"
