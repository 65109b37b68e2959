"""Verdicts travel as JSON, stay consistent, and speak in one sentence."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from evernas.digest import canonical_json
from evernas.errors import IntegrityError
from evernas.gate import Reason, Verdict
from evernas.gate.wording import compared, confidence, digits, number

GOOD = Reason("better", True, -0.02, -0.01, -0.005, "The error is lower: passed.")
BAD = Reason("no_worse:error", False, 0.02, 0.03, 0.02, "The error is higher: failed.")
PROMOTE = Verdict("promote", (GOOD,), 3, 0.004, "For these people only.", 0.02, 0.03, 362)
HOLD = Verdict("hold", (BAD, GOOD, BAD), 1, 0.025, "For these people only.")


@pytest.mark.parametrize("verdict", [PROMOTE, HOLD])
def test_a_verdict_survives_canonical_json(verdict: Verdict) -> None:
    assert Verdict.from_json(json.loads(canonical_json(verdict.to_json()))) == verdict


def test_figures_that_are_not_finite_become_null() -> None:
    reason = Reason("x", False, math.nan, math.inf, 1.0, "No.")
    document = Verdict("hold", (reason,), 1, 0.025, "", resolution=math.inf).to_json()
    assert canonical_json(document)
    assert document["reasons"][0]["value"] is document["reasons"][0]["bound"] is document["resolution"] is None


@pytest.mark.parametrize(("outcome", "reasons"), [("promote", (GOOD, BAD)), ("hold", (GOOD,)), ("promote", ())])
def test_an_outcome_that_the_reasons_contradict_cannot_be_made(outcome: Any, reasons: tuple[Reason, ...]) -> None:
    with pytest.raises(ValueError, match="reasons say otherwise"):
        Verdict(outcome, reasons, 1, 0.025, "")


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "hold"},
        {"outcome": "maybe"},
        {"version": 1},
        {"reasons": []},
        {"reasons": [{**GOOD.to_json(), "passed": "yes"}]},
        {"reasons": [{**GOOD.to_json(), "passed": 1}]},
        {"reasons": [{**GOOD.to_json(), "value": "low"}]},
        {"reasons": [{"rule": "better"}]},
        {"decision": "1"},
        {"decision": True},
        {"level": None},
        {"scope": None},
        {"resolution": True},
        {"left": "many"},
    ],
)
def test_a_document_that_is_no_verdict_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="run the gate again"):
        Verdict.from_json({**PROMOTE.to_json(), **change})


@pytest.mark.parametrize("document", [None, [], "promote", {}])
def test_what_is_no_document_is_refused(document: Any) -> None:
    with pytest.raises(IntegrityError):
        Verdict.from_json(document)


def test_the_sentence_names_the_outcome_and_the_first_failing_rule() -> None:
    assert PROMOTE.sentence() == "Promote: the error is lower; all 1 rules passed."
    assert HOLD.sentence() == "Hold: the error is higher: failed (1 more rule failed)."
    assert [reason.rule for reason in HOLD.failed] == ["no_worse:error", "no_worse:error"]


def test_figures_read_well() -> None:
    assert compared(-1.23, "points") == "1.2 points lower"
    assert compared(0.3, "%") == "0.3 % higher"
    assert compared(-0.001, "%") == "0.0 % lower"
    assert compared(math.inf, "%") == "unbounded % higher"
    assert number(-0.01) == "0.0"
    assert number(math.inf) == "unbounded"
    assert confidence(0.025) == "97.5 %"
    assert confidence(0.0125) == "98.75 %"
    assert confidence(1e-6) == "99.9999 %"
    assert confidence(1.2e-4) == "99.988 %"
    assert digits(2.04, 2.0) == 2
    assert digits(2.0, 2.0) == 1
    assert digits(2.00001, 2.0) == 4


def test_a_verdict_names_its_metric_and_one_of_before_there_were_several_has_none() -> None:
    by_f1 = replace(PROMOTE, quality="macro_f1")
    document = by_f1.to_json()
    assert (document["quality"], document["sentence"]) == ("macro_f1", by_f1.sentence())
    assert Verdict.from_json(document) == by_f1
    before = {key: value for key, value in document.items() if key != "quality"} | {"version": 2}
    assert Verdict.from_json(before) == PROMOTE
    with pytest.raises(IntegrityError, match="quality"):
        Verdict.from_json({**before, "version": 3})
    with pytest.raises(IntegrityError, match="is no text"):
        Verdict.from_json({**document, "quality": 1})


def test_several_other_rules_are_counted_in_the_plural() -> None:
    assert (
        replace(HOLD, reasons=(BAD, BAD, BAD)).sentence() == "Hold: the error is higher: failed (2 more rules failed)."
    )
    assert replace(HOLD, reasons=(BAD, GOOD)).sentence() == "Hold: the error is higher: failed."
