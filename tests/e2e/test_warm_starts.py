"""A supernet goes on from the last one's weights where they have a place, and begins anew where it forgot or is due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from place import Place, succeeded
from tiny_project import CONFIG, PEOPLE, deliver, tiny, write
from warm import Warm


def again(place: Place, name: str, **changes: Any) -> dict[str, Any]:
    """One more run on a further delivery, with changes to the config; the supernet that it came to."""
    incoming = place.home.parent / "incoming"
    if "jump" in changes.get("data", {}).get("labels", []):
        deliver(incoming, "jumps.parquet", seed=7, paces={"jump": 6.0})
    deliver(incoming, f"{name}.parquet", PEOPLE[7:], seed=sum(map(ord, name)))
    write(place.config, "tiny", str(incoming), **changes)
    succeeded(place.run())
    supernet: dict[str, Any] = place.result()["supernet"]
    return supernet


def test_weights_go_on_through_new_classes_and_another_space_and_every_so_many_trainings_are_cold(
    tmp_path: Path, warm: Warm
) -> None:
    place = tiny(tmp_path, warm)
    succeeded(place.run())
    first = place.result()["supernet"]
    assert (first["parent"], first["warm_starts"], first["lost"]) == (None, 0, None)
    second = again(place, "more")
    assert (second["parent"], second["warm_starts"], second["carried"]) == (first["digest"], 1, 1.0)
    assert second["lost"]["samples"] > 0
    assert not second["lost"]["fell_back"]
    labels = {"data": {"labels": ["walk", "run", "jump"]}}
    third = again(place, "classes", **labels)
    assert (third["parent"], third["lost"]) == (second["digest"], None)
    assert 0.8 < third["carried"] < 1
    space = {"space": {"kernels": [3, 5, 7], "stage_widths": [[4, 8, 12]]}}
    fourth = again(place, "space", **labels, **space)
    assert fourth["parent"] == third["digest"]
    assert 0.3 < fourth["carried"] < third["carried"]
    assert fourth["steps"] > CONFIG["supernet"]["warm_steps"], "what is missing is made up for"
    due = {"supernet": {"warm_start": {"cold_every": 4}}}
    fifth = again(place, "due", **labels, **space, **due)
    assert (fifth["parent"], fifth["warm_starts"], fifth["steps"]) == (None, 0, CONFIG["supernet"]["steps"])
    assert fifth["lost"] is not None, "what it replaces is compared with it"
    report = (place.home / "latest" / "report.html").read_text()
    assert "Against the last supernet" in report
    signal = {"channels": ["x", "z"], "length": 32, "stride": 16}
    other = {**space, "data": {**labels["data"], "signal": signal}}
    sixth = again(place, "channels", **other)
    assert (sixth["parent"], sixth["carried"]) == (None, None)


@pytest.mark.parametrize("most", [0.02, 1.0])
def test_a_warm_start_that_forgets_is_followed_by_a_cold_one(tmp_path: Path, warm: Warm, most: float) -> None:
    """Weights that are shrunk to nothing, and one step: all that was learned is lost."""
    forgetting = {"shrink": 0.0, "perturb": 1.0, "keep": 0.0, "most_lost": most}
    place = tiny(tmp_path, warm, supernet={"steps": 60})
    succeeded(place.run())
    supernet = again(place, "more", supernet={"steps": 60, "warm_steps": 1, "warm_start": forgetting})
    lost = supernet["lost"]
    assert lost["after"] > lost["before"] + 0.02
    assert lost["fell_back"] is (most < 1)
    assert supernet["steps"] == (60 if most < 1 else 1)
    assert (supernet["parent"] is None) is (most < 1)
