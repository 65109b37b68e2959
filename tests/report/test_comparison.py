"""Two runs beside one another, and a run in Markdown: what differed is said, and names from data do nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from evernas.errors import EvernasError, UsageError
from evernas.loop.reports import comparison, markdown, report_of, write_comparison
from evernas.report.comparison import differences, render_comparison
from evernas.report.markdown import run_summary
from evernas.result import Result
from evernas.state import Home
from evernas.state.files import write_json

BEFORE = {"seed": 0, "search": {"evaluations": 200, "batch": 8}, "devices": [{"name": "laptop"}]}
AFTER = {"seed": 1, "search": {"evaluations": 200, "batch": 8, "strategy": "nsga2"}, "devices": [{"name": "laptop"}]}


def kept(home: Home, result: Result, config: object) -> None:
    write_json(home.run(result.run) / "result.json", result.model_dump(mode="json"))
    write_json(home.run(result.run) / "run.json", {"config": config})


def test_differences_are_dotted_keys_with_both_values() -> None:
    assert differences(BEFORE, AFTER) == [("search.strategy", None, "nsga2"), ("seed", 0, 1)]
    assert differences(BEFORE, BEFORE) == []


def test_a_setting_that_became_null_is_a_difference() -> None:
    assert differences({"budget": None}, {}) == [("budget", None, None)]


def test_page_has_both_verdicts_fronts_and_settings_whatever_the_order(promotion: Result, hold: Result) -> None:
    page = render_comparison(promotion, hold, (BEFORE, AFTER))
    assert page == render_comparison(hold, promotion, (AFTER, BEFORE))
    for run in (promotion, hold):
        assert f"front of {run.run}" in page
    assert "promoted. " in page
    assert "held. " in page
    assert "search.strategy" in page
    assert "://" not in page.replace("http://www.w3.org", "")


def test_a_device_of_one_run_only_is_said(two_devices: Result, hold: Result) -> None:
    page = render_comparison(two_devices, hold, (BEFORE, BEFORE))
    names = {device.device for device in two_devices.devices} - {device.device for device in hold.devices}
    assert names
    assert page.count("not a device of this run") == len(names)
    assert "Both runs had the same config." in page


def test_page_is_written_beside_the_runs(promotion: Result, hold: Result, tmp_path: Path) -> None:
    home = Home(tmp_path)
    kept(home, promotion, BEFORE)
    kept(home, hold, AFTER)
    path = write_comparison(home, hold.run, promotion.run)
    assert path.parent == tmp_path
    assert path.read_text().startswith("<!doctype html>")
    said = comparison(home, hold.run, promotion.run)
    assert {entry["key"] for entry in said["settings"]} == {"seed", "search.strategy"}
    assert {said["earlier"]["run"], said["later"]["run"]} == {promotion.run, hold.run}


def test_what_cannot_be_compared_is_a_sentence(promotion: Result, hold: Result, tmp_path: Path) -> None:
    home = Home(tmp_path)
    kept(home, promotion, BEFORE)
    kept(home, hold.model_copy(update={"project": "other"}), BEFORE)
    with pytest.raises(UsageError, match="twice"):
        write_comparison(home, promotion.run, promotion.run)
    with pytest.raises(UsageError, match="two of one project"):
        write_comparison(home, promotion.run, hold.run)
    with pytest.raises(EvernasError, match="There is no result"):
        write_comparison(home, promotion.run, "20200101-000000-aaaaaa")
    with pytest.raises(UsageError, match="no name of a run"):
        report_of(home, "../elsewhere")
    with pytest.raises(EvernasError, match="There is no report"):
        report_of(home, promotion.run)
    (home.run(promotion.run) / "result.json").write_text('{"version": 7}')
    with pytest.raises(EvernasError, match="a newer evernas"):
        markdown(home, promotion.run)


def test_markdown_has_verdict_networks_data_and_cost(promotion: Result, hold: Result, nothing_new: Result) -> None:
    said = run_summary(promotion)
    assert "**promoted**" in said
    assert "**held**" in run_summary(hold)
    assert f"Run `{promotion.run}`" in said
    (row,) = [line for line in said.splitlines() if line.startswith("| new champion")]
    assert row.count("|") == 7
    assert nothing_new.reason in run_summary(nothing_new)


def test_names_from_data_stay_text_in_markdown(hold: Result) -> None:
    evil = "a|b\n## <script> [x](http://x) `rm`"
    device = hold.devices[0].model_copy(update={"device": evil, "verdict": {"outcome": "hold", "sentence": evil}})
    said = run_summary(hold.model_copy(update={"devices": [device]}))
    assert "<script>" not in said
    assert "[x](" not in said.replace("\\[x](", "")
    assert not [line for line in said.splitlines() if line.startswith("## <") or line.startswith("## &lt;")]
