"""A limit on what corruptions may do, through the real pipeline: promoted below it, watched by night, held above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from place import Place, succeeded
from tiny_project import PEOPLE, deliver, tiny
from warm import Warm

pytestmark = pytest.mark.e2e


def _limit(place: Place, most: float) -> None:
    document = yaml.safe_load(place.config.read_text())
    document["constraints"] = [{"metric": "robust_error", "max": most}]
    place.config.write_text(yaml.safe_dump(document))


def _reasons(device: dict[str, Any]) -> dict[str, bool]:
    return {reason["rule"]: reason["passed"] for reason in device["verdict"]["reasons"]}


def test_a_limit_under_corruptions_promotes_watches_and_holds(tmp_path: Path, warm: Warm) -> None:
    place = tiny(tmp_path, warm, gate={"recheck_after": 0}, robustness={"corruptions": {"dropout": 1.0, "gain": None}})
    _limit(place, 0.999)
    succeeded(place.run())
    (device,) = place.result()["devices"]
    assert _reasons(device)["constraint:robust_error"]
    tried = device["champion_after"]["robustness"]
    assert tried == device["finalists"][0]["robustness"]
    assert {c["name"]: c["severity"] for c in tried["corruptions"]} == {"dropout": 1.0, "gain": 0.2}
    assert tried["rows"] == sum(place.result()["snapshot"]["splits"]["search"].values())

    told = device["gate_robustness"]
    assert [c["name"] for c in told["corruptions"]] == ["dropout", "gain"], "told with a promotion, of unseen people"
    assert {c["champion"] for c in told["corruptions"]} == {None}
    assert "On the gate split" in (place.home / "latest/report.html").read_text()

    said = succeeded(place.run()).stdout
    assert place.result()["outcome"] == "nothing-new"
    assert "was measured again" in place.result()["reason"], said
    assert "Incident" not in place.result()["reason"], "what the limit bounds is known of the champion"

    ledger = place.home / "projects/tiny/ledger"
    spent = sorted(path.name for path in ledger.rglob("*"))
    deliver(tmp_path / "incoming", "second.parquet", PEOPLE[7:], seed=1)
    _limit(place, 0.001)
    succeeded(place.run())
    (device,) = place.result()["devices"]
    assert place.result()["outcome"] == "held"
    assert not _reasons(device)["constraint:robust_error"]
    assert device["gate_robustness"] is None
    assert "robust_error" in (place.home / "latest/report.html").read_text()
    assert device["champion_before"]["robustness"]["rows"] == tried["rows"]
    assert any("error under the worst corruption" in incident for incident in device["incidents"])
    assert sorted(path.name for path in ledger.rglob("*")) == spent, "no decision was spent"
