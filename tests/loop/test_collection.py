"""What nothing reaches is removed, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from evernas.cli import app
from evernas.config import Config, RetentionConfig, load_config
from evernas.data import Snapshot, ingest, load_rows, open_snapshot
from evernas.errors import IntegrityError, OwnershipError
from evernas.loop.collection import collect, kept_snapshots
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Head, Home, RunManifest
from evernas.state.files import write_json
from evernas.state.ownership import claim

ROOT = Path(__file__).parents[2]
KEEP = RetentionConfig().keeping(1)
NAMES = ["1-old", "2-champion", "3-between", "4-unended", "5-last"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def config(tmp_path: Path, source: Path) -> Config:
    document = yaml.safe_load((ROOT / "examples/watch/evernas.yaml").read_text())
    document["data"] |= {"source": str(source), "splits": {"gate": ["g"], "search": ["s"]}}
    (tmp_path / "evernas.yaml").write_text(yaml.safe_dump(document))
    return load_config(tmp_path / "evernas.yaml")


@pytest.fixture
def snapshots(
    home: Home, config: Config, source: Path, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> dict[str, Snapshot]:
    """Five runs, each with another file: the second one's candidate was promoted, the fourth has not ended."""
    store = home.snapshots(config.project)
    deliver("stays.parquet", [recording(f"r{d}", d, channels=6, steps=200) for d in ("g", "s", "t")])
    made: dict[str, Snapshot] = {}
    for number, name in enumerate(NAMES):
        deliver("changes.parquet", [recording(f"c{number}", "t", channels=6, steps=200)])
        parent = made[NAMES[number - 1]].id if number else None
        made[name] = ingest(source, store, config.data, parent)
        RunManifest.open(home, name, config, str(source), {})
        if name == "4-unended":
            write_json(home.run(name) / "snapshot.json", {"snapshot": made[name].id})
        else:
            write_json(home.run(name) / "result.json", {"snapshot": {"id": made[name].id}})
    Head(run="5-last", key="k", snapshot=made["5-last"].id, supernet="n").write(home, config.project)
    _promote(home, config, "2-champion", 1)
    return made


def _promote(home: Home, config: Config, run: str, number: int) -> None:
    entry = Entry(number, "laptop", "b" * 64, None, run, "promote", "m", "now", f"token-{number}")
    open_journal(home, config).claim(entry)


def test_only_what_nothing_reaches_goes(home: Home, config: Config, snapshots: dict[str, Snapshot]) -> None:
    store = home.snapshots(config.project)
    kept = kept_snapshots(config, home, 1)
    assert kept.keys() == {snapshots[name].id for name in ("2-champion", "4-unended", "5-last")}
    rows = {name: load_rows(snapshots[name]) for name in ("2-champion", "4-unended", "5-last")}
    planned = collect(config, home, KEEP, apply=False, older_than_s=-1).data
    assert sorted(planned.snapshots) == sorted(snapshots[name].id for name in ("1-old", "3-between"))
    assert len(planned.keys) == 7, "two manifests, two indexes, two shards, and the pack that tells of no other shards"
    assert all((store / key).exists() for key in planned.keys)
    assert collect(config, home, KEEP, apply=True, older_than_s=-1).data == planned
    for name, before in rows.items():
        assert load_rows(open_snapshot(store, snapshots[name].id)).equals(before)
    for name in ("1-old", "3-between"):
        with pytest.raises(IntegrityError, match="is not in"):
            open_snapshot(store, snapshots[name].id)
    assert collect(config, home, KEEP, apply=True, older_than_s=-1).data.keys == []


def test_the_champion_of_a_device_that_the_config_has_no_more_still_counts(
    home: Home, config: Config, snapshots: dict[str, Snapshot]
) -> None:
    other = config.model_copy(update={"devices": [config.devices[0].model_copy(update={"name": "another"})]})
    assert snapshots["2-champion"].id in kept_snapshots(other, home, 1)


def test_what_was_just_written_stays(home: Home, config: Config, snapshots: dict[str, Snapshot]) -> None:
    assert collect(config, home, KEEP, apply=True, older_than_s=3600).bytes == 0


def test_a_champion_whose_run_is_unknown_stops_it(home: Home, config: Config, snapshots: dict[str, Snapshot]) -> None:
    _promote(home, config, "elsewhere", 2)
    with pytest.raises(IntegrityError, match=r"Entry 2 of laptop was promoted by run elsewhere.*Nothing was removed"):
        collect(config, home, KEEP, apply=True, older_than_s=-1)


def test_nothing_is_removed_while_a_run_works(home: Home, config: Config, snapshots: dict[str, Snapshot]) -> None:
    with claim(home, 0, lambda text: None), pytest.raises(OwnershipError):
        collect(config, home, KEEP, apply=True, older_than_s=-1)


def test_the_command_only_says_what_would_go(
    home: Home, config: Config, snapshots: dict[str, Snapshot], tmp_path: Path
) -> None:
    asked = ["gc", str(tmp_path / "evernas.yaml"), "--home", str(home.path), "--keep-runs", "1", "--days", "0"]
    said = CliRunner().invoke(app, asked)
    assert said.stdout.startswith("2 snapshots, 7 files, ")
    assert "--apply removes them" in said.stdout
    found = json.loads(CliRunner().invoke(app, [*asked, "--apply", "--json"]).stdout)
    assert (found["removed"], found["files"]) == (True, 7)
    assert CliRunner().invoke(app, asked).stdout.startswith("0 snapshots, 0 files")
