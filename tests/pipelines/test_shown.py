"""Each step shows what it did in the pipeline's interface, in Markdown, the last one the report; and names nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tiny_project
from evernas.steps.page import without_names
from evernas.steps.shown import Shown
from place import Place, succeeded

NAMES = [f"Ada Lovelace {letter}" for letter in "ABCDEFGH"] + ["Bo", "7"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the steps of a run left as artifacts, by step and name."""
    folder = tmp_path_factory.mktemp("shown")
    tiny_project.deliver(folder / "incoming", "Ada Lovelace A.parquet", people=NAMES)
    (folder / "incoming" / "Ada Lovelace B.parquet").write_bytes(b"no file")
    splits = {"gate": NAMES[:5], "search": NAMES[5:7]}
    data = {**tiny_project.CONFIG["data"], "source": str(folder / "incoming"), "splits": splits}
    config = tiny_project.write(folder / "evernas.yaml", "shown", str(folder / "incoming"), data=data)
    place = Place(folder / "home", config)
    succeeded(place.run())
    succeeded(place.run())
    found: dict[str, str] = {}
    for path in sorted((folder / "home" / "runs").glob("*/**/kfp/**/*")):
        if path.is_file() and path.name in ("told", "page"):
            found.setdefault(f"{path.parent.name}/{path.name}", path.read_text())
    return found


def test_every_step_says_what_it_did_in_words_and_figures(shown: dict[str, str]) -> None:
    said = {name.removesuffix("/told"): text for name, text in shown.items() if name.endswith("/told")}
    assert {
        "ingest",
        "validate",
        "supernet",
        "profile",
        "search",
        "probe",
        "refine",
        "finalists",
        "benchmark",
        "gate",
        "report",
    } <= set(said)
    assert set(said) & {"promote", "hold"}
    assert "| refused | 1 |" in said["ingest"]
    rows = len(NAMES) * 2 * tiny_project.RECORDINGS * 3
    assert f"| in | {rows} |" in said["validate"]
    assert "| gate | 5 |" in said["validate"]
    assert "20 steps" in said["supernet"]
    assert "| step | loss |" in said["supernet"]
    assert "| device | verdict | why |" in said["report"]
    assert "| laptop |" in said["report"]
    assert "on the front" in said["search"]
    assert "| architecture | error | latency, ms | size, kB | multiplications |" in said["search"]
    assert "| file | median, ms | 95th percentile, ms | size, kB | refused |" in said["benchmark"]
    assert "not measured" not in said["benchmark"]
    assert "**promote**" in said["gate"] or "**hold**" in said["gate"]
    assert "| better |" in said["gate"] or "| floor:error |" in said["gate"]


def test_the_report_is_a_page_that_needs_nothing_else(shown: dict[str, str]) -> None:
    page = shown["report/page"]
    assert page.lower().startswith("<!doctype html>")
    assert "<svg" in page
    assert "http" not in page.split("<body", 1)[0].replace("http-equiv", "").replace("http://www.w3.org", "")


def test_no_step_shows_a_name_of_a_person_or_a_file(shown: dict[str, str]) -> None:
    told = [name for name, text in shown.items() if "Lovelace" in text]
    assert told == []
    assert "domain 3 of 10" in shown["report/page"]


def test_names_of_any_length_give_way_to_numbers() -> None:
    snapshot = {
        "splits": {"train": {"Bo": 3, "7": 2}, "gate": {"Ada Lovelace": 1}}, "added": ["Bo.parquet"], "changed": [],
        "removed": [], "refused_objects": {"Ada.csv": "It is empty."}, "quarantine_examples": ["Row 3 of 'Bo'"],
    }  # fmt: skip
    hidden = without_names(
        {"snapshot": snapshot, "reason": "Ada Lovelace is shown worse."}, ["7", "Ada Lovelace", "Bo"]
    )
    assert hidden["snapshot"]["splits"] == {
        "train": {"domain 3 of 3": 3, "domain 1 of 3": 2}, "gate": {"domain 2 of 3": 1},
    }  # fmt: skip
    assert hidden["reason"] == "domain 2 of 3 is shown worse."
    assert not any(name in json.dumps(hidden) for name in ("Bo", "Ada"))


def test_a_step_that_fails_or_has_nothing_to_do_shows_that(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "a" / "told", tmp_path / "a" / "page")
    shown.begin()
    assert "had nothing to do" in (tmp_path / "a" / "told").read_text()
    assert "had nothing to do" in (tmp_path / "a" / "page").read_text()
    shown.fail()
    assert "failed" in (tmp_path / "a" / "told").read_text()


def test_a_step_is_not_refused_because_it_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    Shown(tmp_path / "file" / "told").begin()
    assert "the pipeline shows nothing of this step" in capsys.readouterr().err
