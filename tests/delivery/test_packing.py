"""A folder of image files becomes one file to deliver: every image once, its bytes untouched."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from evernas.cli import app
from evernas.delivery import packing
from evernas.delivery.packing import pack
from evernas.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for domain in ("site-a", "site-b"):
        for label in ("cat", "dog"):
            for number in range(3):
                path = folder / domain / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{domain} {label} {number}".encode() * 50)
    (folder / "site-a" / "cat" / ".hidden.png").write_bytes(b"no")
    (folder / "site-a" / "notes.txt").write_text("no")
    (folder / "site-a" / "cat" / "thumbs.db").write_bytes(b"no")
    return folder


@pytest.mark.parametrize("group", [1, 10**9])
def test_every_image_is_packed_once_and_the_bytes_repeat(
    folder: Path, tmp_path: Path, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "GROUP_BYTES", group)
    assert pack(folder, tmp_path / "a.parquet", "domain/label") == (12, 2)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert len({row["id"] for row in rows}) == 12
    for row in rows:
        assert row["payload"] == (folder / row["id"]).read_bytes()
        assert row["id"].startswith(f"{row['domain']}/{row['label']}/")
    pack(folder, tmp_path / "b.parquet", "domain/label")
    first, again = (hashlib.sha256((tmp_path / f"{n}.parquet").read_bytes()).digest() for n in "ab")
    assert first == again


def test_labels_may_be_outside(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.parquet", "label/domain")
    assert set(pq.read_table(tmp_path / "a.parquet").column("domain").to_pylist()) == {"cat", "dog"}


def test_what_is_in_the_way_is_said_and_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there.parquet").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for source, out, layout, said in [
        (folder, "a.parquet", "label", "layout 'label' is unknown"),
        (folder, "a.csv", "domain/label", "does not end in .parquet"),
        (folder, "there.parquet", "domain/label", "is there already"),
        (tmp_path / "empty", "a.parquet", "domain/label", "has no images"),
        (folder, "nowhere/a.parquet", "domain/label", "cannot be read or written"),
    ]:
        with pytest.raises(UsageError, match=said):
            pack(source, tmp_path / out, layout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos", "there.parquet"]


def test_the_command_says_what_it_packed(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["data", "pack", str(folder), str(tmp_path / "a.parquet")])
    assert done.exit_code == 0, done.output
    assert "12 images of 2 domains" in done.stdout
