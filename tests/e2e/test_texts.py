"""The loop on texts: the languages example, small, from Parquet to a champion with its tokeniser, and a warm start."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import yaml
from tokenizers import Tokenizer

from evernas.bundle import load_bundle
from place import ROOT, Place, succeeded
from small_config import SMALL
from warm import Warm

pytestmark = pytest.mark.e2e
SMALLER = {
    "supernet": {"steps": 60, "warm_steps": 15, "batch": 64, "learning_rate": 0.01},
    "search": {"evaluations": 8, "batch": 4},
    "finalists": {"count": 2, "steps": 40},
    "profile": {"subnets": 14, "seconds": 0.5},
    "gate": {"max_error": 0.99},
}


def test_texts_go_to_a_champion_that_carries_its_tokeniser_into_a_warm_start(tmp_path: Path, warm: Warm) -> None:
    document = yaml.safe_load((ROOT / "examples" / "languages" / "evernas.yaml").read_text())
    for section, values in {**SMALL, "gate": SMALL.get("gate", {})}.items():
        document[section] = {**document.get(section, {}), **values, **SMALLER.get(section, {})}
    document["devices"][0]["precisions"] = ["fp32", "int8"]
    config = tmp_path / "evernas.yaml"
    config.write_text(yaml.safe_dump(document))
    place = Place(tmp_path / "home", config, warm, example="languages")
    place.deliver()
    succeeded(place.run())
    (device,) = place.result()["devices"]
    assert device["verdict"]["outcome"] == "promote", device["verdict"]["sentence"]
    assert all(finalist["measurement"]["refused"] is None for finalist in device["finalists"])
    for finalist in device["finalists"]:
        under = {corruption["name"]: corruption["error"] for corruption in finalist["robustness"]["corruptions"]}
        assert list(under) == ["typos", "case", "truncation"]
        assert abs(under["case"] - finalist["robustness"]["error"]) < 0.05, "capitals are read as small letters"
    champion = device["champion_after"]["bundle"]
    bundle = load_bundle(place.home / "projects/languages/bundles" / champion[:16], expected=champion)
    assert json.loads((bundle.path / "contract.json").read_text()) == {
        "channels": [], "characters": 256, "dtype": "int64", "input_name": "input", "normalisation_inside": False,
        "output_name": "scores", "padding": 0, "rate_hz": None, "shape": [None, 32], "tokeniser": "tokenizer.json",
        "units": None,
    }  # fmt: skip
    tokeniser = (bundle.path / "tokenizer.json").read_bytes()
    assert len(Tokenizer.from_str(tokeniser.decode()).encode("good morning").ids) == 32
    # What people wrote is neither in what MLflow keeps, nor in what a person is shown.
    rows = runpy.run_path(str(ROOT / "examples" / "languages" / "deliver.py"))["texts"]()
    long = [row["payload"] for row in rows if len(row["payload"]) > 40]
    kept = [path for path in (place.home / "artifacts").rglob("*") if path.is_file()]
    shown = [*kept, place.home / "latest" / "report.html", place.home / "latest" / "result.json"]
    for path in shown:
        data = path.read_bytes().decode("utf-8", errors="replace")
        assert not any(text in data for text in long), path
    said = (place.home / "latest" / "report.html").read_text()
    assert "sub-words" in said
    assert "Quality per topic" in said
    _consumed(place, tmp_path / "models")
    place.deliver()
    succeeded(place.run())
    second = place.result()
    assert second["supernet"]["parent"] is not None
    made = [finalist["bundle"][:16] for finalist in second["devices"][0]["finalists"]]
    for digest in made:
        assert (place.home / "projects/languages/bundles" / digest / "tokenizer.json").read_bytes() == tokeniser
    document["supernet"]["warm_start"] = {"cold_every": 2}
    config.write_text(yaml.safe_dump(document))
    succeeded(place.run())
    third = place.result()["supernet"]
    assert (third["parent"], third["incomparable"]) == (None, None)
    assert third["lost"]["samples"] > 0, "each reads the same texts, by its own sub-words"
    assert "Against the last supernet, of" in (place.home / "latest" / "report.html").read_text()


def _consumed(place: Place, models: Path) -> None:
    """The example of a consumer answers texts by the champion's own files."""
    succeeded(place.evernas("champion", "download", str(models), "--config", str(place.config)))
    serving = runpy.run_path(str(ROOT / "examples" / "consumer" / "serving.py"))
    champion = serving["Champions"](models).champion()
    answers = champion.answer(champion.read(["Good morning, how are you today?", "¿Qué tal estás?"]))
    assert len(answers) == 2
    assert set(answers) <= set(champion.labels)
