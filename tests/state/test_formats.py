"""Everything that is kept carries a version, a newer one is refused with a sentence, and the last release's is read."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evernas.bundle import load_bundle
from evernas.config import load_config
from evernas.data import open_snapshot
from evernas.errors import IntegrityError
from evernas.registry.opening import open_journal
from evernas.state import Home, RunManifest
from evernas.state.files import read_json
from evernas.state.formats import FORMATS, format_of
from evernas.steps import ledger
from evernas.steps.context import Setting
from evernas.steps.recheck import record_of
from evernas.triggers.lease import leases_of
from tiny_project import write

PREVIOUS = Path(__file__).parent / "previous"
PROJECT = "tiny"
# What is versioned by what it lies in, and why.
WITHIN = {
    "points.json": "by its step's marker",
    "samples.json": "by its bundle",
    "labels.json": "by its bundle",
    "contract.json": "by its bundle",
    "executor_output.json": "by KFP",
}


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The state folder as the previous release left it."""
    with tarfile.open(PREVIOUS / "state.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "home"


def _documents(home: Path) -> list[Path]:
    found = [path for path in home.rglob("*") if path.suffix == ".json" or path.suffix in (".claimed", ".renewed")]
    return [path for path in found if path.is_file() and path.name not in WITHIN and "artifacts" not in path.parts]


def test_every_document_of_a_real_state_folder_is_of_a_known_format(previous: Path) -> None:
    unknown = [path for path in _documents(previous) if format_of(path) is None and path.parent.name != "index"]
    assert unknown == []
    known = {form.name for path in _documents(previous) if (form := format_of(path)) is not None}
    assert len(known) > 20


def _project(home: Path) -> Path:
    return home / "projects" / PROJECT


def _read_journal(home: Home) -> Any:
    config = load_config(write(home.path.parent / "evernas.yaml", PROJECT, "nowhere"))
    return open_journal(home, config).head("laptop")


def _read_recheck(home: Home) -> Any:
    (run,) = (path.name for path in home.runs.iterdir())
    record = home.rechecks(PROJECT) / "laptop.json"
    if not record.exists():
        record.parent.mkdir()
        record.write_text('{"version": 1}')
    return record_of(Setting(home, RunManifest.read(home, run), "laptop"))


def _read_bundle(home: Home) -> Any:
    return [load_bundle(path) for path in home.bundles(PROJECT).iterdir()]


def _read_manifest(home: Home) -> Any:
    from evernas.storage import FileStorage

    snapshots = home.snapshots(PROJECT)
    return [open_snapshot(FileStorage(snapshots), path.stem) for path in (snapshots / "manifests").iterdir()]


# Those that are not read by `read_json` have readers of their own.
READERS: dict[str, Callable[[Home], Any]] = {
    "journal": _read_journal,
    "ledger": lambda home: ledger.decisions(home, PROJECT),
    "told": lambda home: ledger.decisions(home, PROJECT),
    "lease": lambda home: leases_of(home, PROJECT).current(),
    "recheck": _read_recheck,
    "bundle": _read_bundle,
}
# Named by their digest, so that they cannot be changed unseen; kept for nobody but a person; or made anew.
OTHERWISE = {"manifest", "sealed", "evaluation", "strategy", "random", "evidence"}


@pytest.mark.parametrize("name", [form.name for form in FORMATS if form.name not in OTHERWISE])
def test_what_a_newer_evernas_wrote_is_refused_with_a_sentence_and_not_changed(name: str, previous: Path) -> None:
    home = Home(previous)
    if name == "recheck":
        _read_recheck(home)
    (form,) = (form for form in FORMATS if form.name == name)
    files = [path for path in previous.rglob("*") if path.is_file() and path.match(form.place)]
    if not files:
        # Not every run leaves one: it is put where it would lie.
        files = [previous / form.place.replace("*", "x")]
        files[0].parent.mkdir(parents=True, exist_ok=True)
        files[0].write_text("{}")
    for path in files:
        path.chmod(0o644)
        path.write_text(json.dumps({**json.loads(path.read_text()), "version": form.version + 1}))
    before = {path: path.read_bytes() for path in files}
    read = READERS.get(name, lambda home: [read_json(path) for path in files])
    with pytest.raises(IntegrityError, match=r"newer") as refused:
        read(home)
    assert "pgrade evernas" in str(refused.value)
    assert before == {path: path.read_bytes() for path in files}


def test_the_state_of_the_previous_release_is_read_by_every_reader(previous: Path) -> None:
    home = Home(previous)
    for path in _documents(previous):
        form = format_of(path)
        if form is not None and form.name not in READERS:
            read_json(path)
    for read in (*READERS.values(), _read_manifest):
        assert read(home) is not None
    assert _read_journal(home).bundle in {bundle.digest for bundle in _read_bundle(home)}
