"""The cost of a run follows the change: a new policy only decides, a new device re-uses the supernet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from place import Place, succeeded

pytestmark = pytest.mark.e2e


def _changed(place: Place, path: Path, **sections: Any) -> Place:
    document = yaml.safe_load(place.config.read_text())
    path.write_text(yaml.safe_dump({**document, **sections}))
    return Place(place.home, path, place.warm)


def _reused(place: Place) -> dict[str, bool]:
    return {f"{s['step']} {s['device'] or ''}".strip(): s["reused"] for s in place.result()["steps"]}


def _foreseen(place: Place) -> dict[str, bool]:
    """Which steps the plan says will be re-used."""
    planned = json.loads(succeeded(place.evernas("plan", str(place.config), "--json")).stdout)
    return {f"{s['step']} {s['device'] or ''}".strip(): s["state"] == "re-used" for s in planned["steps"]}


def test_a_new_policy_decides_anew_and_computes_nothing_else(undisturbed: Place, again: Place, tmp_path: Path) -> None:
    never = {"max_error": 0.9, "effects": {"error": 0.9, "latency_ms": 9.0, "size_kb": 9.0}}
    place = _changed(again, tmp_path / "evernas.yaml", gate=never)
    before = undisturbed.result()["devices"][0]
    foreseen = _foreseen(place)
    done = place.run("--fail-on-hold")
    assert done.returncode == 3, f"{done.stdout}\n{done.stderr}"
    reused = _reused(place)
    assert {step: reused[step] for step in foreseen} == foreseen, "the plan told it"
    of_device = ("profile", "search", "probe", "refine", "finalists")
    kept = ["ingest", "validate", "supernet", *(f"{step} laptop" for step in of_device)]
    assert [step for step in kept if not reused[step]] == []
    # The champion is measured beside the candidates, so a new one since the last run is measured anew.
    assert reused["benchmark laptop"] == (before["champion_after"] == before["champion_before"])
    assert not reused["gate laptop"]
    (device,) = place.result()["devices"]
    assert device["verdict"]["outcome"] == "hold"
    assert device["champion_after"]["bundle"] == before["champion_after"]["bundle"]
    assert device["gate_error_by_domain"] == {}, "a hold tells nothing of single people of the gate"


def test_a_new_device_reuses_the_supernet_and_gets_a_champion_of_its_own(
    undisturbed: Place, again: Place, tmp_path: Path
) -> None:
    devices = [
        {"name": "laptop", "runtime": "onnxruntime-cpu", "threads": 1},
        {"name": "other", "runtime": "onnxruntime-cpu", "threads": 2},
    ]
    place = _changed(again, tmp_path / "evernas.yaml", devices=devices)
    foreseen = _foreseen(place)
    succeeded(place.run())
    reused = _reused(place)
    assert {step: reused[step] for step in foreseen} == foreseen, "the plan told it"
    assert reused["supernet"]
    assert reused["profile laptop"]
    assert reused["search laptop"]
    assert not reused["profile other"]
    result = place.result()
    assert [d["device"] for d in result["devices"]] == ["laptop", "other"]
    other = result["devices"][1]
    assert other["champion_before"] is None
    assert other["champion_after"]["number"] == 1
    errors = {p["arch"]: p["error"] for p in result["devices"][0]["points"]}
    shared = [p for p in other["points"] if p["arch"] in errors]
    assert shared
    assert all(p["error"] == errors[p["arch"]] for p in shared), "errors come from one cache"


def test_other_labels_than_the_champions_hold_and_say_so(undisturbed: Place, again: Place, tmp_path: Path) -> None:
    """Class numbers of two label orders mean different things: paired, any network would look better."""
    data = yaml.safe_load(undisturbed.config.read_text())["data"]
    other = {**data, "labels": sorted(data["labels"])}
    place = _changed(again, tmp_path / "evernas.yaml", data=other)
    succeeded(place.run())
    (device,) = place.result()["devices"]
    assert device["verdict"]["outcome"] == "hold"
    assert device["verdict"]["reasons"][0]["rule"] == "comparable"
    assert "data.labels" in device["verdict"]["sentence"]
    assert device["champion_before"] is not None
    assert device["champion_after"] == device["champion_before"]


def test_a_device_that_was_too_busy_is_measured_again_by_the_next_run(
    undisturbed: Place, again: Place, tmp_path: Path
) -> None:
    config = yaml.safe_load(undisturbed.config.read_text())
    never_steady = {**config["benchmark"], "max_variation": 1e-9}
    place = _changed(again, tmp_path / "evernas.yaml", benchmark=never_steady)
    champion = undisturbed.result()["devices"][0]["champion_after"]["bundle"]
    ledger = sorted((place.home / "projects/watch/ledger").rglob("*.json"))
    for _ in range(2):
        done = succeeded(place.run())
        assert "Nothing new" not in done.stdout
        result, reused = place.result(), _reused(place)
        (device,) = result["devices"]
        assert device["verdict"]["reasons"][0]["rule"] == "measured"
        assert device["champion_after"]["bundle"] == champion
        assert reused["finalists laptop"]
        assert not reused["benchmark laptop"]
        assert not reused["gate laptop"]
    assert sorted((place.home / "projects/watch/ledger").rglob("*.json")) == ledger, "the gate split was not read"
