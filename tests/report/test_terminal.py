"""The table a run ends with in the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from evernas.report import summary_table
from evernas.result import Result


def printed(result: Result, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(summary_table(result))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return str(text).replace("\u202f", " ")


def test_champion_before_stands_above_the_new_one_and_the_verdict_below(promotion: Result) -> None:
    text = printed(promotion)
    assert text.index("champion before") < text.index("new champion") < text.index("finalist") < text.index("promoted")
    assert "9.3 %" in text
    assert "0.242 ms" in text


def test_hold_names_each_failed_rule(hold: Result) -> None:
    text = " ".join(printed(hold, 300).split())
    for reason in hold.devices[0].verdict["reasons"]:
        assert (reason["sentence"] in text) is not reason["passed"]


def test_a_hold_says_what_gain_it_would_have_shown_and_a_promotion_does_not(hold: Result, promotion: Result) -> None:
    assert "would show a gain of 3.4 points four times in five" in printed(hold)
    assert "would show" not in printed(promotion)


def test_a_single_failed_rule_is_said_once(hold: Result) -> None:
    device = hold.devices[0]
    reasons = [{**reason, "passed": reason["rule"] != "better"} for reason in device.verdict["reasons"]]
    verdict = {**device.verdict, "sentence": f"Hold: {reasons[-1]['sentence']}", "reasons": reasons}
    result = hold.model_copy(update={"devices": [device.model_copy(update={"verdict": verdict})]})
    assert " ".join(printed(result, 300).split()).count(reasons[-1]["sentence"]) == 1


def test_each_device_has_its_table(two_devices: Result) -> None:
    text = printed(two_devices)
    assert "cpu (onnxruntime-cpu, 1 thread)" in text
    assert "cpu-2-threads (onnxruntime-cpu, 1 thread)" in text


def test_nothing_new_is_one_sentence(nothing_new: Result) -> None:
    assert printed(nothing_new).strip() == nothing_new.reason


@pytest.mark.parametrize("width", [40, 80])
def test_narrow_terminals_and_markup_in_names_do_no_harm(hold: Result, width: int) -> None:
    result = hold.model_copy(
        update={"devices": [hold.devices[0].model_copy(update={"device": "[red]x[/nope]\x1b[31m"})]}
    )
    text = printed(result, width)
    assert "\x1b" not in text


def test_the_ranking_is_one_line(first_promotion: Result, promotion: Result) -> None:
    assert "The supernet's ranking: 16 of 20 finalists are lacking to judge it." in printed(first_promotion)
    assert "The supernet's ranking of 32 finalists: tau 0." in printed(promotion)
    assert "; better than chance." in printed(promotion)
