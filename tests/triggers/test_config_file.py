"""A config that changes while a receiver serves is read anew; one that cannot be used changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import serving
from evernas.config import load_config
from evernas.triggers.config_file import ConfigFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return serving.write_config(tmp_path / "evernas.yaml", serving.triggers_config())


def test_changed_config_is_read_anew_but_for_what_it_says_of_triggers(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = ConfigFile(path, load_config(path))
    first = file.newest()
    assert file.newest() is first
    serving.write_config(path, serving.triggers_config(port=1), seed=77)
    changed = file.newest()
    assert (changed.seed, changed.triggers) == (77, first.triggers)
    assert [record.message for record in caplog.records] == ["config needs a restart"]


def test_config_that_cannot_be_used_is_said_once_and_the_former_one_holds(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    file = ConfigFile(path, load_config(path))
    first = file.newest()
    good = path.read_text()
    path.write_text("project: [")
    assert [file.newest() for _ in range(3)] == [first] * 3
    assert [record.message for record in caplog.records] == ["config refused"]
    path.unlink()
    assert file.newest() is first
    path.write_text(good.replace("seed: 0", "seed: 5") if "seed:" in good else good + "seed: 5\n")
    assert file.newest().seed == 5
