"""What was measured between the rounds of a search is told in one line, wherever a run is told."""

from __future__ import annotations

import io

from rich.console import Console

from evernas.report import render_report, summary_table
from evernas.report.markdown import run_summary
from evernas.result import ProbeRecord, Result, RoundRecord, TranslatedRecord

SENTENCE = "6 of the front's least certain networks measured: 2 outside the band of 15 %: searched again, 100 more"


def told(result: Result) -> dict[str, str]:
    console = Console(file=io.StringIO(), width=300)
    console.print(summary_table(result))
    assert isinstance(console.file, io.StringIO)
    return {
        "page": render_report(result, []).replace("&#x27;", "'"),
        "Markdown": run_summary(result),
        "terminal": console.file.getvalue(),
    }


def test_a_second_round_is_told_everywhere_and_of_one_round_nothing_is(hold: Result) -> None:
    probe = ProbeRecord(
        measured={"a": 2.0}, foreseen={"a": 1.0}, ratios={"a": 2.0}, drift=1.0, anchors=[1.0], band=0.15, outside=["a"]
    )
    found = RoundRecord(
        sentence=SENTENCE, searched_on=True, evaluations=100, probes={"latency_ms": probe}, predictors={}, nothing=None,
        unmeasured={},
    )  # fmt: skip
    (device,) = hold.devices
    after = hold.model_copy(update={"devices": [device.model_copy(update={"second_round": found})]})
    for where, text in told(after).items():
        assert f"{SENTENCE}." in text, where
    for where, text in told(hold).items():
        assert "least certain" not in text, where
    assert Result.model_validate(after.model_dump(mode="json")) == after


def test_the_page_says_what_became_of_the_last_front_in_another_space(hold: Result) -> None:
    (device,) = hold.devices
    for translated, said in (
        (
            TranslatedRecord(of=7, fit=5),
            "The space is another: begun with 5 architectures, the like of the last front's 7.",
        ),
        (
            TranslatedRecord(of=7, fit=0),
            "The space is another, and none of the last front's 7 architectures has its like in it.",
        ),
    ):
        after = hold.model_copy(update={"devices": [device.model_copy(update={"translated": translated})]})
        assert said in told(after)["page"]
        assert Result.model_validate(after.model_dump(mode="json")) == after
    assert "The space is another" not in told(hold)["page"]
