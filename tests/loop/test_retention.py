"""Of results, candidates, quarantine, reports and runs, what nothing reaches goes after a time, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from evernas.bundle import Contract, Samples, load_bundle, write_bundle
from evernas.cli import app
from evernas.config import Config, RetentionConfig, load_config
from evernas.data import ingest
from evernas.loop.collection import collect
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Done, Head, Home, RunManifest
from evernas.state.files import write_json
from evernas.state.leftovers import sweep
from evernas.state.ownership import claim
from evernas.state.sharing import steps_of
from evernas.state.stepstore import MARKER

ROOT = Path(__file__).parents[2]
RUNS = [f"2026010{n}-000000-00000{n}" for n in range(1, 7)]
FIRST, SECOND, IDLE, OLD, LAST, STOPPED = RUNS
KEEP = RetentionConfig(snapshots=1, steps=1, bundles=1, quarantine=1, reports=2, runs=2)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def path(tmp_path: Path, source: Path) -> Path:
    document = yaml.safe_load((ROOT / "examples/watch/evernas.yaml").read_text())
    document["data"]["source"] = str(source)
    document["retention"] = KEEP.model_dump()
    path = tmp_path / "evernas.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def config(path: Path) -> Config:
    return load_config(path)


@pytest.fixture
def bundles(home: Home, config: Config, source: Path) -> dict[str, str]:
    """Six runs: the first two were promoted, the third and fourth held, the last is the head, one was stopped."""
    snapshot = ingest(source, home.snapshots(config.project), config.data, None)
    made = {}
    with claim(home, 0, lambda text: None) as ownership:
        for run in RUNS:
            made[run] = _leave(home, config, run, snapshot.id, ownership.guard)
    for number, run in enumerate((FIRST, SECOND), 1):
        entry = Entry(number, "laptop", made[run], None, run, "promote", "m", "now", f"token-{number}")
        open_journal(home, config).claim(entry)
    references = {step: f"{step}/{LAST}" for step in ("supernet", "validate", "search")}
    head = Head(
        LAST, "k", snapshot.id, references["supernet"], {"laptop": references["search"]}, references["validate"]
    )
    head.write(home, config.project)
    home.latest.symlink_to(Path("runs") / LAST)
    return made


def _leave(home: Home, config: Config, run: str, snapshot: str, guard: Any) -> str:
    """What a run leaves; the digest of its candidate."""
    RunManifest.open(home, run, config, "source", {})
    inputs = Samples(np.ones((1, 1, 8), np.float32), np.ones((1, 2), np.float32))
    folder = home.bundles(config.project)
    bundle = write_bundle(folder, run.encode(), ["a", "b"], Contract(("x",), (8,)), inputs, {"snapshot": snapshot})
    facts = {"finalists": [{"bundle": bundle.digest}], "finalist": {"bundle": bundle.digest}}
    steps = steps_of(home, config.project)
    for step in (
        "ingest",
        "validate",
        "supernet",
        "profile",
        "search",
        "probe",
        "refine",
        "finalists",
        "finetuned",
        "gate",
    ):
        ref = f"{step}/{run}"
        steps.finish(Done(ref, steps.workspace(ref), facts, {}, run), [], guard)
        if step != "finetuned":
            write_json(home.run(run) / "steps" / f"{step}.json", {"ref": ref, "made": ref, "step": step})
    (steps.folder / "validate" / run / "data_docs").mkdir()
    (steps.folder / "validate" / run / "data_docs" / "index.html").write_text("docs")
    write_json(home.evaluations(config.project) / f"{run}-s-7" / "a.json", {})
    # The second run's supernet was trained from the first one's, and so on; the old one's was trained cold.
    generation = FIRST if run in (FIRST, SECOND, IDLE) else OLD
    write_json(home.rankings(config.project) / generation / f"20260101-000000.{run}.d.json", {})
    write_json(home.run(run) / "decisions" / "laptop.json", {"ref": f"gate/{run}"})
    write_json(home.run(run) / "snapshot.json", {"snapshot": snapshot})
    if run != STOPPED:
        write_json(home.run(run) / "result.json", {"snapshot": {"id": snapshot}})
        (home.run(run) / "report.html").write_text("report")
    return bundle.digest


def _left(home: Home, config: Config, step: str) -> set[str]:
    return {path.name for path in (home.steps(config.project) / step).iterdir() if path.name[0] != "."}


def test_what_nothing_reaches_goes_and_all_else_stays(home: Home, config: Config, bundles: dict[str, str]) -> None:
    planned = collect(config, home, KEEP, apply=False, older_than_s=-1)
    assert all(path.exists() for each in planned.others.values() for path in each.paths)
    found = collect(config, home, KEEP, apply=True, older_than_s=-1)
    assert found == planned
    for step in ("ingest", "supernet", "search", "probe", "refine", "finalists", "validate"):
        assert _left(home, config, step) == {LAST, STOPPED}, step
    assert _left(home, config, "profile") == set(RUNS), "profiles cost a device's time"
    assert _left(home, config, "gate") == {FIRST, SECOND, LAST, STOPPED}, "evidence stays with the journal"
    kept = {FIRST, SECOND, LAST, STOPPED}
    assert _left(home, config, "finetuned") == kept
    assert {path.name for path in home.bundles(config.project).iterdir()} == {bundles[run][:16] for run in kept}
    for run in (FIRST, SECOND):
        load_bundle(home.bundles(config.project) / bundles[run][:16], expected=bundles[run])
    assert {path.name for path in home.evaluations(config.project).iterdir()} == {f"{r}-s-7" for r in (LAST, STOPPED)}
    (ranked,) = home.rankings(config.project).iterdir()
    assert ranked.name == OLD, "what led to the last supernet"
    assert {path.name.split(".")[1] for path in ranked.iterdir()} == {OLD, LAST, STOPPED}
    assert {path.name for path in home.runs.iterdir()} == {FIRST, SECOND, OLD, LAST, STOPPED}
    assert sorted(home.runs.glob("*/report.html")) == [home.run(run) / "report.html" for run in (OLD, LAST)]
    assert collect(config, home, KEEP, apply=True, older_than_s=-1).bytes == 0


def test_the_probe_behind_the_last_search_stays_whichever_run_made_it(
    home: Home, config: Config, bundles: dict[str, str]
) -> None:
    """By its predictors, not by the profile's, the next search by hand goes and the next run finds the band."""
    with claim(home, 0, lambda text: None) as ownership:
        steps = steps_of(home, config.project)
        searched = Done("refine/kept", steps.workspace("refine/kept"), {}, {"probe": f"probe/{OLD}"}, OLD)
        steps.finish(searched, [], ownership.guard)
    head = Head.read(home, config.project)
    assert head is not None
    replace(head, searches={"laptop": "refine/kept"}).write(home, config.project)
    collect(config, home, KEEP, apply=True, older_than_s=-1)
    assert _left(home, config, "refine") == {"kept", LAST, STOPPED}
    assert _left(home, config, "probe") == {OLD, LAST, STOPPED}


def test_what_a_stopped_run_had_measured_stays_before_its_probe_is_done(
    home: Home, config: Config, bundles: dict[str, str]
) -> None:
    raw = home.steps(config.project) / "probe" / "half" / "raw" / "profile-0-0.json"
    write_json(raw, {})
    write_json(home.run(STOPPED) / "steps" / "probe@laptop.json", {"ref": "probe/half", "made": "", "step": "probe"})
    write_json(home.steps(config.project) / "probe" / "nobodys" / "raw" / "profile-0-0.json", {})
    collect(config, home, KEEP, apply=True, older_than_s=-1)
    assert raw.exists()
    assert _left(home, config, "probe") == {LAST, STOPPED, "half"}


def test_the_supernet_that_kept_rows_were_judged_beside_stays(
    home: Home, config: Config, bundles: dict[str, str]
) -> None:
    """The next validation of the same data asks it for the rows that may not judge."""
    marker = home.steps(config.project) / "validate" / LAST / MARKER
    document = json.loads(marker.read_text())
    marker.write_text(json.dumps({**document, "inputs": {"trained": f"supernet/{FIRST}"}}))
    collect(config, home, KEEP, apply=True, older_than_s=-1)
    assert _left(home, config, "supernet") == {FIRST, LAST, STOPPED}


def test_sizes_are_those_of_the_files(home: Home, config: Config, bundles: dict[str, str]) -> None:
    before = _bytes(home.path)
    found = collect(config, home, KEEP, apply=True, older_than_s=-1)
    assert before - _bytes(home.path) == found.bytes > 0


def _bytes(folder: Path) -> int:
    names = ("owner.json", "owner.lock", "publish.lock")
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in names)
    return sum(path.stat().st_size for path in files)


def test_the_command_says_what_would_go_of_each_kind(
    home: Home, path: Path, config: Config, bundles: dict[str, str]
) -> None:
    asked = ["gc", str(path), "--home", str(home.path), "--days", "0"]
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    counts = {kind: each["count"] for kind, each in told["others"].items()}
    # Of four runs: ingest, supernet, both rounds, finalists, errors; of two: what was tuned and judged; and a ranking.
    assert counts == {"steps": 4 * 7 + 2 * 2 + 1, "quarantine": 4, "bundles": 2, "reports": 2, "runs": 1}
    assert not told["removed"]
    told = CliRunner().invoke(app, asked).stdout
    assert "2 of bundles, 0.0 MB\n" in told
    assert "--apply removes them" in told
    wide = CliRunner().invoke(app, [*asked, "--keep-runs", "10", "--json"])
    assert json.loads(wide.stdout)["others"]["steps"]["count"] == 0


def test_what_a_kill_left_aside_is_swept_later(home: Home, config: Config, bundles: dict[str, str]) -> None:
    kinds = (home.bundles(config.project), home.rankings(config.project), home.steps(config.project) / "search")
    for folder in (home.runs, *kinds):
        (folder / ".discarded-abcdefgh").mkdir()
        (folder / ".discarded-abcdefgh" / "file").write_text("left")
    assert sweep(home, config.project, older_than_s=-1) == 4
