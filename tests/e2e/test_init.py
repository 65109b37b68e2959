"""From a folder of image files to a champion by `evernas init`, and on with what is new in the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import tiny_project
from place import Place, succeeded
from warm import Warm

pytestmark = pytest.mark.e2e
TRAINED_LESS = ("supernet", "search", "finalists", "profile", "benchmark")


def draw(folder: Path, name: str, bright: bool, seed: int) -> None:
    """An image of noise with a spot that is brighter or darker than what is around it."""
    pixels = np.random.default_rng(seed).integers(90, 160, (20, 20), dtype=np.uint8)
    pixels[6:14, 6:14] = 240 if bright else 10
    path = folder / ("light" if bright else "dark") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_folder_of_images_comes_to_a_champion_and_later_images_are_taken_in(tmp_path: Path, warm: Warm) -> None:
    spots = tmp_path / "spots"
    for number in range(160):
        draw(spots, f"{number}.png", bool(number % 2), number)
    (spots / "light" / "broken.png").write_bytes(b"no image")
    config = tmp_path / "evernas.yaml"
    place = Place(tmp_path / "home", config, warm)
    said = succeeded(place.evernas("init", str(spots), "--yes", "--out", str(config))).stdout
    assert "1 of 161 files are left out" in said
    document = yaml.safe_load(config.read_text())
    for section in TRAINED_LESS:
        document[section] = {**document.get(section, {}), **tiny_project.CONFIG[section]}
    document["supernet"] |= {"steps": 40}
    config.write_text(yaml.safe_dump(document))
    succeeded(place.run())
    first = place.result()
    (device,) = first["devices"]
    assert device["verdict"]["outcome"] == "promote", device["verdict"]["sentence"]
    assert "hold for these parts only" in device["verdict"]["scope"]
    for number in range(160, 180):
        draw(spots, f"{number}.png", bool(number % 2), number)
    batch = tmp_path / "spots-evernas" / "batch-2.parquet"
    packed = succeeded(place.evernas("data", "pack", str(spots), str(batch), "--config", str(config))).stdout
    assert "20 images are in" in packed
    succeeded(place.run())
    assert place.result()["snapshot"]["rows_in"] == first["snapshot"]["rows_in"] + 20
