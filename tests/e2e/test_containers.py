"""The whole loop, each step in a container of its own: as the images' user, on a read-only root, with MLflow alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from contained import Server, hand_over, mlflow_server, python_in, require_images, run_loop
from evernas_components.images import IMAGES
from place import Place, write_config

pytestmark = pytest.mark.e2e
# What only others have: a night that holds, one with nothing new whose champion was measured long ago, a cluster.
ELSEWHERE = {"hold", "recheck", "conclude", "handover"}
# Says who it is, what of the file system it can write, whether it reaches anything, and what of these it can import.
LOOK = """
import importlib.util, json, os, socket
PACKAGES = "torch", "onnxruntime", "openvino", "sklearn", "matplotlib", "pip"
def fails(action):
    try: action()
    except OSError as error: return type(error).__name__
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "root": fails(lambda: open("/opt/evernas/written", "w")),
    "scratch": fails(lambda: open("/tmp/written", "w")),
    "network": fails(lambda: socket.create_connection(("192.0.2.1", 80), 2)),
    "holds": [name for name in PACKAGES if importlib.util.find_spec(name)],
    "bill": len(json.load(open("/opt/evernas/sbom.cdx.json"))["components"]),
}))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    require_images("core", "train", "runner", "mlflow")
    with mlflow_server() as server:
        yield server


@pytest.mark.parametrize(
    ("image", "holds"),
    [
        ("core", ["onnxruntime"]),
        ("train", ["torch", "onnxruntime"]),
        ("runner", ["onnxruntime"]),
        ("runner-openvino", ["openvino"]),
        ("mlflow", ["sklearn", "matplotlib"]),
    ],
)
def test_an_image_runs_as_nobody_on_a_read_only_root_with_what_it_must_hold(image: str, holds: list[str]) -> None:
    require_images(image)
    seen = json.loads(python_in(image, LOOK).stdout)
    assert seen["user"] == [65532, 65532]
    assert seen["root"] == "OSError", "a read-only file system"
    assert seen["scratch"] is None
    assert seen["network"] == "OSError"
    assert seen["holds"] == holds
    assert seen["bill"] > 20


def test_the_loop_runs_with_every_step_in_its_own_container(server: Server, tmp_path: Path) -> None:
    place = Place(tmp_path / "home", write_config(tmp_path / "evernas.yaml"))
    place.deliver()
    hand_over(place.home)

    done = run_loop(place.config, place.home, "run-1", server)
    assert done.returncode == 0, done.stdout + done.stderr
    for image in ("core", "train", "runner"):
        started = done.stdout.count(f"Found image '{IMAGES[image].reference}'")
        assert started == len({*IMAGES[image].steps} - ELSEWHERE), "each step of this night in its image"
    result = place.result("run-1")
    assert result["outcome"] == "promoted"
    (device,) = result["devices"]
    assert device["verdict"]["outcome"] == "promote"
    ran = {f"{s['step']}" for s in result["steps"]}
    assert ran == {step for image in IMAGES.values() for step in image.steps} - ELSEWHERE
    assert len(list((place.home / "projects/watch/journal").rglob("*.json"))) == 1
    assert (place.home / "runs/run-1/report.html").stat().st_uid == 65532

    alias = server.ask("registered-models/alias?name=evernas-watch&alias=champion-laptop")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in alias["tags"]}  # type: ignore[index]
    assert tags["evernas.bundle"] == device["champion_after"]["bundle"]

    again = run_loop(place.config, place.home, "run-2", server)
    assert again.returncode == 0, again.stdout + again.stderr
    assert place.result("run-2")["outcome"] == "nothing-new"
    assert [s["step"] for s in place.result("run-2")["steps"]] == ["ingest"]
