"""A night with nothing new: the champion that was measured long ago is measured again through the real pipeline."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from evernas.config import load_config
from evernas.steps.ingest import run_key
from place import Place, succeeded

pytestmark = pytest.mark.e2e

PROJECT = "projects/watch"
HEAD, JOURNAL, LEDGER = f"{PROJECT}/head.json", f"{PROJECT}/journal", f"{PROJECT}/ledger"


def _aged(place: Place, days: float, path: Path, **sections: Any) -> Place:
    """The place as it would be so many days after its last run, which had these sections in its config already."""
    then = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    entries = sorted((place.home / JOURNAL).rglob("*.json"))
    for entry in entries:
        entry.write_text(json.dumps(json.loads(entry.read_text()) | {"promoted_at": then}))
    path.write_text(yaml.safe_dump(yaml.safe_load(place.config.read_text()) | sections))
    head = json.loads((place.home / HEAD).read_text())
    key = run_key(load_config(path), head["snapshot"], {"laptop": len(entries)})
    (place.home / HEAD).write_text(json.dumps(head | {"measured": {"laptop": then}, "key": key}))
    return Place(place.home, path, place.warm)


def _steps(place: Place) -> list[tuple[str, str | None, bool]]:
    return [(step["step"], step["device"], step["reused"]) for step in place.result()["steps"]]


def test_a_champion_that_came_to_break_its_constraint_is_found_on_a_night_with_nothing_new(
    undisturbed: Place, again: Place, tmp_path: Path
) -> None:
    """It is measured, evaluated and reported as an incident; nothing is compared, claimed or taken back."""
    from mlflow import MlflowClient

    bounds = [{"metric": "latency_ms", "max": 1e-6}, {"metric": "error", "max": 0.999}]
    place = _aged(again, 7.01, tmp_path / "evernas.yaml", constraints=bounds)
    kept = [p for name in (JOURNAL, LEDGER) for p in (place.home / name).rglob("*") if p.is_file()]
    decided = {path: path.read_bytes() for path in kept}
    plan = json.loads(succeeded(place.evernas("plan", str(place.config), "--json")).stdout)
    assert plan["recheck"] == ["laptop"]

    said = succeeded(place.run()).stdout
    result = place.result()
    assert result["outcome"] == "nothing-new"
    assert _steps(place) == [("ingest", None, False), ("recheck", "laptop", False), ("conclude", None, False)]
    found = json.loads((place.home / PROJECT / "rechecks/laptop.json").read_text())
    restarts = found["measurement"]["latency"]["per_restart_median_ms"]
    assert (len(restarts), found["measured"], found["run"]) == (2, True, place.runs()[-1])
    assert found["bundle"] == undisturbed.result()["devices"][0]["champion_after"]["bundle"]
    number = len(sorted((place.home / JOURNAL).rglob("*.json")))
    incident = f"Incident: the champion of laptop (entry {number}) breaks a constraint: its median latency is "
    assert f"{incident}{sum(restarts) / 2:.3f} ms, and the limit is 1e-06." in result["reason"]
    assert "its error" not in result["reason"], "that constraint it keeps"
    assert incident in " ".join(said.split())
    assert decided == {path: path.read_bytes() for path in kept}

    uri = f"sqlite:///{place.home / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("evernas-watch")
    runs = client.search_runs([experiment.experiment_id], f"tags.`evernas.run` = '{place.runs()[-1]}'", max_results=100)
    (parent,) = (run for run in runs if run.data.tags["evernas.step"] == "run")
    assert parent.data.tags["evernas.incident"].startswith(incident)
