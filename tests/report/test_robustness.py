"""Errors under corruptions in the report: candidate beside champion, the worst marked, limits told."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from evernas.report import render_report
from evernas.report.markdown import run_summary
from evernas.report.robustness import robustness_section, worst_in_words
from evernas.result import DeviceResult, Result


def changed(result: Result, **changes: Any) -> Result:
    return result.model_copy(update={"devices": [result.devices[0].model_copy(update=changes)]})


def bare(device: DeviceResult) -> dict[str, Any]:
    """The same networks, under no corruption."""
    old = device.champion_before
    return {
        "finalists": [f.model_copy(update={"robustness": None}) for f in device.finalists],
        "champion_before": None if old is None else old.model_copy(update={"robustness": None}),
    }


def said(device: DeviceResult) -> str:
    section = robustness_section(device)
    assert section is not None
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", section)).replace("\u202f", " ").split())


def test_candidate_and_champion_stand_beside_each_other_under_every_corruption(promotion: Result) -> None:
    device = promotion.devices[0]
    shown = said(device)
    new, old = device.finalists[1].robustness, device.champion_before.robustness  # type: ignore[union-attr]
    assert new is not None
    assert old is not None
    for ours, theirs in zip(new.corruptions, old.corruptions, strict=True):
        assert f"{ours.name} {ours.severity:g} new champion: error {100 * ours.error:.1f} %" in shown
        assert f"{theirs.name} {theirs.severity:g} champion before: error {100 * theirs.error:.1f} %" in shown
    assert f"as it is new champion: error {100 * new.error:.1f} %" in shown
    assert "740 rows of the search split, corrupted in the same way for every network" in shown
    assert "dropout 0.5: how much dropout there is." in shown


def test_rows_are_counted_where_most_were_tried_and_the_champion_s_said_to_be_of_its_classes(promotion: Result) -> None:
    device = promotion.devices[0]
    champion = device.champion_before
    assert champion is not None
    assert champion.robustness is not None
    few = champion.model_copy(update={"robustness": champion.robustness.model_copy(update={"rows": 40})})
    shown = said(device.model_copy(update={"champion_before": few}))
    assert "Wrong answers on 740 rows of the search split" in shown
    assert "The champion's are of the classes that it knows." in shown
    assert "of the classes that it knows" not in said(device.model_copy(update={"champion_before": None}))


def test_the_worst_corruption_is_marked_and_first(promotion: Result) -> None:
    section = robustness_section(promotion.devices[0])
    assert section is not None
    assert re.search(r"<text[^>]*>worst</text>", section)
    labels = re.findall(r"<text[^>]*>((?:as it is|\w+ 0\.\d)[^<]*)</text>", section)
    assert labels == ["as it is", "dropout 0.5", "noise 0.3", "gain 0.2", "shift 0.2"]
    assert section.count("<strong>") == 5, "one for each network"


def test_finalists_over_the_limit_are_said_to_be_no_candidates(promotion: Result) -> None:
    device = promotion.devices[0]
    over = [f.architecture.id for f in device.finalists if f.robustness and f.robustness.robust_error > 0.2]
    assert len(over) == 2
    assert f"Over the limit of 20.0 % on robust_error, and so no candidates: {', '.join(over)}." in said(device)
    none, every = (said(device.model_copy(update={"max_robust_error": limit})) for limit in (0.01, 0.9))
    assert "No finalist keeps robust_error below the limit of 1.0 %, so none could be promoted." in none
    assert "Every finalist keeps robust_error below the limit of 90.0 %." in every
    assert "(over the limit)" not in every
    free = said(device.model_copy(update={"max_robust_error": None}))
    assert "limit" not in free


def test_the_page_has_the_section_where_something_was_tried_and_none_where_nothing_was(
    promotion: Result, hold: Result, nothing_new: Result
) -> None:
    for result in (promotion, hold):
        assert "In worse conditions" in render_report(result)
        assert "In worse conditions" not in render_report(changed(result, **bare(result.devices[0])))
    assert "In worse conditions" not in render_report(nothing_new)


@pytest.mark.parametrize("who", ["candidate", "champion"])
def test_one_of_both_alone_is_shown(hold: Result, who: str) -> None:
    device = hold.devices[0]
    without = bare(device)
    kept = "champion_before" if who == "candidate" else "finalists"
    shown = said(device.model_copy(update={kept: without[kept]}))
    other = "champion" if who == "candidate" else "candidate"
    assert f"dropout 0.5 {who}: error" in shown
    assert f"dropout 0.5 {other}: error" not in shown


def test_a_pull_request_reads_the_worst_in_one_sentence(promotion: Result, hold: Result) -> None:
    sentence = worst_in_words(promotion.devices[0])
    assert sentence is not None
    plain = sentence.replace("\u202f", " ")
    assert plain.startswith("Under its worst corruption (dropout 0.5) the new champion has an error of 17.7 % on the")
    assert "the champion before 21.1 % under its worst (dropout 0.5); the limit is 20.0 %." in plain
    assert plain.replace("_", "\\_") in run_summary(promotion)
    assert "the candidate has an error" in run_summary(hold)
    assert "worst corruption" not in run_summary(changed(hold, **bare(hold.devices[0])))


def test_what_they_do_on_the_gate_split_is_shown_with_a_promotion_and_else_that_it_is_not(promotion: Result) -> None:
    device = promotion.devices[0]
    assert "under corruptions of the gate split is told with a promotion only." in said(device)
    corruptions = [
        {"name": "noise", "severity": 0.3, "meaning": "", "candidate": 0.12, "champion": 0.24},
        {"name": "gain", "severity": 0.2, "meaning": "", "candidate": 0.36, "champion": None},
    ]
    told = {"rows": 1200, "resolution": 0.012, "candidate": 0.096, "champion": 0.108, "corruptions": corruptions}
    shown = said(DeviceResult.model_validate(device.model_dump() | {"gate_robustness": told}))
    assert "told with a promotion only" not in shown
    assert "As it is 9.6 % 10.8 % gain 0.2 36.0 % not measured noise 0.3 12.0 % 24.0 %" in shown, "worst first"
    first = DeviceResult.model_validate(device.model_dump() | {"gate_robustness": told, "champion_before": None})
    alone = said(first).partition("On the gate split")[2]
    assert "As it is 9.6 % gain 0.2 36.0 % noise 0.3 12.0 %" in alone
    assert "Champion before" not in alone
    assert "1,200 rows of the gate split, read once, in multiples of the gate's resolution (1.2 %)" in shown
