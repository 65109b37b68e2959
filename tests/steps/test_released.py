"""A row that a person releases from quarantine is taken in by the next run, past that rule only, and never silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import Config
from evernas.errors import UsageError
from evernas.loop.quarantine import quarantine, release
from evernas.state import Home
from evernas.state.sharing import releases_of
from small_lineage import LABELS, config, give, home, train

__all__ = ["config", "home"]
LOUD = 2e4


@pytest.fixture
def taken_in(home: Home, config: Config) -> Any:
    """A run in whose training data one recording is loud, and another is loud and without a known label."""
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    rows = []
    for id, label in (("loud", LABELS[0]), ("loud-and-nameless", "?")):
        payload = np.random.default_rng(len(id)).normal(size=(6, 400)).astype(np.float32)
        payload[0] *= LOUD
        rows.append({"id": id, "domain": "t", "label": label, "payload": payload.tolist()})
    kind = pa.schema(
        {
            **dict.fromkeys(("id", "domain", "label"), pa.string()),
            "payload": pa.list_(pa.list_(pa.float32())),
        }
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=kind), Path(config.data.source) / "loud.parquet")
    return train(home, config, "run-1")[0]


def test_released_rows_are_taken_in_past_that_rule_only(home: Home, config: Config, taken_in: Any) -> None:
    loud = quarantine(home, config.project, "max_abs")
    assert taken_in.facts["quarantine"] == {"max_abs": loud.num_rows, "known_label": loud.num_rows // 2}
    count = release(home, config.project, "max_abs", None, [], " The scale was wrong. ")
    assert count == loud.num_rows
    assert release(home, config.project, "max_abs", None, ["loud"], "again") == 0, "released before"

    after, _ = train(home, config, "run-2")
    assert after.facts["rows_released"] == loud.num_rows // 2
    assert after.facts["rows_kept"] == taken_in.facts["rows_kept"] + loud.num_rows // 2
    assert after.facts["quarantine"] == {"known_label": loud.num_rows // 2}, "what fails another rule stays"
    counts = ("rows_kept", "rows_quarantined", "rows_deduplicated")
    assert after.facts["rows_in"] == sum(after.facts[name] for name in counts)
    assert train(home, config, "run-3")[0].ref == after.ref, "nothing new, nothing done"

    (record,) = releases_of(home, config.project).all()
    assert (record["rule"], record["reason"]) == ("max_abs", "The scale was wrong.")
    assert not {"loud", "t"} & set(str(record).split("'")), "a release names no person"


def test_a_row_that_is_delivered_anew_with_other_numbers_is_not_the_one_that_was_released(
    home: Home, config: Config, taken_in: Any
) -> None:
    release(home, config.project, "max_abs", "t", ["loud"], "The scale was wrong.")
    path = Path(config.data.source) / "loud.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["payload"][1][0] += 1.0
    rows[0]["payload"][1][399] += 1.0
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    after, _ = train(home, config, "run-2")
    assert 0 < after.facts["rows_released"] < taken_in.facts["quarantine"]["max_abs"] // 2


def test_what_cannot_be_released_is_said(home: Home, config: Config, taken_in: Any) -> None:
    for rule, ids, reason, said in [
        ("max_abs", [], None, "--reason"),
        ("known_label", [], "it is fine", "cannot be released"),
        ("min_std", [], "it is fine", "No row of the quarantine fails min_std"),
        ("max_abs", ["nobody"], "it is fine", "No row 'nobody' that fails max_abs"),
    ]:
        with pytest.raises(UsageError, match=said):
            release(home, config.project, rule, None, ids, reason)
    assert releases_of(home, config.project).count() == 0
