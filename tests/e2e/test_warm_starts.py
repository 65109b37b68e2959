"""A supernet goes on from the last one's weights where they have a place, and begins anew where it forgot or is due."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

import killing
from evernas.digest import digest_file
from evernas.state import Head, Home
from evernas.steps.loading import SUPERNET
from evernas.supernet import load_state, save_state
from place import PATIENCE_S, Place, succeeded, unnamed
from tiny_project import CONFIG, PEOPLE, deliver, tiny, write
from warm import BEFORE_STEP, Warm

LONGER = {"steps": 80, "warm_steps": 60}
"""So long that a class more is learned without that the others are forgotten."""


def again(place: Place, name: str, **changes: Any) -> dict[str, Any]:
    """One more run on a further delivery, with changes to the config; the supernet that it came to."""
    incoming = place.home.parent / "incoming"
    if "jump" in changes.get("data", {}).get("labels", []):
        deliver(incoming, "jumps.parquet", seed=7, paces={"jump": 6.0})
    deliver(incoming, f"{name}.parquet", PEOPLE[7:], seed=sum(map(ord, name)))
    write(place.config, "tiny", str(incoming), **{"supernet": LONGER, **changes})
    succeeded(place.run())
    supernet: dict[str, Any] = place.result()["supernet"]
    return supernet


def test_weights_go_on_through_new_classes_and_another_space_and_every_so_many_trainings_are_cold(
    tmp_path: Path, warm: Warm
) -> None:
    place = tiny(tmp_path, warm, supernet=LONGER)
    succeeded(place.run())
    first = place.result()["supernet"]
    assert (first["parent"], first["warm_starts"], first["lost"]) == (None, 0, None)
    second = again(place, "more")
    assert (second["parent"], second["warm_starts"], second["carried"]) == (first["digest"], 1, 1.0)
    assert second["lost"]["samples"] > 0
    assert not second["lost"]["fell_back"]
    labels = {"data": {"labels": ["walk", "run", "jump"]}}
    third = again(place, "classes", **labels)
    assert (third["parent"], third["diverged"]) == (second["digest"], None)
    assert (third["lost"]["classes"], third["lost"]["networks"]) == (2, 4)
    assert 0.8 < third["carried"] < 1
    space = {"space": {"kernels": [3, 5, 7], "stage_widths": [[4, 8, 12]]}}
    fourth = again(place, "space", **labels, **space)
    assert fourth["parent"] == third["digest"]
    assert 0.3 < fourth["carried"] < third["carried"]
    assert fourth["steps"] > LONGER["warm_steps"], "what is missing is made up for"
    assert (fourth["lost"]["classes"], fourth["lost"]["networks"]) == (None, 4)
    (device,) = place.result()["devices"]
    assert device["translated"]["fit"] == device["translated"]["of"] == len(device["previous_front"])
    asked = {tuple(point["genes"]) for point in device["points"]}
    assert len(asked) >= device["translated"]["fit"]
    report = (place.home / "latest" / "report.html").read_text()
    assert "in 4 networks that both spaces have" in report
    assert "The space is another: begun with" in report
    due = {"supernet": {**LONGER, "warm_start": {"cold_every": 4}}}
    fifth = again(place, "due", **labels, **space, **due)
    assert (fifth["parent"], fifth["warm_starts"], fifth["steps"]) == (None, 0, LONGER["steps"])
    assert fifth["lost"] is not None, "what it replaces is compared with it"
    report = (place.home / "latest" / "report.html").read_text()
    assert "Against the last supernet" in report
    signal = {"channels": ["x", "z"], "length": 32, "stride": 16}
    other = {**space, "data": {**labels["data"], "signal": signal}}
    sixth = again(place, "channels", **other)
    assert (sixth["parent"], sixth["carried"], sixth["lost"]) == (None, None, None)
    assert sixth["incomparable"] == "its samples had other channels"
    report = (place.home / "latest" / "report.html").read_text()
    assert "It cannot be compared with the last supernet: its samples had other channels." in report


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


def test_a_warm_start_that_diverges_ends_cold_also_if_the_run_is_killed_on_its_way(tmp_path: Path, warm: Warm) -> None:
    """The weights of the last supernet are beyond all bounds: at no rate does anything come of them."""
    place = tiny(tmp_path, warm)
    succeeded(place.run())
    spoil(place)
    deliver(tmp_path / "incoming", "more.parquet", PEOPLE[7:], seed=1)
    undisturbed, killed = place.copy(tmp_path / "undisturbed"), place.copy(tmp_path / "killed")
    succeeded(undisturbed.run())
    supernet = undisturbed.result()["supernet"]
    assert (supernet["parent"], supernet["steps"]) == (None, CONFIG["supernet"]["steps"])
    assert supernet["diverged"]["step"] == 1
    report = (undisturbed.home / "latest" / "report.html").read_text()
    assert "A warm start diverged at step 1 of 10" in report
    at = {BEFORE_STEP: killing.__file__, killing.AT: "*/steps/supernet/*/checkpoint-cold/*", killing.TIME: "2"}
    process = Place(killed.home, killed.config, killed.warm, at).start()
    assert process.wait(PATIENCE_S) == -signal.SIGKILL, process.output()
    again = succeeded(killed.run()).stdout
    assert unnamed(killed.result()["supernet"]) == unnamed(supernet)
    assert "a warm one diverged at step 1 of 10" in again


def spoil(place: Place) -> None:
    """Make the last supernet's weights immense, and let its digest say that they are what was kept."""
    head = Head.read(Home(place.home), "tiny")
    assert head is not None
    folder = place.home / "projects" / "tiny" / "steps" / head.supernet
    state = {name: tensor * 1e30 for name, tensor in load_state(folder / SUPERNET)[0].items()}
    save_state(state, folder / SUPERNET)
    marker = json.loads((folder / "done.json").read_text())
    marker["outputs"][SUPERNET] = digest_file(folder / SUPERNET)
    (folder / "done.json").write_text(json.dumps(marker))
