"""The ledger: each decision is claimed before the split is read, once, and pays for all that was told before it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evernas.errors import IntegrityError
from evernas.gate import Reason, Verdict, claim
from evernas.state import Guard, Home
from evernas.state.ownership import claim as own
from evernas.steps import ledger
from evernas.steps.ledger import Decision, claim_decision, decisions, next_claim, record_told, told_since_promotion

PROJECT, ALPHA, LIMIT = "watch", 0.05, 10
HOLD = Verdict("hold", (Reason("better", False, 0.01, 0.02, -0.005, "Worse."),), 1, 0.01, "")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def guard(home: Home) -> Iterator[Guard]:
    with own(home, 0, lambda text: None) as ownership:
        yield ownership.guard


def claimed(home: Home, guard: Guard, token: str, people: str = "ann ben", **more: Any) -> Decision:
    what = {
        "token": token,
        "run": "r",
        "device": "laptop",
        "candidate": f"c-{token}",
        "champion": "old",
        "anchor": None,
    }
    return claim_decision(home, PROJECT, guard, what | {"journal": 1, "people": people.split()} | more, ALPHA, LIMIT)


def tell(home: Home, guard: Guard, decision: Decision, kind: str | None) -> dict[str, Any]:
    facts = {"told": kind, "verdict": {"outcome": "hold"}, "moves_anchor": False, "gate_error_by_domain": {}}
    return record_told(home, PROJECT, guard, decision, HOLD.to_json(), facts)


def test_decisions_on_the_same_people_count_up_and_spend(home: Home, guard: Guard) -> None:
    found = [claimed(home, guard, token) for token in "abc"]
    assert [d.claim for d in found] == [claim(ALPHA, LIMIT, (None,) * n) for n in range(3)]
    assert [d.number for d in decisions(home, PROJECT)] == [1, 2, 3]


def test_the_same_decision_taken_up_again_is_not_charged_again(home: Home, guard: Guard) -> None:
    first = claimed(home, guard, "a")
    claimed(home, guard, "b")
    again = claimed(home, guard, "a")
    assert again.claim == first.claim
    assert len(decisions(home, PROJECT)) == 2
    told = tell(home, guard, first, "better")
    assert claimed(home, guard, "a").told == told, "what it told, it tells again"


def test_people_who_were_never_read_bring_a_budget_of_their_own(home: Home, guard: Guard) -> None:
    for token in "abc":
        claimed(home, guard, token)
    assert claimed(home, guard, "d", "cat dan").claim == claim(ALPHA, LIMIT)
    assert claimed(home, guard, "e", "dan eve").claim == claim(ALPHA, LIMIT, (None,))
    mixed = claimed(home, guard, "f", "ann zoe")
    assert mixed.claim == claim(ALPHA, LIMIT, (None,) * 3), "one person who was read before is enough"


def test_all_devices_share_the_budget_of_their_split(home: Home, guard: Guard) -> None:
    claimed(home, guard, "a")
    assert claimed(home, guard, "b", device="phone").claim.decision == 2


def test_what_was_told_is_paid_for_by_the_next(home: Home, guard: Guard) -> None:
    tell(home, guard, claimed(home, guard, "a"), None)
    tell(home, guard, claimed(home, guard, "b"), "better")
    assert claimed(home, guard, "c").claim == claim(ALPHA, LIMIT, (None, "better"))
    assert next_claim(home, PROJECT, ["ben"], ALPHA, LIMIT) == claim(ALPHA, LIMIT, (None, "better", None))


def test_a_device_s_first_decision_without_a_champion_is_marked(home: Home, guard: Guard) -> None:
    first = claimed(home, guard, "a", champion=None)
    second = claimed(home, guard, "b", champion=None)
    other = claimed(home, guard, "c", champion=None, device="phone")
    beside = claimed(home, guard, "d", device="watch")
    assert [d.claimed["first"] for d in (first, second, other, beside)] == [True, False, True, False]
    assert first.entry == "first:hold"
    tell(home, guard, first, "promotion")
    assert decisions(home, PROJECT)[0].entry == "first:promotion"


def test_a_spent_budget_stays_spent(home: Home, guard: Guard) -> None:
    for n in range(LIMIT):
        claimed(home, guard, str(n))
    over = claimed(home, guard, "over")
    assert over.claim.spent
    assert (over.claim.decision, over.claim.left) == (LIMIT + 1, 0)
    assert claimed(home, guard, "over").claim.spent
    assert sum(d.claim.level for d in decisions(home, PROJECT)) < ALPHA


def test_raising_the_limit_later_never_spends_more_than_alpha(home: Home, guard: Guard) -> None:
    for n in range(LIMIT):
        claimed(home, guard, str(n))
    for n in range(LIMIT, 40):
        what = {**decisions(home, PROJECT)[0].claimed, "token": str(n)}
        for name in ("version", "decision", "level", "left", "first"):
            del what[name]
        claim_decision(home, PROJECT, guard, what, ALPHA, 10**n)
    assert sum(d.claim.level for d in decisions(home, PROJECT)) <= ALPHA


def test_news_is_remembered_by_device_until_its_next_promotion(home: Home, guard: Guard) -> None:
    for token, device, kind in [
        ("a", "laptop", "better"),
        ("b", "phone", "anchor"),
        ("c", "laptop", None),
        ("d", "laptop", "domains"),
    ]:
        tell(home, guard, claimed(home, guard, token, device=device), kind)
    now = claimed(home, guard, "e")
    assert told_since_promotion(home, PROJECT, now) == {"better", "domains"}
    tell(home, guard, now, "promotion")
    assert told_since_promotion(home, PROJECT, claimed(home, guard, "f")) == set()
    assert told_since_promotion(home, PROJECT, now) == {"better", "domains"}, "as it was when it was decided"
    assert told_since_promotion(home, PROJECT, claimed(home, guard, "g", "cat")) == set()


def test_exact_figures_of_a_hold_are_sealed_and_not_told(home: Home, guard: Guard) -> None:
    decision = claimed(home, guard, "a")
    told = tell(home, guard, decision, None)
    assert told["token"] == "a"
    assert json.loads((home.told(PROJECT) / "gate/000001.json").read_text()) == told
    sealed = json.loads((home.sealed(PROJECT) / "gate/000001.json").read_text())
    assert Verdict.from_json(sealed) == HOLD
    assert "0.01" not in json.dumps(told)


def test_a_ledger_of_another_version_is_refused_with_the_mend(home: Home, guard: Guard) -> None:
    claimed(home, guard, "a")
    path = home.ledger(PROJECT) / "gate/000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
    with pytest.raises(IntegrityError, match=r"version 1, .* other people in data\.splits\.gate"):
        decisions(home, PROJECT)


def test_two_devices_that_claim_at_once_get_two_entries(home: Home, guard: Guard) -> None:
    claims = [
        threading.Thread(target=claimed, args=(home, guard, f"t{n}"), kwargs={"device": f"d{n}"}) for n in range(8)
    ]
    for thread in claims:
        thread.start()
    for thread in claims:
        thread.join()
    found = decisions(home, PROJECT)
    assert [d.number for d in found] == list(range(1, 9))
    assert [d.claim.decision for d in found] == list(range(1, 9))
    assert {d.claimed["token"] for d in found} == {f"t{n}" for n in range(8)}


def test_the_ledger_s_version_is_its_own() -> None:
    assert (ledger.LEDGER_VERSION, ledger.TOLD_VERSION) == (2, 1)


def test_what_was_told_stands_when_it_is_told_again(home: Home, guard: Guard) -> None:
    """The answer to a first try was lost, or another attempt at the same decision was faster."""
    decision = claimed(home, guard, "a")
    first = tell(home, guard, decision, "hold")
    assert tell(home, guard, decision, "promotion") == first
