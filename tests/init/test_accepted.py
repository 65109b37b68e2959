"""What init accepts, a run's own ingestion and validation accept, with the share in quarantine that init foretold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evernas.config import load_config
from evernas.data import ingest, load_rows
from evernas.init import look_at, propose, write
from evernas.validation import validate

Rows = Callable[..., list[dict[str, Any]]]


def test_a_run_accepts_the_data_for_which_init_made_a_config(
    folder: Path, rows: Rows, save: Callable[..., Path], tmp_path: Path
) -> None:
    whole = rows(labels=("walk", "run", "sit"))
    for row in whole[::12]:
        row["payload"][0][3] = float("nan")
    rare = [{**row, "id": f"rare-{row['id']}", "label": "fall"} for row in rows(domains=2, labels=("walk",), each=1)]
    for row in rare:
        row["payload"] = [[value + 1 for value in channel] for channel in row["payload"]]
    save([*whole, *rare])
    (folder / "cut.parquet").write_bytes(b"PAR1")
    proposal = propose(look_at(folder))
    assert any("24 of 290 windows" in remark for remark in proposal.remarks)
    assert any("'fall' (2 domains)" in remark for remark in proposal.remarks)
    write(proposal, tmp_path / "evernas.yaml", tmp_path)
    config = load_config(tmp_path / "evernas.yaml")
    snapshot = ingest(folder, tmp_path / "store", config.data, None)
    judged = validate(load_rows(snapshot), config.data, config.validation)
    assert judged.refusals == ()
    assert (judged.rows_in, judged.quarantined) == (290, 26)
    assert {rule: n for rule, n in judged.rule_counts.items() if n} == {"finite": 24, "known_label": 2}
    assert set(snapshot.manifest.refused_objects) == {"cut.parquet"}
