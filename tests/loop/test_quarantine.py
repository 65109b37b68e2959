"""What went to quarantine is shown and written, with its rule and sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from evernas.cli import app
from evernas.errors import IntegrityError, UsageError
from evernas.loop.quarantine import export, quarantine
from evernas.state import Done, Head, Home, StepStore
from evernas.state.files import read_json, write_json
from evernas.state.ownership import claim
from evernas.state.sharing import releases_of

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "examples/watch/evernas.yaml"
RULES = ["finite", "known_label", "known_label"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A state folder whose last run has sent three rows to quarantine."""
    home = Home(tmp_path / "home")
    names = ("sample_id", "recording", "domain", "label", "split", "digest", "object", "sentence")
    columns: dict[str, Any] = {name: [f"{name}-{i}" for i in range(3)] for name in names}
    columns |= {"row": [4, 5, 6], "rule": RULES, "label": ["=cmd()", "-1", None], "domain": ["1", "2", None]}
    store = StepStore(home.steps("watch"))
    ref = store.ref("validate", 1, {})
    pq.write_table(pa.table(columns), store.workspace(ref) / "quarantine.parquet")
    with claim(home, 0, lambda text: None) as ownership:
        store.finish(Done(ref, store.workspace(ref), {}, {}, "first"), ["quarantine.parquet"], ownership.guard)
    Head(run="first", key="k", snapshot="s", supernet="n", validated=ref).write(home, "watch")
    return home


def _list(home: Home, *more: str) -> Any:
    asked = ["data", "quarantine", "list", "--config", str(CONFIG), "--home", str(home.path), *more]
    return CliRunner().invoke(app, asked)


def test_the_quarantine_is_counted_by_rule_and_shown(home: Home) -> None:
    said = _list(home, "--limit", "1").stdout
    assert said.startswith("finite: 1; known_label: 2\nobject-0: 'sample_id-0' of '1': finite: sentence-0\n")
    assert "2 more" in said
    found = json.loads(_list(home, "--rule", "known_label", "--domain", "2", "--json").stdout)
    assert found["counts"] == {"known_label": 1}
    assert found["rows"][0]["sample_id"] == "sample_id-1"
    assert _list(home, "--rule", "none").stdout == "The quarantine is empty.\n"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_quarantine_is_exported_once(home: Home, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"out{suffix}"
    asked = ["data", "quarantine", "export", str(file), "--config", str(CONFIG), "--home", str(home.path)]
    assert CliRunner().invoke(app, asked).stdout == f"3 rows are in {file}.\n"
    if suffix == ".csv":
        rows = list(csv.DictReader(file.open()))
        assert [row["label"] for row in rows] == ["'=cmd()", "'-1", ""], "no formula for a spreadsheet"
    else:
        rows = pq.read_table(file).to_pylist()
    assert [row["rule"] for row in rows] == RULES
    with pytest.raises(UsageError, match="exists already"):
        export(quarantine(home, "watch"), file)
    with pytest.raises(UsageError, match=r"neither \.csv nor \.parquet"):
        export(quarantine(home, "watch"), tmp_path / "out.xlsx")


def test_without_a_run_or_with_changed_bytes_there_is_no_quarantine(home: Home) -> None:
    with pytest.raises(UsageError, match="No run of the project other was completed"):
        quarantine(home, "other")
    (table,) = home.steps("watch").rglob("quarantine.parquet")
    table.write_bytes(b"other")
    with pytest.raises(IntegrityError):
        quarantine(home, "watch")


def test_a_release_by_command_is_kept_with_its_reason(home: Home) -> None:
    (path,) = home.steps("watch").rglob("quarantine.parquet")
    table = pq.read_table(path)
    path.write_bytes(b"")
    loud = table.set_column(table.schema.get_field_index("rule"), "rule", pa.array(["max_abs", "max_abs", "finite"]))
    pq.write_table(loud, path)
    write_json(path.parent / "done.json", {**read_json(path.parent / "done.json"), "outputs": {}})
    asked = ["data", "quarantine", "release", "--config", str(CONFIG), "--home", str(home.path), "--rule", "max_abs"]
    told = CliRunner().invoke(app, [*asked, "sample_id-1", "--reason", "The scale was wrong."])
    assert told.stdout.startswith("1 rows are released past max_abs: the next run takes them in")
    assert json.loads(CliRunner().invoke(app, [*asked, "--reason", "Both.", "--json"]).stdout)["released"] == 1
    assert [record["reason"] for record in releases_of(home, "watch").all()] == ["The scale was wrong.", "Both."]
