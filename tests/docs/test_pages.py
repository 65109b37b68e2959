"""Every shell and Python block of the pages runs, or the page says above it why it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Guides that came before this test, or come from elsewhere, have their commands checked by their own tests.
PAGES = [ROOT / "docs" / name for name in ("index.md", "first-run.md", "your-own-data.md", "concepts.md", "design.md")]
BLOCK = re.compile(r"(?:^<!-- not run in tests: (?P<why>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


def _blocks(page: Path) -> list[re.Match[str]]:
    found = list(BLOCK.finditer(page.read_text()))
    assert page.read_text().count("\n```") == 2 * len(found), f"{page}: a block that is not understood"
    return [block for block in found if block["kind"] in ("sh", "python")]


def test_every_block_is_of_a_known_kind() -> None:
    kinds = {block["kind"] for page in PAGES for block in BLOCK.finditer(page.read_text())}
    assert kinds <= {"sh", "python", "text", "yaml"}


def test_blocks_that_do_not_run_say_why() -> None:
    reasons = [block["why"] for page in PAGES for block in _blocks(page) if block["why"] is not None]
    assert all(len(reason) > 10 for reason in reasons)
    assert sum(block["why"] is None for page in PAGES for block in _blocks(page)) >= 4, "most of what can run, runs"


@pytest.mark.parametrize("page", [page for page in PAGES if _blocks(page)], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "evernas").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m evernas.cli "$@"\n')
    (commands / "evernas").chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("EVERNAS", "MLFLOW"))}
    environment = {**clean, "PATH": f"{commands}:{os.environ['PATH']}", "COLUMNS": "120"}
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
