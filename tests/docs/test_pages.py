"""Every shell and Python block of the pages runs, or the page says above it why it does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from evernas.config import Config
from evernas.state import Home
from small_project import network, project_in
from text_bundle import text_bundle

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
OF_A_PROJECT = ("hardware", "operations", "production")
COMMAND = re.compile(r"^(evernas|make|python3?|pip|kubectl|helm|docker|terraform|git|curl)\b", re.M)
EXAMPLES = {"text": "languages"}
BLOCK = re.compile(r"(?:^<!-- not run in tests: (?P<why>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


def _blocks(page: Path) -> list[re.Match[str]]:
    found = list(BLOCK.finditer(page.read_text()))
    assert page.read_text().count("\n```") == 2 * len(found), f"{page}: a block that is not understood"
    return [block for block in found if block["kind"] in ("sh", "python")]


def test_every_block_is_of_a_known_kind() -> None:
    kinds = {block["kind"] for page in PAGES for block in BLOCK.finditer(page.read_text())}
    assert kinds <= {"sh", "python", "sql", "text", "yaml"}


def test_blocks_within_lists_are_those_of_a_cluster_that_somebody_makes() -> None:
    """They need an account of AWS or kind, run nowhere here, and the pages say so."""
    unrun = {"cluster": "Nobody has run this against an account yet", "cluster-local": "Nobody has gone through these"}
    within = {page for page in PAGES if re.search(r"^ +```", page.read_text(), re.M)}
    assert {page.stem for page in within} == set(unrun)
    assert all(unrun[page.stem] in page.read_text() for page in within)


def test_no_command_hides_in_a_block_of_text() -> None:
    texts = [block["text"] for page in PAGES for block in BLOCK.finditer(page.read_text()) if block["kind"] == "text"]
    assert [text for text in texts if COMMAND.search(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_writes_into_a_config_is_valid(page: Path) -> None:
    for block in BLOCK.finditer(page.read_text()):
        section = yaml.safe_load(block["text"]) if block["kind"] == "yaml" else {}
        if set(section) <= set(Config.model_fields):
            Config.model_validate(_with(_example(page, section), section))
        else:
            assert page.stem == "cluster" or "not a config" in block["why"]


def _example(page: Path, section: dict[str, Any]) -> dict[str, Any]:
    """The config that a page's section is to be a part of."""
    example = yaml.safe_load((ROOT / "examples" / EXAMPLES.get(page.stem, "watch") / "evernas.yaml").read_text())
    if "labels" in section.get("data", {}):  # data of its own, of another kind
        return {key: value for key, value in example.items() if key not in ("data", "space", "supernet")}
    return dict(example)


def _with(whole: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    merged = {
        key: _with(whole[key], value) if isinstance(value, dict) and isinstance(whole.get(key), dict) else value
        for key, value in section.items()
    }
    return {**whole, **merged}


def _project(place: Path) -> None:
    """What the pages of a project in production name: a config, champions in the state, bundles, a passphrase."""
    project = project_in(Home(place / ".evernas"), place)
    for seed in (1, 2):
        code, said = project.promote(project.bundle(seed), f"run-{seed}")
        assert code == 0, said
    shutil.copytree(project.bundle(2).path, place / "path/to/bundle")
    (place / "other.onnx").write_bytes(network(3))
    (place / ".evernas-backup-passphrase").write_text("a passphrase of many characters")


def test_blocks_that_do_not_run_say_why() -> None:
    reasons = [block["why"] for page in PAGES for block in _blocks(page) if block["why"] is not None]
    assert all(len(reason) > 10 for reason in reasons)
    assert sum(block["why"] is None for page in PAGES for block in _blocks(page)) >= 4, "most of what can run, runs"


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, module in (("evernas", "evernas.cli"), ("evernas-pipelines", "evernas_pipelines.cli")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        (commands / name).chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    if page.stem == "cluster":
        shutil.copy(ROOT / "examples" / "watch" / "cluster.yaml", place / "evernas.yaml")
    if page.stem == "text":
        shutil.copytree(text_bundle(project_in(Home(place / ".evernas"), place)).path, place / "bundle")
    if page.stem in OF_A_PROJECT:
        monkeypatch.setenv("EVERNAS_HOME", str(place / ".evernas"))
        _project(place)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("EVERNAS", "MLFLOW"))}
    environment = {**clean, "PATH": f"{commands}:{os.environ['PATH']}", "COLUMNS": "120", "HOME": str(place)}
    for block in _blocks(page):
        if block["why"] is not None:
            continue
        start = ["sh", "-euc"] if block["kind"] == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*start, block["text"]],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block['text']}\n{done.stdout}\n{done.stderr}"
