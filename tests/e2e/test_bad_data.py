"""Corrupt input through the whole loop: good rows go on, what is bad is named with the reason, the champion stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from place import Place, succeeded

pytestmark = pytest.mark.e2e


def _wearer(place: Place, name: str) -> list[dict[str, Any]]:
    return pq.read_table(place.home / "incoming/watch" / name).to_pylist()


def _put(place: Place, name: str, rows: list[dict[str, Any]], like: str = "wearer-01.parquet") -> None:
    schema = pq.read_schema(place.home / "incoming/watch" / like)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), place.home / "incoming/watch" / name)


def _newest_run_in_mlflow(place: Place) -> str:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place.home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("evernas-watch").experiment_id
    query = f"tags.`evernas.run` = '{place.runs()[-1]}' and tags.`evernas.step` = 'run'"
    (run,) = client.search_runs([experiment], query)
    return str(run.info.status)


def test_bad_recordings_are_quarantined_and_the_rest_goes_on(again: Place) -> None:
    place = again
    rows = _wearer(place, "wearer-01.parquet")[:8]
    for number, row in enumerate(rows):
        row.update(
            id=f"new-{number}",
            domain="11",
            payload=[[v + 0.01 * (number + 1) for v in channel] for channel in row["payload"]],
        )
    rows[0]["payload"][2][40] = float("nan")
    rows[1]["payload"] = rows[1]["payload"][:5]
    rows[2]["label"] = "JUGGLING"
    twin = {**_wearer(place, "wearer-04.parquet")[0], "id": "twin"}
    _put(place, "batch.parquet", [*rows, twin])
    (place.home / "incoming/watch/broken.parquet").write_bytes(b"PAR1 this is none")
    done = succeeded(place.run())
    snapshot = place.result()["snapshot"]
    assert snapshot["rows_in"] == snapshot["rows_kept"] + snapshot["rows_quarantined"] + snapshot["rows_deduplicated"]
    assert snapshot["rows_deduplicated"] > 10
    assert "broken.parquet" in snapshot["refused_objects"]
    said = " ".join(snapshot["quarantine_examples"])
    assert "JUGGLING" in said
    assert "5 channels" in said
    assert len(snapshot["quarantine"]) >= 3
    assert snapshot["splits"]["train"]["11"] > 50
    assert "in quarantine" in done.stdout
    assert (place.home / "latest" / "report.html").read_text().count("JUGGLING") >= 1


def test_an_empty_batch_is_refused_by_name_and_the_champion_stays(again: Place) -> None:
    place = again
    before = place.result()["devices"][0]["champion_after"]["bundle"]
    _put(place, "empty.parquet", [])
    succeeded(place.run())
    result = place.result()
    assert "empty.parquet" in result["snapshot"]["refused_objects"]
    assert result["devices"][0]["champion_after"]["bundle"] == before
    assert {s["step"]: s["reused"] for s in result["steps"]}["supernet"], (
        "the good rows are the same: nothing is trained"
    )


def test_data_that_is_mostly_bad_refuses_the_run_with_exit_4(again: Place) -> None:
    place = again
    rows = _wearer(place, "wearer-01.parquet")[:4]
    for number, row in enumerate(rows):
        row.update(id=f"bad-{number}", domain="12", label="JUGGLING")
    _put(place, "bad.parquet", rows)
    done = place.run()
    assert done.returncode == 4
    assert "champion stays" in done.stderr
    assert "JUGGLING" in done.stderr
    assert "bundle" in json.loads(place.evernas("champion", str(place.config), "--json").stdout)["laptop"]
    (place.home / "incoming/watch/bad.parquet").unlink()
    assert "Nothing new" in succeeded(place.run()).stdout, "with the bad file gone the data is what it was"


def test_a_refused_batch_that_is_mended_is_taken_in_by_the_same_run(again: Place) -> None:
    place = again
    rows = _wearer(place, "wearer-01.parquet")[:6]
    for number, row in enumerate(rows):
        changed = [[value * 1.01 for value in channel] for channel in row["payload"]]
        row.update(id=f"mended-{number}", domain="12", payload=changed)
    _put(place, "batch.parquet", [{**row, "label": "JUGGLING"} for row in rows])
    assert place.run().returncode == 4
    assert _newest_run_in_mlflow(place) == "FAILED"
    _put(place, "batch.parquet", rows)
    done = succeeded(place.run())
    assert "going on where it was stopped" in done.stdout
    assert place.result()["snapshot"]["splits"]["train"]["12"] > 50
    assert _newest_run_in_mlflow(place) == "FINISHED"


def test_no_data_at_all_is_refused(fresh: Callable[..., Place]) -> None:
    place = fresh()
    (place.home / "incoming/watch").mkdir(parents=True)
    done = place.run()
    assert done.returncode == 4
    assert "holds no data" in done.stderr
