"""Where domains are too few for some to judge, recordings are split within each, and the config says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evernas.cli import app
from evernas.config import load_config
from evernas.data import ingest, load_rows
from evernas.errors import DataRefusedError
from evernas.init import look_at, propose
from evernas.init.recordings import split_recordings
from evernas.validation import validate

LEAST = {"train": 50, "search": 20, "gate": 20}


def named(domains: int, each: int, labels: str = "ab") -> list[tuple[str, str, str]]:
    return [(f"{d}-{label}-{n}", f"d{d}", label) for d in range(domains) for label in labels for n in range(each)]


@pytest.mark.parametrize("domains", [1, 2, 3])
def test_a_run_accepts_what_is_proposed_for_few_domains(
    domains: int, folder: Path, rows: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    save(rows(domains=domains, each=150 // domains))
    out = tmp_path / "evernas.yaml"
    said = CliRunner().invoke(app, ["init", str(folder), "--yes", "--out", str(out), "--home", str(tmp_path / "home")])
    assert said.exit_code == 0, said.output
    assert "holds for these" in said.output.replace("\n", " ")
    config = load_config(out)
    assert (config.data.splits.by, config.data.splits.gate, config.data.splits.search) == ("recording", 0.3, 0.2)
    comment = " ".join(line.strip("# ") for line in out.read_text().splitlines())
    assert "are the least of which some can judge while others train" in comment
    assert "speaks of these domains only" in comment
    snapshot = ingest(folder, tmp_path / "store", config.data, None)
    found = validate(load_rows(snapshot), config.data, config.validation)
    assert found.refusals == ()
    kept = found.kept.to_pylist()
    for split in ("gate", "search", "train"):
        assert {row["domain"] for row in kept if row["split"] == split} == {f"p{n + 1}" for n in range(domains)}
        assert {row["label"] for row in kept if row["split"] == split} == {"walk", "run"}
    judges = {(row["domain"], row["recording"]) for row in kept if row["split"] == "gate"}
    assert all(sum(domain == f"p{n + 1}" for domain, _ in judges) >= 2 for n in range(domains))
    told = out.read_text()
    for split in ("gate", "search"):
        count = len({row["recording"] for row in kept if row["split"] == split})
        assert f"now {count}\n" in told


def test_the_lot_is_another_where_the_first_leaves_a_split_without_a_label() -> None:
    found = named(2, 40) + [(f"rare-{n}", "d0", "rare") for n in range(4)]
    split = split_recordings(found, 1.0, LEAST, "recordings")
    assert split.labels == ["a", "b", "rare"]
    assert split.lot is not None
    assert split.lot.seed > 0
    assert split == split_recordings(found, 1.0, LEAST, "recordings"), "the same each time"


def test_a_label_of_two_recordings_is_left_out_and_counted() -> None:
    found = named(2, 40) + [(f"rare-{n}", "d0", "rare") for n in range(2)]
    assert split_recordings(found, 1.0, LEAST, "recordings").left_out == {"rare": 2}


@pytest.mark.parametrize(
    "found",
    [
        [*named(2, 60), ("lonely", "d9", "a"), ("second", "d9", "b")],
        named(3, 60, "a"),
        [*named(2, 60), ("lonely", "d9", "a")],
    ],
    ids=["two", "one label", "lonely"],
)
def test_too_few_domains_with_too_few_recordings_are_refused(found: list[tuple[str, str, str]]) -> None:
    with pytest.raises(DataRefusedError, match=r"only . domains .*too few recordings of each"):
        split_recordings(found, 1.0, LEAST, "recordings")


def test_too_few_windows_of_few_domains_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(DataRefusedError, match=r"only 2 domains, and 80 windows.* 50 to train"):
        split_recordings(named(2, 20), 1.0, LEAST, "recordings")


def test_nobody_is_asked_who_judges_where_all_do(
    folder: Path, rows: Callable[..., Any], save: Callable[..., Path]
) -> None:
    save(rows(domains=3, each=40))
    proposal = propose(look_at(folder))
    assert not proposal.asks
    assert proposal.to_json(Path("x"))["by"] == "recording"
    assert proposal.to_json(Path("x"))["train"] == ["p1", "p2", "p3"]
