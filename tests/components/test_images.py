"""The images: what each holds is enough for its steps and no more, and the Dockerfile gives nobody root."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import build as images_build
import image_contents
import image_layers
import leave_out
import torch_for_cpu
from evernas.steps.versions import VERSIONS
from evernas_components.images import IMAGES

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "components" / "Dockerfile").read_text()
# What a step of the loop imports when it works on a device, in processes of its own.
WORKERS = ["evernas.hardware.worker", "evernas.hardware.cold_worker", "evernas.hardware.measure"]


@pytest.mark.parametrize("name", [name for name, image in IMAGES.items() if image.steps])
def test_steps_import_only_what_their_image_holds(name: str, tmp_path: Path) -> None:
    image = IMAGES[name]
    environment = {**os.environ, **image_contents.only_what_images_hold(tmp_path), "ONLY_STEP": image.steps[0]}
    (tmp_path / "refused.json").write_text(json.dumps({image.steps[0]: image_contents.refused_by(image)}))
    modules = [f"evernas.steps.{step}" for step in image.steps] + (WORKERS if "profile" in image.steps else [])
    code = f"import importlib, kfp.dsl.executor_main\nfor name in {modules}: importlib.import_module(name)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "_KFP_RUNTIME": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_each_image_lacks_what_it_must_not_hold() -> None:
    held = {name: image_contents.distributions_of(image) for name, image in IMAGES.items()}
    assert not {"torch", "scikit-learn", "matplotlib", "mlflow"} & held["core"]
    assert {"mlflow-skinny", "kfp", "great-expectations", "onnxruntime"} <= held["core"]
    assert "torch" in held["train"]
    for runner, runtime, other in (
        ("runner", "onnxruntime", "openvino"),
        ("runner-openvino", "openvino", "onnxruntime"),
        ("runner-cuda", "onnxruntime-gpu", "onnxruntime"),
    ):
        assert runtime in held[runner]
        assert not {"torch", "mlflow-skinny", "pyarrow", "onnx", other} & held[runner]
    assert not {"torch", "onnxruntime", "great-expectations"} & held["mlflow"]


def test_image_whose_digest_is_given_is_known_by_it_and_the_others_by_their_tag() -> None:
    digest = f"sha256:{'1' * 64}"
    given = {"IMAGE_REPOSITORY": "registry.example.com/evernas", "IMAGE_TAG": "v1", "IMAGE_DIGESTS": f"core={digest}"}
    code = "from evernas_components.images import CORE, TRAIN; print(CORE, TRAIN)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **given}, capture_output=True, text=True, check=True
    )
    core, train = done.stdout.split()
    assert core == f"registry.example.com/evernas/core@{digest}"
    assert train == "registry.example.com/evernas/train:v1"


def test_every_step_has_an_image_and_the_pipeline_names_it() -> None:
    steps = set(VERSIONS) - {"finetuned", "quantised"} | {"recheck", "conclude", "handover"}
    assert {step for image in IMAGES.values() for step in image.steps} == steps
    spec = yaml.safe_load((ROOT / "tests/pipelines/golden/evernas.yaml").read_text().split("\n---\n")[0])
    executors = spec["deploymentSpec"]["executors"].values()
    named = {e["container"]["args"][-1]: e["container"]["image"] for e in executors}
    assert set(named) == steps - {"handover"}, "a run on this machine decides itself"
    for step, reference in named.items():
        assert step in IMAGES[re.sub(r"^.*/|:.*$", "", reference)].steps


def test_a_device_is_measured_in_the_image_of_its_runtime(tmp_path: Path) -> None:
    from kfp import compiler

    from evernas.config import load_config
    from evernas_pipelines.definition import build_pipeline

    document = yaml.safe_load((ROOT / "examples/watch/two-devices.yaml").read_text())
    document["devices"][1] |= {"name": "other", "runtime": "openvino-cpu"}
    config = tmp_path / "evernas.yaml"
    config.write_text(yaml.safe_dump(document))
    compiler.Compiler().compile(build_pipeline(load_config(config)), str(tmp_path / "ir.yaml"))
    spec = yaml.safe_load((tmp_path / "ir.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"].values()
    images = [
        e["container"]["image"] for e in executors if e["container"]["args"][-1] in ("profile", "probe", "benchmark")
    ]
    assert sorted(image.partition("/")[2] for image in images) == ["runner-openvino:dev"] * 3 + ["runner:dev"] * 3


def test_an_image_for_few_is_built_where_it_is_named_only_and_stands_beside_no_other_runtime() -> None:
    assert set(IMAGES) - set(images_build.USUAL) == {"runner-cuda"}
    assert "nvidia-ml-py" in image_contents.distributions_of(IMAGES["runner-cuda"])
    helped = subprocess.run(
        [sys.executable, str(ROOT / "components" / "build.py"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "--with {runner,runner-openvino}" in helped
    stage = DOCKERFILE[DOCKERFILE.index("FROM image AS runner-cuda") :].partition("\nFROM")[0]
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in stage
    assert "NVIDIA_VISIBLE_DEVICES" not in DOCKERFILE, "which GPUs is for the pod to ask"


def test_the_dockerfile_pins_its_base_has_a_stage_an_image_and_no_root() -> None:
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert set(IMAGES) <= set(re.findall(r"^FROM image AS (\S+)", DOCKERFILE, re.MULTILINE))
    last = DOCKERFILE[DOCKERFILE.index("AS image") :]
    assert re.findall(r"^USER (.+)", last, re.MULTILINE) == ["65532:65532"]
    assert "RUN" not in last, "the image itself needs no shell to be built"
    assert "http" not in DOCKERFILE, "nothing is fetched in a build"


def test_a_further_runtime_goes_where_networks_are_judged(tmp_path: Path) -> None:
    settings = images_build.Settings("base", "r", "t", "cpu", "", ["runner-openvino"], tmp_path, False)
    widened = {name: images_build.widened(image, settings) for name, image in IMAGES.items()}
    assert {name for name in IMAGES if widened[name] != IMAGES[name]} == {"core", "train"}
    assert any(line.startswith("openvino") for line in images_build.requirements(widened["core"].extras))


def test_what_python_never_reaches_is_left_out(tmp_path: Path) -> None:
    packages = tmp_path / "lib/python3.11/site-packages"
    kept = ["botocore/data/s3/a.json", "botocore/data/endpoints.json", "scipy/stats/a.py", "numpy/tests/a.py"]
    gone = ["botocore/data/ec2/a.json", "scipy/stats/tests/tests/a.py", "pandas/tests/a.py", "pyarrow/_flight.so"]
    for name in kept + gone:
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    leave_out.main(tmp_path)
    assert sorted(str(p.relative_to(packages)) for p in packages.rglob("*") if p.is_file()) == sorted(kept)


def test_wheels_are_locked_by_their_digests(tmp_path: Path) -> None:
    (tmp_path / "some_thing-1.0-py3-none-any.whl").write_bytes(b"wheel")
    images_build.lock(tmp_path)
    line = (tmp_path / "requirements.txt").read_text()
    assert re.fullmatch(r"some_thing==1\.0 --hash=sha256:[0-9a-f]{64}\n", line)


def test_a_layer_weighs_what_gzip_makes_of_it() -> None:
    layer = b"layer" * 100_000
    packed = gzip.compress(layer)
    assert abs(image_layers._compressed(io.BytesIO(layer)) - len(packed)) < 64
    assert image_layers._compressed(io.BytesIO(packed)) == len(packed), "one that is compressed is taken as it is"


def test_an_unknown_image_is_refused_by_name() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "components/build.py"), "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there is no image 'nothing': name some of core, train, runner" in done.stderr


@pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("readelf")), reason="needs gcc and readelf: apt-get install gcc"
)
def test_a_library_loads_where_stand_ins_take_the_place_of_the_gpus(tmp_path: Path) -> None:
    """As torch's do: one function is called through a version, one address is needed when it is loaded."""

    def compiled(name: str, source: str, *more: str) -> None:
        command = ["gcc", "-w", "-shared", "-fPIC", "-o", name, f"-Wl,-soname,{name}", "-x", "c", "-", "-x", "none"]
        subprocess.run([*command, *more], input=source, text=True, check=True, cwd=tmp_path)

    (tmp_path / "map").write_text("libcublas.so.13 { global: *; };")
    compiled("libcublas.so.13", "int cublasOne(void) { return 1; }", "-Wl,--version-script=map")
    compiled("libnccl.so.2", "int ncclOne(void) { return 1; }")
    compiled(
        "libtorch_x.so",
        "int cublasOne(void); int ncclOne(void); int (*held)(void) = cublasOne;"
        "int f(int x) { return x ? cublasOne() + ncclOne() : 7; }",
        *("libcublas.so.13", "libnccl.so.2"),
    )
    with zipfile.ZipFile(tmp_path / "torch.whl", "w") as archive:
        archive.write(tmp_path / "libtorch_x.so", "torch/lib/libtorch_x.so")
    for name in ("libcublas.so.13", "libnccl.so.2"):
        (tmp_path / name).unlink()
    with zipfile.ZipFile(tmp_path / "torch.whl") as archive:
        torch_for_cpu._write_stand_ins(archive, tmp_path)
    (wheel,) = tmp_path.glob("torch_gpu_stand_ins-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path)
    assert {Path(name).name for name in names if ".so" in name} == {"libcublas.so.13", "libnccl.so.2"}
    done = subprocess.run(
        [sys.executable, "-c", f"import ctypes; print(ctypes.CDLL({str(tmp_path / 'libtorch_x.so')!r}).f(0))"],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path / torch_for_cpu.FOLDER)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "7\n", done.stderr


def test_torch_is_known_to_have_no_gpus_libraries_by_the_name_of_their_stand_ins() -> None:
    from evernas.supernet.accelerator import STAND_INS

    assert STAND_INS == torch_for_cpu.NAME
