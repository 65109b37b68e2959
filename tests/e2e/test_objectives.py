"""Memory and energy as objectives, through the real pipeline: profiled, foreseen, searched, measured and shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from place import succeeded
from powercap import Busy
from tiny_project import CONFIG, tiny
from warm import Warm

pytestmark = pytest.mark.e2e

OBJECTIVES = ["error", "latency_ms", "peak_memory_mb", "energy_mj"]


def test_memory_and_energy_are_searched_for_and_shown_beside_what_was_measured(tmp_path: Path, warm: Warm) -> None:
    place = tiny(
        tmp_path,
        warm,
        search={"objectives": OBJECTIVES},
        profile={"energy_seconds": 0.2},
        benchmark={"energy_windows": 2, "energy_seconds": 0.2},
        devices=[{"name": "laptop", "powercap": str(tmp_path / "powercap")}],
        constraints=[{"metric": "peak_memory_mb", "max": 1000}, {"metric": "energy_mj", "max": 1000}],
    )
    with Busy(tmp_path / "powercap"):
        succeeded(place.run())
    (device,) = place.result()["devices"]
    assert set(device["more_predictors"]) == {"peak_memory_mb", "energy_mj"}
    assert all(found["networks"] >= 9 for found in device["more_predictors"].values())
    (finalist,) = device["finalists"]
    for cost in ("peak_memory_mb", "energy_mj"):
        assert all(point[cost] > 0 for point in device["points"])
        assert len({point[cost] for point in device["points"]}) > 1
        (told,) = [point[cost] for point in device["points"] if point["arch"] == finalist["architecture"]["id"]]
        assert finalist["predicted"][cost] == told
        assert finalist["measurement"][cost] > 0
    assert finalist["predicted"]["peak_memory_mb"] == pytest.approx(finalist["measurement"]["peak_memory_mb"], rel=0.25)
    rules = {reason["rule"]: reason["passed"] for reason in device["verdict"]["reasons"]}
    assert rules["constraint:peak_memory_mb"]
    assert rules["constraint:energy_mj"]
    page = (place.home / "latest/report.html").read_text()
    for title in ("Error against peak memory", "Error against energy", "Predicted and measured energy"):
        assert title in page
    table = succeeded(place.evernas("search", str(place.config), "--evaluations", "4")).stdout
    assert "memory in MB" in table
    assert "energy in mJ" in table


def test_a_device_of_eight_bits_takes_the_supernet_as_it_is_and_is_searched_in_eight_bits(
    tmp_path: Path, warm: Warm
) -> None:
    place = tiny(tmp_path, warm)
    succeeded(place.run())
    document = yaml.safe_load(place.config.read_text())
    document["devices"] = [{"name": "laptop"}, {"name": "small", "precisions": ["int8"]}]
    place.config.write_text(yaml.safe_dump(document))
    succeeded(place.run())
    result = place.result()
    steps = {(step["step"], step["device"]): step["reused"] for step in result["steps"]}
    assert steps["supernet", None]
    assert steps["profile", "laptop"]
    assert not steps["profile", "small"]
    laptop, small = result["devices"]
    assert (laptop["searched_precision"], small["searched_precision"]) == ("fp32", "int8")
    (finalist,) = small["finalists"]
    assert finalist["architecture"]["precision"] == "int8"
    (told,) = [point for point in small["points"] if point["arch"] == finalist["architecture"]["id"]]
    assert told["size_kb"] == pytest.approx(finalist["measurement"]["size_kb"], rel=0.1), "of the file, not of weights"
    of_weights = {point["arch"]: point["size_kb"] for point in laptop["points"]}
    both = [point for point in small["points"] if point["arch"] in of_weights]
    assert both
    assert all(point["size_kb"] != of_weights[point["arch"]] for point in both)
    assert small["departure"]["networks"] == 1
    assert "Predicted and measured" in (place.home / "latest/report.html").read_text()


def test_what_the_last_profile_did_not_measure_is_not_searched_for_by_hand(tmp_path: Path, warm: Warm) -> None:
    place = tiny(tmp_path, warm)
    succeeded(place.run())
    document = yaml.safe_load(place.config.read_text())
    document["search"] = {**CONFIG["search"], "objectives": ["error", "latency_ms", "peak_memory_mb"]}
    place.config.write_text(yaml.safe_dump(document))
    done = place.evernas("search", str(place.config))
    assert done.returncode == 2
    assert "search.objectives has peak_memory_mb, which the last profile of laptop did not measure" in done.stderr
    succeeded(place.run())
    (device,) = place.result()["devices"]
    assert set(device["more_predictors"]) == {"peak_memory_mb"}, "a new profile, and the same supernet"
    steps = {step["step"]: step["reused"] for step in place.result()["steps"]}
    assert steps["supernet"]
    assert not steps["profile"]


def test_a_device_without_a_sensor_is_refused_before_anything_is_done(tmp_path: Path, warm: Warm) -> None:
    place = tiny(
        tmp_path,
        warm,
        search={"objectives": ["error", "energy_mj"]},
        benchmark={"energy_windows": 2},
        devices=[{"name": "laptop", "powercap": "/nowhere"}],
    )
    done = place.run()
    assert done.returncode == 2
    assert "search.objectives has energy_mj, which laptop cannot measure" in done.stderr
    assert not (place.home / "projects").exists()
