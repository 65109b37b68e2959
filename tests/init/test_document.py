"""The written config: accepted, explained, never over another file, whatever the data is called."""

from __future__ import annotations

import json
import os
import pty
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evernas.config import load_config, source_address
from evernas.errors import UsageError
from evernas.init import ask, look_at, propose, write, yaml_text

ROOT = Path(__file__).parents[2]
Rows = Callable[..., list[dict[str, Any]]]
Save = Callable[..., Path]


def _evernas(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVERNAS")}
    return subprocess.run(
        [sys.executable, "-m", "evernas.cli", *arguments],
        cwd=place,
        env={**environment, "COLUMNS": "200"},
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_watch_data_with_other_people_becomes_a_config_that_plan_accepts(tmp_path: Path) -> None:
    deliver = runpy.run_path(str(ROOT / "examples/watch/deliver.py"))
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["Ada", "Büşra", "Chen: x", "D'Arcy", "Eve # no", "- Fay", "null", "8", "Ιώ", 'Jo "J"']
    place, data = tmp_path / "a place", tmp_path / "a place" / "wrist"
    data.mkdir(parents=True)
    kept = [r for r in deliver["recordings"]() if r["id"].endswith(("r00", "r02", "r04", "r06", "r08", "r10", "r12"))]
    for person in {r["domain"] for r in kept}:
        name = names[int(person) - 1]
        own = [{**r, "domain": name, "payload": list(r["payload"])} for r in kept if r["domain"] == person]
        schema = pa.schema([(c, pa.string()) for c in ("id", "domain", "label")])
        schema = schema.append(pa.field("payload", pa.list_(pa.list_(pa.float32()))))
        pq.write_table(pa.Table.from_pylist(own, schema=schema), data / f"{person}.parquet")
    made = _evernas(place, "init", str(data), "--yes", "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["channels"] == 6
    assert sorted([*told["gate"], *told["search"], *told["train"]]) == sorted(names)
    config = load_config(place / "evernas.yaml")
    assert (config.data.splits.gate, config.data.labels) == (told["gate"], told["labels"])
    planned = _evernas(place, "plan", "evernas.yaml", "--json")
    assert planned.returncode == 0, planned.stderr
    assert len(json.loads(planned.stdout)["new"]) == 10


def test_every_guess_has_its_reason_beside_it(folder: Path, rows: Rows, save: Save, tmp_path: Path) -> None:
    save(rows())
    lines = yaml_text(propose(look_at(folder)), tmp_path).splitlines()
    for key in ("source", "channels", "length", "labels", "domain_noun", "splits", "max_abs"):
        at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        assert lines[at - 1].strip().startswith("# "), key
    assert "  source: ./gait" in lines


def test_names_from_the_data_cannot_write_into_the_config(folder: Path, rows: Rows, save: Save, tmp_path: Path) -> None:
    evil = "x\nseed: 7\u2028seed: 8\x85seed: 9"
    whole = [*rows(), *({**row, "id": f"e-{row['id']}", "label": evil} for row in rows(domains=2, each=1))]
    save(whole)
    text = yaml_text(propose(look_at(folder)), tmp_path)
    assert "Left out: the labels" in text
    document = yaml.safe_load(text)
    assert "seed" not in document
    assert document["data"]["labels"] == ["run", "walk"]


def test_an_existing_config_is_kept_unless_forced(folder: Path, rows: Rows, save: Save, tmp_path: Path) -> None:
    save(rows())
    out = tmp_path / "evernas.yaml"
    out.write_text("mine")
    proposal = propose(look_at(folder))
    with pytest.raises(UsageError, match=r"evernas.yaml exists: give --force"):
        write(proposal, out, tmp_path)
    assert out.read_text() == "mine"
    write(proposal, out, tmp_path, force=True)
    assert load_config(out).project == "gait"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "nothing is left behind"


def test_a_config_that_another_writes_meanwhile_is_kept(
    folder: Path, rows: Rows, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evernas.init import document

    save(rows())
    proposal, out = propose(look_at(folder)), tmp_path / "evernas.yaml"
    real = document.yaml_text

    def slow(*arguments: Any) -> str:
        out.write_text("another's")
        return real(*arguments)

    monkeypatch.setattr(document, "yaml_text", slow)
    with pytest.raises(UsageError, match="exists"):
        write(proposal, out, tmp_path)
    assert out.read_text() == "another's"


def test_a_path_that_a_config_would_expand_is_refused(
    rows: Rows, save: Save, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIDDEN", "elsewhere")
    save(rows())
    odd = folder.rename(tmp_path / "${HIDDEN}")
    with pytest.raises(UsageError, match="rename the folder"):
        write(propose(look_at(odd)), tmp_path / "evernas.yaml", tmp_path)


def test_data_elsewhere_is_named_by_its_whole_path(folder: Path, rows: Rows, save: Save, tmp_path: Path) -> None:
    save(rows())
    (tmp_path / "project").mkdir()
    out = tmp_path / "project" / "evernas.yaml"
    write(propose(look_at(folder)), out, tmp_path)
    assert source_address(load_config(out), tmp_path) == str(folder)


def test_the_config_may_move_with_its_folder(folder: Path, rows: Rows, save: Save, tmp_path: Path) -> None:
    save(rows())
    write(propose(look_at(folder)), folder.parent / "evernas.yaml", tmp_path)
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(str(folder), moved)
    shutil.move(str(tmp_path / "evernas.yaml"), moved)
    assert source_address(load_config(moved / "evernas.yaml"), tmp_path) == str(moved / "gait")


def test_a_person_may_name_the_judges_and_is_asked_again_until_it_is_possible(
    folder: Path, rows: Rows, save: Save
) -> None:
    save(rows())
    answers = iter(["nobody", "p1, p2, p3, p4, p5, p6, p7", "p1, p2", "p2", "p3"])
    said: list[str] = []
    named = ask(propose(look_at(folder)), lambda question, guess: next(answers), said.append)
    assert (named.split.gate, named.split.search) == (["p1", "p2"], ["p3"])
    assert "There is no 'nobody': name some of those above." in said
    assert "Too few would be left for the rest: name fewer." in said
    assert "'p2' judges already: name others." in said
    assert named.reasons["splits"] == "Named by a person."


def test_judges_without_a_label_are_not_taken(folder: Path, rows: Rows, save: Save) -> None:
    save([row for row in rows(labels=("walk", "run", "sit")) if (row["domain"], row["label"]) != ("p1", "sit")])
    answers = iter(["p1", "p1, p2", "p3"])
    said: list[str] = []
    ask(propose(look_at(folder)), lambda question, guess: next(answers), said.append)
    assert "None of these has the label 'sit': name somebody who has it, too." in said


def test_on_a_terminal_enter_takes_the_guesses(folder: Path, rows: Rows, save: Save, tmp_path: Path) -> None:
    save(rows())
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "evernas.cli", "init", str(folder)], cwd=tmp_path, stdin=theirs, stdout=theirs
    )
    os.close(theirs)
    os.write(ours, b"\n\n\n")
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait() == 0
    assert b"Who judges" in shown
    assert b"Its ONNX file" in shown
    assert b"evernas plan evernas.yaml" in shown
    assert load_config(tmp_path / "evernas.yaml").data.splits.gate


def test_errors_end_with_the_exit_code_of_their_kind(folder: Path, tmp_path: Path) -> None:
    refused = _evernas(tmp_path, "init", str(folder), "--yes")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert refused.stderr.startswith(f"The folder {folder} is empty")
    assert "Traceback" not in refused.stderr
