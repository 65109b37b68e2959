"""The loop on images: the digits example, small, from PNG to a champion that a warm start may replace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from evernas.bundle import load_bundle
from place import ROOT, Place, succeeded
from small_config import SMALL
from warm import Warm

pytestmark = pytest.mark.e2e
SMALLER = {
    "supernet": {"steps": 30, "warm_steps": 15, "batch": 32},
    "search": {"evaluations": 8, "batch": 4},
    "finalists": {"count": 2, "steps": 4},
    "profile": {"subnets": 14, "seconds": 0.5},
}


def test_digits_go_from_png_to_a_champion_and_a_warm_start(tmp_path: Path, warm: Warm) -> None:
    document = yaml.safe_load((ROOT / "examples" / "digits" / "evernas.yaml").read_text())
    for section, values in SMALL.items():
        document[section] = {**document.get(section, {}), **values, **SMALLER.get(section, {})}
    document["devices"][0]["precisions"] = ["fp32", "int8"]
    config = tmp_path / "evernas.yaml"
    config.write_text(yaml.safe_dump(document))
    place = Place(tmp_path / "home", config, warm, example="digits")
    place.deliver()
    succeeded(place.run())
    (device,) = place.result()["devices"]
    assert device["verdict"]["outcome"] == "promote"
    made = {(f["architecture"]["id"], f["architecture"]["precision"]): f for f in device["finalists"]}
    assert len(made) == len(device["finalists"]) == 2 * len({arch for arch, _ in made})
    for (arch, precision), finalist in made.items():
        assert finalist["measurement"]["refused"] is None
        assert abs(finalist["error"] - made[arch, "fp32"]["error"]) < 0.1, precision
        tried = [corruption["name"] for corruption in finalist["robustness"]["corruptions"]]
        assert tried == ["blur", "noise", "contrast", "brightness"]
    champion = device["champion_after"]["bundle"]
    bundle = load_bundle(place.home / "projects/digits/bundles" / champion[:16], expected=champion)
    assert bundle.contract.shape == (1, 28, 28)
    assert bundle.samples.inputs.shape[1:] == (1, 28, 28)
    assert np.abs(bundle.samples.inputs).max() > 100, "raw pixels: normalisation is inside"
    assert json.loads((bundle.path / "contract.json").read_text())["shape"] == [None, 1, 28, 28]
    # The store is the state folder's own.
    import mlflow
    from mlflow.models import get_model_info

    mlflow.set_tracking_uri(f"sqlite:///{place.home / 'mlflow.db'}")
    signature = get_model_info("models:/evernas-digits@champion-laptop").signature
    assert signature.inputs.inputs[0].shape == (-1, 1, 28, 28)
    place.deliver()
    succeeded(place.run())
    second = place.result()
    assert second["supernet"]["parent"] is not None
    assert second["snapshot"]["domain_noun"] == "parts"
    said = (place.home / "latest" / "report.html").read_text()
    assert "Quality per part" in said
    assert "works on " in said
    assert "images of 2 parts" not in said
