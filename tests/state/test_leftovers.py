"""What killed writes left is swept away after a day, and nothing else is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from evernas.state import Home
from evernas.state import files as writing
from evernas.state.files import write_bytes
from evernas.state.leftovers import DAY_S, sweep

RUN = "runs/20260101-000000-abcdef"
LEFT = [
    ".latest.4711",
    ".owner.json.ab_d3f9h",
    f"{RUN}/.result.json.abcd1234",
    f"{RUN}/steps/.search@laptop.json.abcd1234",
    "projects/watch/.head.json.abcd1234",
    "projects/watch/steps/supernet/0011/checkpoint-cold/.checkpoint.safetensors.4711",
    "projects/watch/steps/benchmark/.discarded-abcd1234/done.json",
    "projects/watch/steps/validate/0011/.tmp-docs-abcd1234/index.html",
    "projects/watch/bundles/.writing-abcd1234/model.onnx",
    "projects/watch/journal/laptop/.tmp-4711-0123456789abcdef",
    "projects/watch/evaluations/name/.one.json.abcd1234",
]
KEPT = [
    ".bashrc",
    ".config.settings",
    "runs/notes/.draft.abcd1234",
    "projects/other-work/.git/config",
    "projects/watch/.git/config",
    "incoming/watch/.batch.parquet.abcd1234",
    "artifacts/watch/.file.abcd1234",
    f"{RUN}/result.json",
    f"{RUN}/.hidden",
    "projects/watch/steps/supernet/0011/supernet.safetensors",
    "projects/watch/steps/validate/0011/data_docs/.ge_store_backend_id",
]


def _make(root: Path, names: list[str], age_s: float) -> None:
    then = time.time() - age_s
    for name in names:
        write_bytes(root / name, b"bytes")
        os.utime(root / name, (then, then))
        os.utime((root / name).parent, (then, then))


def _all(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_leftovers_older_than_a_day_are_removed_and_nothing_else(tmp_path: Path) -> None:
    _make(tmp_path, [*LEFT, *KEPT], DAY_S + 60)
    assert sweep(Home(tmp_path), "watch") == len(LEFT)
    assert _all(tmp_path) == set(KEPT)
    assert not list(tmp_path.rglob(".discarded-*"))
    assert sweep(Home(tmp_path), "watch") == 0


def test_leftovers_of_today_stay(tmp_path: Path) -> None:
    _make(tmp_path, LEFT, DAY_S - 600)
    assert sweep(Home(tmp_path), "watch") == 0
    assert _all(tmp_path) == set(LEFT)


def test_a_dangling_link_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".latest.4711").symlink_to("runs/gone")
    assert sweep(Home(tmp_path), "watch", older_than_s=-60) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_a_write_leaves_when_it_is_killed_is_what_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names that are swept are the names that writes give."""
    monkeypatch.setattr(writing.Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(writing.Path, "unlink", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / RUN / "result.json", b"half")
    monkeypatch.undo()
    assert len(_all(tmp_path)) == 1
    assert sweep(Home(tmp_path), "watch", older_than_s=-60) == 1


def test_an_empty_state_folder_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(Home(tmp_path / "none"), "watch") == 0
