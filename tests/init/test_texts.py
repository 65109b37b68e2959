"""evernas init on texts: any of three formats, a config that a run accepts, and no more than it may read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from evernas.cli import app
from evernas.config import load_config
from evernas.errors import DataRefusedError
from evernas.init import holds_texts, look_at_texts

KINDS = ("order", "refund", "hello")


def rows() -> list[dict[str, str]]:
    return [
        {
            "id": f"{shop}-{label}-{n}",
            "domain": f"shop-{shop}",
            "label": label,
            "text": f"{label} no {n} " * (n % 5 + 1),
        }
        for shop in range(8)
        for label in KINDS
        for n in range(12)
    ]


def put(folder: Path, suffix: str) -> None:
    folder.mkdir()
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows()), folder / "x.parquet")
    elif suffix == ".jsonl":
        (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    else:
        lines = ["id,domain,label,text", *(",".join(row.values()) for row in rows())]
        (folder / "x.csv").write_text("\n".join(lines) + "\n")


def init(folder: Path, *more: str) -> tuple[int, str]:
    out, home = folder.with_name("evernas.yaml"), folder.with_name("home")
    done = CliRunner().invoke(app, ["init", str(folder), "--out", str(out), "--home", str(home), "--yes", *more])
    return done.exit_code, done.output


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_folder_of_texts_becomes_a_config_of_the_kind_text(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / "queries", suffix)
    code, said = init(tmp_path / "queries")
    assert code == 0, said
    assert "288 texts of 8 domains, 3 labels" in said
    config = load_config(tmp_path / "evernas.yaml")
    assert config.data.kind == "text"
    assert config.data.text is not None
    assert (config.data.text.characters, config.data.text.tokens) == (64, 32)
    assert config.data.labels == sorted(KINDS)
    text = (tmp_path / "evernas.yaml").read_text()
    assert "99 of 100 at most" in text
    assert "max_abs" not in text
    assert "recordings" not in text


def test_programs_are_told_what_a_text_is(tmp_path: Path) -> None:
    put(tmp_path / "queries", ".csv")
    code, said = init(tmp_path / "queries", "--json")
    assert code == 0
    assert json.loads(said)["text"]["tokens"] == 32


def test_what_is_no_text_is_counted_and_said(tmp_path: Path) -> None:
    put(tmp_path / "queries", ".jsonl")
    with (tmp_path / "queries" / "x.jsonl").open("a") as file:
        file.write('{"id": "a", "domain": "shop-1", "label": "order", "text": "  "}\nno json\n')
    (tmp_path / "queries" / "y.csv").write_text("a,b\n1,2\n")
    code, said = init(tmp_path / "queries")
    assert code == 0, said
    assert "2 of 290 texts are longer than 64 characters, empty, or no texts" in said
    assert "y.csv" in said


def test_a_folder_without_a_text_that_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "x.csv").write_text("id,domain,label,text\n")
    assert holds_texts(tmp_path / "queries")
    with pytest.raises(DataRefusedError, match=r"has a text that can be read\. x\.csv has no rows"):
        look_at_texts(tmp_path / "queries")


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
@pytest.mark.parametrize(("files", "whole"), [(1, False), (1, True), (3, False)])
def test_of_a_large_file_no_more_is_read_than_of_a_large_folder(
    tmp_path: Path, suffix: str, files: int, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evernas.data.texts._BATCH_ROWS", 50)
    monkeypatch.setattr("evernas.init.texts.MAX_TEXTS", 288 if whole else 100)
    put(tmp_path / "queries", suffix)
    for number in range(1, files):
        copy = tmp_path / "queries" / f"y{number}{suffix}"
        copy.write_bytes((tmp_path / "queries" / f"x{suffix}").read_bytes())
    seen = look_at_texts(tmp_path / "queries")
    assert (seen.rows, seen.complete) == ((288, True) if whole else (100, False))
    assert seen.files == files
