"""The pipeline compiled for a cluster says of each step where it runs and what it is given there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from evernas.config import Config, load_config, parse_config
from evernas.config_cluster import DECIDING, STEPS
from evernas.errors import UsageError

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "cluster.yaml"
CONFIG = ROOT / "examples" / "watch" / "cluster.yaml"


def config() -> Config:
    return load_config(CONFIG)


def compiled(folder: Path) -> str:
    """The IR of the example for a cluster."""
    from evernas_pipelines.publishing import compile_pipeline

    compile_pipeline(config(), folder / "cluster.yaml")
    return (folder / "cluster.yaml").read_text()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(tmp_path_factory.mktemp("ir"))


@pytest.fixture(scope="module")
def spec(text: str) -> dict[str, Any]:
    """The pipeline, and under `platform` what holds for its executors on Kubernetes."""
    pipeline, platform = yaml.safe_load_all(text)
    return {**pipeline, "platform": platform["platforms"]["kubernetes"]}


def executor(spec: dict[str, Any], name: str) -> dict[str, Any]:
    """An executor's container, with what Kubernetes is told of it."""
    return {
        **spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"],
        **spec["platform"]["deploymentSpec"]["executors"][f"exec-{name}"],
    }


def test_compiled_pipeline_equals_the_golden_ir(text: str) -> None:
    assert text == GOLDEN.read_text(), "the pipeline changed: look at the difference, then `make golden`"


def test_ir_is_what_kfps_own_protobuf_takes(text: str) -> None:
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
    from kfp.pipeline_spec import pipeline_spec_pb2

    pipeline, platform = yaml.safe_load_all(text)
    json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    parsed = json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    executors = parsed.platforms["kubernetes"].deployment_spec.executors
    assert len(executors) == len(pipeline["deploymentSpec"]["executors"])
    for one in executors.values():
        json_format.ParseDict(json_format.MessageToDict(one), kubernetes.KubernetesExecutorConfig())


def test_each_device_has_its_own_nodes_and_image(spec: dict[str, Any]) -> None:
    for step in ("profile", "probe", "benchmark", "recheck"):
        for device in ("graviton", "edge"):
            placed = executor(spec, f"{step}-{device}")
            assert placed["nodeSelector"]["labels"]["evernas.dev/device"] == device
            assert placed["tolerations"][0]["value"] == device
            assert ("openvino" in placed["image"]) == (device == "edge")


def test_every_step_of_the_pipeline_may_be_named_in_the_config(spec: dict[str, Any]) -> None:
    started = {name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]}
    steps = {name.removesuffix("-graviton").removesuffix("-edge") for name in started}
    assert steps == set(STEPS)


def test_on_the_page_for_kind_every_step_is_given_the_keys_of_the_bucket() -> None:
    page = (ROOT / "docs" / "cluster-local.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    secrets = yaml.safe_load(textwrap.dedent(block))["config"]["cluster"]["secrets"]
    (bucket,) = [secret for secret in secrets if secret["name"] == "mlpipeline-minio-artifact"]
    assert set(bucket["steps"]) == set(STEPS)


@pytest.mark.parametrize(
    ("devices", "said"),
    [(["graviton"], "cluster.devices lacks edge"), (["graviton", "edge", "phone"], "cluster.devices names phone")],
)
def test_each_device_has_to_be_placed_and_no_other(devices: list[str], said: str) -> None:
    document = yaml.safe_load(CONFIG.read_text())
    document["cluster"]["devices"] = {name: {} for name in devices}
    with pytest.raises(UsageError, match=said):
        parse_config(document, "test")


def test_training_has_the_accelerator_and_nothing_else_has(spec: dict[str, Any]) -> None:
    with_accelerator = {
        name.removeprefix("exec-")
        for name, one in spec["deploymentSpec"]["executors"].items()
        if "accelerator" in one["container"]["resources"]
    }
    training = ("finalists", "search", "refine")
    assert with_accelerator == {
        "supernet",
        *(f"{step}-{device}" for step in training for device in ("graviton", "edge")),
    }
    supernet = executor(spec, "supernet")
    assert supernet["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert supernet["resources"]["resourceMemoryLimit"] == supernet["resources"]["resourceMemoryRequest"] == "16Gi"
    assert supernet["nodeSelector"]["labels"] == {"evernas.dev/pool": "gpu"}


def on_gpu(runtime: str, **pool: Any) -> dict[str, Any]:
    """The example, with a GPU in the place of the second device."""
    document: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    document["devices"][1] |= {"runtime": runtime}
    (document["cluster"]["devices"]["edge"]).pop("image")
    document["cluster"]["devices"]["edge"] |= pool
    return document


@pytest.mark.parametrize("runtime", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_a_device_on_a_gpu_asks_for_one_in_its_own_image_and_no_step_that_judges_does(
    tmp_path: Path, runtime: str
) -> None:
    from evernas_pipelines.publishing import compile_pipeline

    own = {} if runtime == "onnxruntime-cuda" else {"image": "registry.example.com/evernas/runner-tensorrt:v1"}
    document = on_gpu(runtime, accelerator="nvidia.com/gpu", **own)
    del document["cluster"]["train"]["accelerator"]
    compile_pipeline(parse_config(document, "test"), tmp_path / "gpu.yaml")
    pipeline, platform = yaml.safe_load_all((tmp_path / "gpu.yaml").read_text())
    spec = {**pipeline, "platform": platform["platforms"]["kubernetes"]}
    asking = {
        name.removeprefix("exec-")
        for name, one in spec["deploymentSpec"]["executors"].items()
        if "accelerator" in one["container"]["resources"]
    }
    assert asking == {f"{step}-edge" for step in ("profile", "probe", "benchmark", "recheck")}
    for name in asking:
        placed = executor(spec, name)
        assert placed["resources"]["accelerator"] == {
            "count": "1", "resourceCount": "1", "resourceType": "nvidia.com/gpu", "type": "nvidia.com/gpu"
        }  # fmt: skip
        assert placed["image"].partition(":")[0].endswith(f"runner-{runtime.removeprefix('onnxruntime-')}")


@pytest.mark.parametrize(
    ("runtime", "pool", "said"),
    [
        ("onnxruntime-cuda", {}, "cluster.devices.edge names no accelerator: write nvidia.com/gpu there"),
        (
            "onnxruntime-cuda",
            {"accelerator": "nvidia.com/gpu", "accelerators": 2},
            "cluster.devices.edge.accelerators is 2, and a device computes on one GPU",
        ),
        (
            "onnxruntime-tensorrt",
            {"accelerator": "nvidia.com/gpu"},
            "no image of evernas holds TensorRT: name one of yours in cluster.devices.edge.image",
        ),
    ],
)
def test_a_device_whose_pods_could_not_use_a_gpu_is_refused(runtime: str, pool: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_config(on_gpu(runtime, **pool), "test")


def test_several_gpus_of_a_pod_are_passed_on_with_memory_to_exchange_by(tmp_path: Path) -> None:
    from evernas_pipelines.publishing import compile_pipeline

    document = yaml.safe_load(CONFIG.read_text())
    document["cluster"]["train"] |= {"accelerators": 2, "image": "registry.example.com/evernas/train:v1-cuda"}
    document["supernet"] = {"device": "cuda", "processes": 2}
    compile_pipeline(parse_config(document, "test"), tmp_path / "two.yaml")
    pipeline, platform = yaml.safe_load_all((tmp_path / "two.yaml").read_text())
    spec = {**pipeline, "platform": platform["platforms"]["kubernetes"]}
    for step in ("supernet", "search-edge", "finalists-graviton"):
        placed = executor(spec, step)
        assert placed["image"].endswith("train:v1-cuda")
        assert placed["resources"]["accelerator"]["resourceCount"] == "2"
        mounts = {mount["mountPath"]: mount for mount in placed["emptyDirMounts"]}
        assert mounts["/dev/shm"]["medium"] == "Memory"
    assert [mount["mountPath"] for mount in executor(spec, "ingest")["emptyDirMounts"]] == ["/tmp"]
    assert '"device": "cuda"' in (tmp_path / "two.yaml").read_text().replace("\\", ""), "the run is told"


def test_every_step_can_live_in_a_restricted_namespace_and_has_an_end(spec: dict[str, Any]) -> None:
    names = [name.removeprefix("exec-") for name in spec["deploymentSpec"]["executors"]]
    assert len(names) == 6 + 7 * 2
    for name in names:
        placed = executor(spec, name)
        assert placed["securityContext"] == {"runAsUser": "65532", "runAsGroup": "65532", "runAsNonRoot": True}
        assert int(placed["activeDeadlineSeconds"]) > 0
        assert placed["podMetadata"]["labels"] == {"evernas.dev/project": "watch", "evernas.dev/part": "run"}


def test_secrets_are_references_and_only_for_the_steps_that_need_them(spec: dict[str, Any]) -> None:
    given = {
        name.removeprefix("exec-"): [secret["secretName"] for secret in one["secretAsEnv"]]
        for name, one in spec["platform"]["deploymentSpec"]["executors"].items()
        if "secretAsEnv" in one
    }
    shared = ("ingest", "conclude", "validate", "supernet", "handover", "ended")
    telling = [
        *shared,
        *(f"{step}-{device}" for step in ("search", "refine", "finalists") for device in ("graviton", "edge")),
    ]
    training = {name: ["evernas-mlflow-training"] for name in telling}
    assert given == {**training, "ended": ["evernas-mlflow-training", "evernas-failure"]}


def test_run_decides_nothing_and_is_given_no_key_to(spec: dict[str, Any], text: str) -> None:
    started = {name.removeprefix("exec-").partition("-")[0] for name in spec["deploymentSpec"]["executors"]}
    assert not started & set(DECIDING)
    assert "EVERNAS_GATE_KEY" not in text
    document = yaml.safe_load(CONFIG.read_text())
    document["cluster"]["secrets"] = [{"name": "a", "keys": {"key": "EVERNAS_GATE_KEY"}, "steps": ["gate"]}]
    with pytest.raises(UsageError, match=r"cluster\.secrets\.0\.steps\.0: Input should be 'ingest'"):
        parse_config(document, "test")


def test_run_has_a_root_a_deadline_and_pods_that_go(spec: dict[str, Any]) -> None:
    assert spec["defaultPipelineRoot"] == "s3://evernas/candidates/kfp"
    assert spec["platform"]["pipelineConfig"] == {"activeDeadlineSeconds": 86400, "resourceTtlOnCompletion": 86400}


def test_nothing_new_executes_ingest_and_the_exit_handler_alone(spec: dict[str, Any]) -> None:
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks) == {"ended", "exit-handler-1"}
    assert tasks["ended"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    inner = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert {name for name, task in inner.items() if "triggerPolicy" not in task} == {"ingest"}


def test_kfps_own_cache_is_off_on_every_step(spec: dict[str, Any]) -> None:
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    steps = [t for dag in dags for t in dag["tasks"].values()]
    own = [t for t in steps if "executorLabel" in spec["components"][t["componentRef"]["name"]]]
    assert len(own) == 6 + 7 * 2
    assert not [t for t in own if t.get("cachingOptions", {}).get("enableCache")]


def test_where_a_run_runs_does_not_change_what_it_computes() -> None:
    document = yaml.safe_load(CONFIG.read_text())
    elsewhere = {key: value for key, value in document.items() if key != "cluster"}
    assert config().model_dump(mode="json") == parse_config(elsewhere, "test").model_dump(mode="json")


def test_manifests_for_gitops_are_a_pipeline_and_its_version(tmp_path: Path) -> None:
    from evernas_pipelines.publishing import compile_manifests

    compile_manifests(config(), tmp_path / "m.yaml", "3F2C1AB", "kubeflow")
    pipeline, version = yaml.safe_load_all((tmp_path / "m.yaml").read_text())
    assert (pipeline["kind"], pipeline["metadata"]) == (
        "Pipeline",
        {"name": "watch-evernas", "namespace": "kubeflow"},
    )
    assert (version["kind"], version["metadata"]["name"]) == ("PipelineVersion", "watch-evernas-3f2c1ab")
    assert version["spec"]["pipelineSpec"]["pipelineInfo"]["name"] == "watch-evernas"


def test_devices_that_kfp_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    from evernas_pipelines.publishing import compile_pipeline

    document = yaml.safe_load(CONFIG.read_text())
    document["devices"] = [{"name": "a-b"}, {"name": "a_b"}]
    document["cluster"]["devices"] = {"a-b": {}, "a_b": {}}
    with pytest.raises(UsageError, match="cannot tell the devices a-b, a_b apart"):
        compile_pipeline(parse_config(document, "test"), tmp_path / "x.yaml")


def test_variable_that_is_set_twice_is_refused() -> None:
    document = yaml.safe_load(CONFIG.read_text())
    document["cluster"]["environment"]["EVERNAS_FAILURE_WEBHOOK"] = "in the open"
    with pytest.raises(UsageError, match="EVERNAS_FAILURE_WEBHOOK twice"):
        parse_config(document, "test")
