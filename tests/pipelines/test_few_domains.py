"""Where recordings are split, whole runs go as ever, and all that speaks of the gate says whom it speaks of."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import tiny_project
from place import Place, succeeded

MACHINES = ["Lathe of Ada", "Mill of Ada", "Press of Ada"]
SITES = {"Lathe of Ada": "north", "Mill of Ada": "south"}
ONLY = "hold for these machines only"


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two runs on three machines: the second with a delivery more, and a champion to beat."""
    folder = tmp_path_factory.mktemp("few")
    data = {
        "splits": {"by": "recording", "gate": 0.35, "search": 0.25},
        "domain_noun": "machines",
        "strata": {"site": SITES},
    }
    source = str(folder / "incoming")
    place = Place(folder / "home", tiny_project.write(folder / "evernas.yaml", "few", source, data=data))
    for seed in (0, 1, 2):
        tiny_project.deliver(folder / "incoming", f"first-{seed}.parquet", MACHINES, seed)
    succeeded(place.run())
    for seed in (3, 4):
        tiny_project.deliver(folder / "incoming", f"second-{seed}.parquet", MACHINES, seed)
    succeeded(place.run())
    return place


def _told(place: Place, run: str) -> dict[str, str]:
    """The Markdown of a run's steps."""
    return {path.parent.name: path.read_text() for path in (place.home / "runs" / run).glob("**/kfp/**/told")}


def _kept(place: Place) -> list[dict[str, str]]:
    """By run what each kept recording was used for."""
    found = []
    for run in place.runs():
        (record,) = (place.home / "runs" / run / "steps").glob("validate*.json")
        ref = json.loads(record.read_text())["ref"]
        rows = pq.read_table(place.home / "projects" / "few" / "steps" / ref / "kept.parquet").to_pylist()
        assert len({(row["recording"], row["split"]) for row in rows}) == len({row["recording"] for row in rows})
        found.append({row["recording"]: row["split"] for row in rows})
    return found


def test_a_recording_keeps_its_split_from_run_to_run(twice: Place) -> None:
    first, second = _kept(twice)
    assert len(first) < len(second)
    assert first.items() <= second.items()


def test_every_domain_trains_and_judges(twice: Place) -> None:
    for run in twice.runs():
        snapshot = twice.result(run)["snapshot"]
        assert snapshot["split_by"] == "recording"
        assert {split: sorted(of) for split, of in snapshot["splits"].items()} == dict.fromkeys(
            ("train", "search", "gate"), MACHINES
        )


def test_verdict_report_and_markdown_say_whom_the_gate_speaks_of(twice: Place) -> None:
    for run in twice.runs():
        (device,) = twice.result(run)["devices"]
        scope = device["verdict"]["scope"]
        assert re.search(r"holds? for these machines only", scope)
        page = html.unescape((twice.home / "runs" / run / "report.html").read_text())
        assert scope in page
        assert "What the gate finds holds for these machines only" in page
        told = _told(twice, run)
        assert scope in told["gate"].replace("\\", "")
        assert scope in told["report"].replace("\\", "")
        assert "the gate speaks of these domains only" in told["validate"]
        assert not any("Ada" in text for text in told.values())


def test_a_first_champion_was_judged_over_recordings_and_its_card_says_so(twice: Place) -> None:
    first, _ = twice.runs()
    (device,) = twice.result(first)["devices"]
    assert device["verdict"]["outcome"] == "promote"
    judges = sum(split == "gate" for split in _kept(twice)[0].values())
    assert f"over {judges} recordings and {ONLY}" in device["verdict"]["scope"]
    (card, *_) = sorted(twice.home.rglob("card.md"))
    text = card.read_text()
    assert ONLY in text
    assert "of laptop and of these machines only" in text
    assert "like those above" not in text


def test_the_plan_says_it_and_knows_the_decisions_that_were_taken(twice: Place) -> None:
    planned = json.loads(succeeded(twice.evernas("plan", str(twice.config), "--json")).stdout)
    assert "for these machines only" in planned["scope"]
    decisions = len(list((twice.home / "projects" / "few" / "ledger" / "gate").glob("*.json")))
    assert planned["decision"] == decisions + 1 >= 2
    assert planned["strata"] == [twice.result()["snapshot"]["strata"]["site"]["sentence"]]


def test_what_is_not_covered_is_in_result_report_markdown_and_decision(twice: Place) -> None:
    for run in twice.runs():
        of: dict[str, Any] = twice.result(run)["snapshot"]["strata"]["site"]
        assert sorted(of["strata"]) == ["north", "south"]
        assert of["unnamed"]["domains"] == 1
        assert (of["domains"], 0.5 < of["rows"] < 0.8) == (pytest.approx(2 / 3), True)
        assert "rows of 1 machines that data.strata lacks" in of["sentence"]
        assert of["sentence"] in html.unescape((twice.home / "runs" / run / "report.html").read_text())
        told = _told(twice, run)
        assert of["sentence"] in told["validate"]
        assert of["sentence"] in told["gate"]
        (decision,) = (twice.home / "runs" / run / "decisions").glob("*.json")
        assert json.loads(decision.read_text())["strata"] == {"site": of}


def test_another_table_of_strata_is_judged_anew_and_nothing_else(twice: Place) -> None:
    """The last test: it changes the place."""
    document = yaml.safe_load(twice.config.read_text())
    document["data"]["strata"]["site"]["Press of Ada"] = "north"
    twice.config.write_text(yaml.safe_dump(document))
    before = twice.result()["devices"][0]
    succeeded(twice.run())
    result = twice.result()
    assert {step["step"] for step in result["steps"] if not step["reused"]} <= {"validate", "hold", "report"}
    assert result["snapshot"]["strata"]["site"]["rows"] == 1.0
    assert result["devices"][0]["verdict"]["decision"] == before["verdict"]["decision"], "no decision is spent"
