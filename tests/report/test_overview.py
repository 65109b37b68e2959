"""The index over all runs: complete, escaped, usable in a browser, and never stopped by one bad run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from browser import visit
from evernas.errors import EvernasError
from evernas.loop.overview import gather, summary, write_overview
from evernas.report.overview import InProduction, ProjectRuns, render_overview
from evernas.result import Result
from evernas.state import Home
from evernas.state.files import write_json


@pytest.fixture
def runs(history: list[Result], promotion: Result, hold: Result, nothing_new: Result) -> list[Result]:
    """As they come night after night."""
    later = [run.model_copy(update={"run": f"{run.run}-{i}"}) for i, run in enumerate([promotion, hold, nothing_new])]
    return [*history, *later]


@pytest.fixture
def home(tmp_path: Path, runs: list[Result]) -> Home:
    """A state folder with these runs, one that was stopped, and one that another version wrote."""
    place = Home(tmp_path / "home")
    for run in runs:
        write_json(place.run(run.run) / "run.json", {"config": {"project": run.project}})
        write_json(place.run(run.run) / "result.json", run.model_dump(mode="json"))
        (place.run(run.run) / "report.html").write_text("report")
    write_json(place.run("2026-11-30-stopped") / "run.json", {"config": {"project": "watch"}})
    write_json(place.run("2026-12-01-later") / "run.json", {"config": {"project": "watch"}})
    write_json(place.run("2026-12-01-later") / "result.json", {"version": 99})
    return place


def _page(runs: list[Result], project: str = "watch") -> str:
    head = InProduction(5, "ab" * 32, "2026-11-24T02:04:00+00:00", runs[0].run)
    shown = ProjectRuns(project, runs, {"cpu": head}, {runs[0].run: f"runs/{runs[0].run}/report.html"})
    return render_overview([shown], {})


def test_every_run_is_listed_with_its_outcome_reason_and_cost(runs: list[Result]) -> None:
    page = _page(runs)
    for run in runs:
        assert run.run in page
    for said in ("Promoted", "Held", "Nothing new", "How the champion on cpu moved", "abababababab"):
        assert said in page
    assert page.index(runs[-1].run) < page.rindex(runs[0].run), "newest first"


def test_what_the_index_says_of_all_runs_together_is_their_sum(runs: list[Result]) -> None:
    text = re.sub(r"<[^>]+>", "", _page(runs))
    promoted = sum(run.outcome == "promoted" for run in runs)
    held = sum(run.outcome == "held" for run in runs)
    assert f"{len(runs)} runs: {promoted} promoted, {held} held, 1 with nothing new" in text


def test_names_cannot_write_into_the_page(runs: list[Result]) -> None:
    evil = "<script>alert(1)</script>"
    page = _page([run.model_copy(update={"reason": evil}) for run in runs])
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_folder_of_runs_becomes_a_page_beside_them(home: Home, runs: list[Result]) -> None:
    path = write_overview(home)
    page = path.read_text()
    assert path == home.path / "index.html"
    for run in runs:
        assert f'href="runs/{run.run}/report.html"' in page
        assert (home.path / "runs" / run.run / "report.html").exists()
    assert "1 run more has left no result" in page


def test_a_run_of_another_version_is_named_and_stops_nothing(home: Home) -> None:
    _, unreadable = gather(home)
    assert list(unreadable) == ["2026-12-01-later"]
    assert "Runs that cannot be read" in write_overview(home).read_text()


def test_a_damaged_journal_is_named_and_stops_nothing(home: Home) -> None:
    write_json(home.journal("watch") / "cpu" / "000001.json", {"version": 99})
    _, unreadable = gather(home)
    assert "a newer evernas" in unreadable["The journal of cpu in watch"]


def test_the_summary_is_json(home: Home, runs: list[Result]) -> None:
    said = json.loads(json.dumps(summary(home)))
    assert [run["run"] for run in said["projects"]["watch"]["runs"]] == [run.run for run in sorted(runs, key=_name)]
    assert said["projects"]["watch"]["champions"] == {"cpu": None}


def _name(run: Result) -> str:
    return run.run


def test_without_any_run_there_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(EvernasError, match=r"There is no run .*evernas run"):
        write_overview(Home(tmp_path))
    assert not (tmp_path / "index.html").exists()


def test_the_index_on_a_phone_is_silent_and_no_wider_than_the_window(runs: list[Result], tmp_path: Path) -> None:
    _, console = visit(_page(runs), tmp_path, width=390)
    assert console == []
    script = "return [document.documentElement.scrollWidth, window.innerWidth]"
    seen, _ = visit(_page(runs), tmp_path, script, width=390)
    assert seen[0] <= seen[1]
